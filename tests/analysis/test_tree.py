"""Every repair to a broken trace is made as its docstring says, and said."""

import pytest
from build import TIMES, root, span
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler import semconv as sc
from profiler.analysis.model import Span
from profiler.analysis.tables import build_tables
from profiler.analysis.tree import build_trace


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
    ],
)
def test_an_attribute_of_a_wrong_type_is_left_out_and_told(name, value):
    call = Span("t", "c", "r", "chat", 10, 20, {sc.OPERATION: sc.OP_CHAT, name: value})
    trace = build_trace([Span("t", "r", None, "root", 0, 100), call])
    assert name not in trace.spans[1].attributes
    assert any(name in str(repair) for repair in trace.repairs)
    build_tables([trace])
