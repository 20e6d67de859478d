"""Idle gaps: every piece of the path without a call or tool, with whose it was and what it is put down to."""

from build import attempt, call, chains, root, span, step, tool, trace
from hypothesis import given, settings

from profiler import semconv as sc
from profiler.analysis.tables import columns_of


def gaps_of(built):
    gaps = columns_of([built]).gaps
    names = ("position", "after", "before", "owner", "start_ns", "duration_ns", "cause")
    return list(zip(*(gaps[name] for name in names), strict=True))


def test_gaps_of_a_graph_are_the_start_the_nodes_what_is_between_and_the_end():
    # root  |-----------------------------------------|
    # step     |---- model ----|    |-- tools --|
    # call       |---------|          |-----|
    built = trace(
        root(0, 100),
        step("s1", 5, 40),
        call("c", 10, 35, "s1"),
        step("s2", 50, 80, node="tools", number=2),
        tool("search", 52, 75, "s2"),
    )
    assert gaps_of(built) == [
        (1, "", "model", "root", 0, 5, "start"),
        (1, "", "model", "step model", 5, 5, "node"),
        (2, "model", "tools", "step model", 35, 5, "node"),
        (2, "model", "tools", "root", 40, 10, "between steps"),
        (2, "model", "tools", "step tools", 50, 2, "node"),
        (0, "tools", "", "step tools", 75, 5, "node"),
        (0, "tools", "", "root", 80, 20, "end"),
    ]


def test_without_a_graph_what_is_between_calls_is_unattributed():
    built = trace(root(0, 100), call("a", 10, 40), call("b", 60, 90))
    assert gaps_of(built) == [
        (1, "", "call", "root", 0, 10, "start"),
        (2, "call", "call", "root", 40, 20, "unattributed"),
        (0, "call", "", "root", 90, 10, "end"),
    ]


def test_a_span_of_another_library_outside_of_calls_is_named_and_unattributed():
    built = trace(root(0, 100), call("a", 0, 40), span("parse", 40, 70), call("b", 70, 100))
    assert gaps_of(built) == [(2, "call", "call", "span parse", 40, 30, "unattributed")]


def test_a_chain_that_calls_nothing_is_one_gap_of_unknown_cause():
    assert gaps_of(trace(root(0, 100))) == [(0, "", "", "root", 0, 100, "unattributed")]


def test_waiting_for_the_next_attempt_is_no_gap():
    built = trace(root(0, 100), attempt("one", 0, 30, number=1, failed=True), attempt("two", 60, 100, number=2))
    assert gaps_of(built) == []


def late(start, end, lag):
    """A call beside the gap, which nobody waits for in the end, with the worst lag that it saw."""
    return call("beside", start, end, "watcher", {sc.LOOP_LAG_MAX_NS: lag})


def test_a_loop_that_a_call_beside_the_gap_saw_late_by_half_of_it_explains_the_gap():
    # root  |---------------------------------|
    # a     |---------|         |-------------|     another call, b
    # watcher     |------------------|              a branch that is not the last to finish
    for lag, cause in ((10, "event loop"), (9, "between steps")):
        built = trace(
            root(0, 100),
            step("s1", 0, 40),
            call("a", 0, 40, "s1"),
            span("watcher", 20, 70),
            late(20, 70, lag),
            step("s2", 60, 100, number=2),
            call("b", 60, 100, "s2"),
        )
        assert gaps_of(built) == [(3, "model", "model", "root", 40, 20, cause)]


def test_a_late_loop_that_no_call_beside_the_gap_saw_explains_nothing():
    built = trace(root(0, 100), call("a", 0, 40, attributes={sc.LOOP_LAG_MAX_NS: 99}), call("b", 60, 100))
    assert gaps_of(built) == [(2, "call", "call", "root", 40, 20, "unattributed")]


@settings(max_examples=50, deadline=None)
@given(chains())
def test_gaps_sum_to_the_framework_phase(built):
    columns = columns_of([built])
    assert sum(columns.gaps["duration_ns"]) == columns.chains["framework_ns"][0]
    assert all(duration > 0 for duration in columns.gaps["duration_ns"])
    assert set(columns.gaps["position"]) <= {0, *columns.steps["position"]}
