"""Every repair to a broken trace is made as its docstring says, and said."""

import pytest
from build import TIMES, call, root, span, tool
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler import semconv as sc
from profiler.analysis.explain import explain
from profiler.analysis.model import Span
from profiler.analysis.tables import build_tables, columns_of
from profiler.analysis.tree import build_trace
from profiler.store import arrow


def said(built):
    return tuple(map(str, built.repairs))


def children_of(built):
    return {parent: [child.span_id for child in children] for parent, children in built.children.items()}


def test_a_whole_trace_needs_no_repair():
    built = build_trace([span("b", 5, 9, "a"), span("a", 1, 9), root(0, 10)])
    assert built.repairs == ()
    assert built.root.span_id == "root"
    assert [one.span_id for one in built.spans] == ["root", "a", "b"]
    assert children_of(built) == {"root": ["a"], "a": ["b"]}
    assert {child: parent.span_id for child, parent in built.parent_of().items()} == {"a": "root", "b": "a"}
    assert built.trace_id == "t1"


def test_no_spans_are_no_trace():
    assert build_trace([]) is None


def test_without_a_root_there_is_no_trace():
    assert build_trace([span("a", 0, 5, "gone"), span("b", 1, 2, "a")]) is None


def test_a_chain_that_never_finished_is_built_when_asked_for_as_one_that_failed():
    # (root)  |------------- ?          never sent
    # a         |-----|
    # b                 |---|
    spans = [span("a", 2, 8, "gone"), span("b", 10, 14, "gone"), span("c", 3, 5, "a"), span("d", 4, 5, "other")]
    built = build_trace(spans, unfinished=True)
    assert (built.root.span_id, built.root.start_ns, built.root.end_ns, built.root.failed) == ("gone", 2, 14, True)
    assert children_of(built) == {"gone": ["a", "d", "b"], "a": ["c"]}
    assert [repair.kind for repair in built.repairs] == ["no-root", "orphan"]
    assert list(build_tables([built]).chains["error_type"]) == ["unfinished"]


def test_spans_that_are_all_their_own_ancestors_are_no_trace_either():
    assert build_trace([span("a", 0, 5, "b"), span("b", 1, 2, "a")], unfinished=True) is None


def test_of_spans_with_one_id_the_first_is_kept():
    built = build_trace([root(0, 10), span("a", 1, 2), span("a", 3, 9)])
    assert [(one.span_id, one.end_ns) for one in built.spans] == [("root", 10), ("a", 2)]
    assert said(built) == ("span a occurs twice: the first is kept",)


def test_a_span_with_an_unknown_parent_becomes_a_child_of_the_root():
    built = build_trace([root(0, 10), span("a", 1, 2, "gone"), span("b", 1, 2, "a")])
    assert children_of(built) == {"root": ["a"], "a": ["b"]}
    assert said(built) == ("span a has an unknown parent: taken as a child of the root",)


def test_of_several_roots_the_longest_is_kept_and_the_others_become_its_children():
    built = build_trace([span("short", 2, 4, None), span("long", 1, 9, None), span("x", 2, 3, "short")])
    assert built.root.span_id == "long"
    assert built.spans[0].span_id == "long"
    assert children_of(built) == {"long": ["short"], "short": ["x"]}
    assert said(built) == ("span short is a second root: taken as a child of the first",)


def test_an_agents_span_is_the_root_before_a_longer_one_of_something_else():
    built = build_trace([span("server", 0, 99, None), root(1, 5)])
    assert built.root.span_id == "root"


def test_a_span_that_ends_before_it_starts_ends_where_it_starts():
    attributes = {sc.TOOL_NAME: "x"}
    raw = Span("t1", "a", "root", "name", 7, 3, attributes, True, "message", "service")
    built = build_trace([root(0, 10), raw])
    assert built.spans[1] == Span("t1", "a", "root", "name", 7, 7, attributes, True, "message", "service")
    assert said(built) == ("span a ends before it starts: its duration is taken as 0",)


def test_spans_that_are_their_own_ancestors_are_left_out():
    built = build_trace([root(0, 10), span("a", 1, 2, "b"), span("b", 1, 2, "a"), span("c", 3, 4)])
    assert [one.span_id for one in built.spans] == ["root", "c"]
    assert children_of(built) == {"root": ["c"]}
    assert said(built) == (
        "span a is its own ancestor, or below one that is: left out",
        "span b is its own ancestor, or below one that is: left out",
    )


def test_a_span_that_is_its_own_parent_is_left_out():
    built = build_trace([root(0, 10), span("a", 1, 2, "a")])
    assert [one.span_id for one in built.spans] == ["root"]
    assert said(built) == ("span a is its own ancestor, or below one that is: left out",)


def test_spans_of_one_time_keep_the_order_in_which_they_came():
    names = [f"s{number}" for number in range(50)]
    built = build_trace([root(0, 10), *(span(name, 5, 6) for name in names)])
    assert [one.span_id for one in built.spans] == ["root", *names]
    assert children_of(built) == {"root": names}


# --- times that are missing ------------------------------------------------------------------------------

NOW = 1_700_000_000_000_000_000  # a real clock's time: beside it, a time of 0 is none


def at(name, start, end, parent="root", **more):
    """A span of a real clock; None is a time that was not sent."""
    times = [0 if time is None else NOW + time for time in (start, end)]
    return Span("t1", name, parent, name, *times, **more)


def times_of(built):
    return {one.span_id: (one.start_ns - NOW, one.end_ns - NOW) for one in built.spans}


def kinds_of(built):
    return [(repair.kind, repair.span_id) for repair in built.repairs]


def test_a_start_of_zero_is_that_of_the_earliest_child():
    # root |------------|
    # a    ?-----|           b is known to start at 3
    # b        |-|
    built = build_trace([at("root", 0, 20, None), at("a", None, 9), at("b", 3, 7, "a"), at("c", 5, 8, "a")])
    assert times_of(built)["a"] == (3, 9)
    assert kinds_of(built) == [("zero-start", "a")]


def test_a_start_of_zero_without_children_is_the_parents():
    built = build_trace([at("root", 2, 20, None), at("a", None, 9)])
    assert times_of(built)["a"] == (2, 9)


def test_a_root_that_starts_at_zero_starts_with_its_first_child():
    built = build_trace([at("root", None, 20, None), at("a", 4, 9), at("b", 6, 9)])
    assert times_of(built)["root"] == (4, 20)
    assert built.spans[0] is built.root


def test_times_of_a_clock_that_begins_at_zero_are_times():
    built = build_trace([root(0, 10), span("a", 0, 4)])
    assert built.repairs == ()


def test_a_span_that_was_cut_off_ends_with_the_latest_below_it():
    # root |-----------------|
    # a      |----?                 the process died
    # b        |---|                had ended
    # c              ?              had just begun
    built = build_trace([at("root", 0, 20, None), at("a", 2, None), at("b", 4, 8, "a"), at("c", 12, None, "a")])
    assert times_of(built) == {"root": (0, 20), "a": (2, 12), "b": (4, 8), "c": (12, 12)}
    assert sorted(kinds_of(built)) == [("no-end", "a"), ("no-end", "c")]


def test_a_span_that_was_cut_off_with_nothing_below_it_ends_with_its_parent():
    built = build_trace([at("root", 0, 20, None), at("a", 2, None)])
    assert times_of(built)["a"] == (2, 20)


def test_a_chain_that_was_cut_off_ends_with_the_last_thing_that_it_did():
    built = build_trace([at("root", 0, None, None), at("a", 2, 7), at("b", 8, None)])
    assert times_of(built) == {"root": (0, 8), "a": (2, 7), "b": (8, 8)}
    alone = build_trace([at("root", 3, None, None)])
    assert times_of(alone) == {"root": (3, 3)}


# --- spans that were sent twice --------------------------------------------------------------------------


def test_a_span_that_was_sent_twice_alike_is_one_and_counted():
    built = build_trace([root(0, 10), span("a", 1, 2), span("a", 1, 2)])
    assert [one.span_id for one in built.spans] == ["root", "a"]
    assert kinds_of(built) == [("merged-duplicate", "a")]


# --- children outside of their parents -------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(1, 5), (5, 12), (1, 12), (10, 12), (0, 2)])
def test_a_child_outside_of_its_parent_keeps_its_times_and_is_counted(start, end):
    built = build_trace([root(0, 20), span("a", 3, 9), span("b", start, end, "a")])
    assert {one.span_id: (one.start_ns, one.end_ns) for one in built.spans}["b"] == (start, end)
    assert kinds_of(built) == [("outside-parent", "b")]


# --- clocks of other services ----------------------------------------------------------------------------


def service(name, start, end, parent="root", *, of):
    return Span("t1", name, parent, name, start, end, {}, service=of)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((6, 12), (10, 16)),  # behind: moved to its parent's start
        ((26, 32), (24, 30)),  # ahead: moved to its parent's end
        ((12, 20), (12, 20)),  # fits: left as it is
        ((2, 40), (10, 48)),  # longer than its parent: kept from starting before it
        ((12, 40), (12, 40)),
    ],
)
def test_a_span_of_another_service_is_moved_by_as_little_as_makes_it_fit(times, expected):
    # call    |------------------|        10 to 30, by the client's clock
    # engine     ... somewhere ...
    built = build_trace(
        [
            service("root", 0, 100, None, of="agent"),
            service("call", 10, 30, of="agent"),
            service("engine", *times, "call", of="vllm"),
        ]
    )
    engine = next(one for one in built.spans if one.span_id == "engine")
    assert (engine.start_ns, engine.end_ns) == expected
    moved = ("clock-skew", "engine") in kinds_of(built)
    assert moved == (times != expected)


def test_what_is_below_a_moved_span_moves_with_it_and_is_not_counted_again():
    built = build_trace(
        [
            service("root", 0, 100, None, of="agent"),
            service("engine", 104, 124, of="vllm"),
            service("prefill", 106, 110, "engine", of="vllm"),
        ]
    )
    assert [(one.span_id, one.start_ns) for one in built.spans] == [("root", 0), ("engine", 80), ("prefill", 82)]
    assert kinds_of(built) == [("clock-skew", "engine")]


def test_all_spans_of_one_clock_are_moved_alike():
    # call 1  |------|    call 2             |----------|
    # engine 1 .   |------|  ahead by 5            |----|       only just inside: by itself it would not be moved
    built = build_trace(
        [
            service("root", 0, 100, None, of="agent"),
            service("c1", 10, 20, of="agent"),
            service("e1", 16, 24, "c1", of="vllm"),
            service("c2", 40, 60, of="agent"),
            service("e2", 47, 58, "c2", of="vllm"),
        ]
    )
    assert {one.span_id: one.start_ns for one in built.spans if one.service == "vllm"} == {"e1": 12, "e2": 43}


def test_where_no_one_amount_fits_each_is_moved_by_its_own():
    built = build_trace(
        [
            service("root", 0, 100, None, of="agent"),
            service("c1", 10, 20, of="agent"),
            service("e1", 5, 14, "c1", of="vllm"),
            service("c2", 40, 60, of="agent"),
            service("e2", 45, 64, "c2", of="vllm"),
        ]
    )
    assert {one.span_id: one.start_ns for one in built.spans if one.service == "vllm"} == {"e1": 10, "e2": 41}


def test_a_span_that_does_not_say_whose_it_is_is_not_moved():
    built = build_trace([service("root", 10, 20, None, of="agent"), service("x", 5, 12, of="")])
    assert kinds_of(built) == [("outside-parent", "x")]


# --- size ------------------------------------------------------------------------------------------------


def test_ten_thousand_levels_are_built_and_analysed():
    depth = 10_000
    spans = [root(0, 3 * depth)]
    spans += [call(f"s{n}", n, 3 * depth - n, f"s{n - 1}" if n > 1 else "root") for n in range(1, depth)]
    tables = build_tables([build_trace(spans[::-1])])
    assert tables.calls["path_ns"].iloc[-1] == 3 * depth - 2 * (depth - 1)
    assert list(tables.chains["calls"]) == [depth - 1]


def test_a_hundred_thousand_children_are_built_and_analysed():
    width = 100_000
    spans = [root(0, 2 * width), *(span(f"s{n}", 2 * n, 2 * n + 1) for n in range(width - 2))]
    tables = build_tables([build_trace([*spans, tool("t", 2 * width - 3, 2 * width)])])
    assert int(tables.chains["e2e_ns"].iloc[0]) == 2 * width
    assert list(tables.tools["drag_ns"]) == [3]


# --- anything --------------------------------------------------------------------------------------------


@st.composite
def broken(draw):
    """Spans with any ids, any parents, any times."""
    names = st.sampled_from(["a", "b", "c", "d", "e"])
    parents = st.one_of(st.none(), names, st.just("gone"))
    count = draw(st.integers(0, 8))
    return [span(draw(names), draw(TIMES), draw(TIMES), draw(parents)) for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(broken())
def test_whatever_the_spans_the_result_is_a_tree(spans):
    built = build_trace(spans)
    assert (built is None) == (
        not any(one.parent_id is None for one in {one.span_id: one for one in spans[::-1]}.values())
    )
    if built is None:
        return
    ids = [one.span_id for one in built.spans]
    assert len(set(ids)) == len(ids)
    assert ids[0] == built.root.span_id
    below = [child.span_id for children in built.children.values() for child in children]
    assert sorted([*below, built.root.span_id]) == sorted(ids), "each span but the root has one parent"
    parents = built.parent_of()
    for name in ids:
        at, seen = name, {name}
        while at != built.root.span_id:
            at = parents[at].span_id
            assert at not in seen, "following the parents ends at the root"
            seen.add(at)
    assert all(one.end_ns >= one.start_ns for one in built.spans)
    starts = [one.start_ns for one in built.spans[1:]]
    assert starts == sorted(starts)


@settings(max_examples=36, deadline=None)
@given(broken())
def test_a_trace_that_is_not_as_it_was_written_says_so(spans):
    built = build_trace(spans)
    if built is not None and not built.repairs:
        assert sorted(one.span_id for one in built.spans) == sorted(one.span_id for one in spans)
        assert {one.span_id for one in spans if one.parent_id is None} == {built.root.span_id}
        parents = built.parent_of()
        assert all(parents[one.span_id].span_id == one.parent_id for one in built.spans[1:])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (sc.INPUT_TOKENS, 12.5),
        (sc.OUTPUT_TOKENS, 2**64),
        (sc.SENT_NS, "soon"),
        (sc.CALL_ATTEMPT, True),
        (sc.CHUNK_TIMES_US, "1,2,3"),
        (sc.CHUNK_TIMES_US, (1, "2")),
        (sc.STEP_NODE, 7),
        (sc.STEP_GRAPH, {"a": 1}),
        (sc.OUTPUT_TOKENS, -7),
        (sc.OUTPUT_TOKENS, 2**62),
        (sc.ENGINE_DECODE_NS, -50_000_000),
        (sc.ENGINE_QUEUE_NS, -1),
        (sc.SENT_NS, 2**53 + 1),
        (sc.CHUNK_TIMES_US, (1, 9_300_000_000_000_000)),
        (sc.CHUNK_TIMES_US, (-1, 5)),
        (sc.CHUNK_TIMES_US, (2**50, 2**50, 2**64)),
        (sc.MESSAGE_CHARS, (2**41,)),
        (sc.MESSAGE_DIGESTS, (2**63,)),
        (sc.TOOLS_DIGEST, 2**63),
    ],
)
def test_an_attribute_of_a_wrong_type_is_left_out_and_told(name, value):
    call = Span("t", "c", "r", "chat", 10, 20, {sc.OPERATION: sc.OP_CHAT, name: value})
    trace = build_trace([Span("t", "r", None, "root", 0, 100), call])
    assert name not in trace.spans[1].attributes
    assert any(name in str(repair) for repair in trace.repairs)
    arrow.from_columns(columns_of([trace]))
    build_tables([trace])


def test_the_largest_values_that_are_believed_fit_into_the_tables():
    largest = {
        **dict.fromkeys(sc.COUNTS, 2**40),
        **dict.fromkeys(sc.DURATIONS, 2**53),
        sc.TOOLS_DIGEST: 2**63 - 1,
        sc.MESSAGE_DIGESTS: (0, 2**63 - 1),
        sc.MESSAGE_CHARS: (2**40, 2**40),
        sc.CHUNK_TIMES_US: (5, 2**50, 2**50, 3),
    }
    calls = [Span("t", f"c{at}", "r", "chat", 10, 20, {sc.OPERATION: sc.OP_CHAT, **largest}) for at in range(50)]
    trace = build_trace([Span("t", "r", None, "root", 0, 100), *calls])
    assert trace.repairs == ()
    explain(build_tables([trace]))
    tables = arrow.from_columns(columns_of([trace]))
    assert tables["calls"]["last_chunk_ns"].to_pylist() == [3000] * 50


def test_a_span_that_is_moved_by_another_clock_stays_within_what_a_time_can_be():
    late = Span("t", "c", "r", "chat", 1, 2**63 - 1, {sc.OPERATION: sc.OP_CHAT}, service="engine")
    trace = build_trace([Span("t", "r", None, "root", 50, 100, service="agent"), late])
    assert [repair.kind for repair in trace.repairs] == ["clock-skew", "outside-parent"]
    assert (trace.spans[1].start_ns, trace.spans[1].end_ns) == (50, 2**63 - 1)
    arrow.from_columns(columns_of([trace]))


def test_names_in_great_number_are_looked_at_too():
    many = {f"x{at}": at for at in range(1000)}
    trace = build_trace([Span("t", "r", None, "root", 0, 100, {**many, sc.REPEAT: -1})])
    assert trace.root.attributes == many
