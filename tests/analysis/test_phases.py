"""Phases cover a chain exactly, and name the right kind of work."""

import pytest
from build import attempt, call, chains, engine_phase, root, span, step, tool, trace
from hypothesis import given, settings

from profiler import semconv as sc
from profiler.analysis.critical_path import critical_path
from profiler.analysis.phases import PHASES, PhaseSection, check, classify

ENGINE = {sc.ENGINE_SOURCE: "vllm.metrics"}


def phases_of(built):
    found = classify(built, critical_path(built))
    check(built, found)
    return [(section.phase, section.start_ns, section.end_ns) for section in found]


@settings(max_examples=72, deadline=None)
@given(chains())
def test_phases_sum_to_the_chain_exactly(built):
    sections = critical_path(built)
    found = classify(built, sections)
    check(built, found)
    assert sum(section.duration_ns for section in found) == built.root.duration_ns
    assert all(section.duration_ns > 0 for section in found)


@settings(max_examples=24, deadline=None)
@given(chains())
def test_cutting_a_section_keeps_its_span_its_order_and_its_extent(built):
    sections = critical_path(built)
    joined = []
    for piece in classify(built, sections):
        if joined and joined[-1][0] == piece.span.span_id and joined[-1][2] == piece.start_ns:
            joined[-1][2] = piece.end_ns
        else:
            joined.append([piece.span.span_id, piece.start_ns, piece.end_ns])
    assert joined == [[section.span.span_id, section.start_ns, section.end_ns] for section in sections]


def test_a_call_with_engine_timing_is_client_queue_prefill_decode_and_delivery():
    # root |--------------------------------|
    # step   |----------------------------|
    # call     |------------------------|
    #          sent^
    # engine          |q |prefill|decode|
    built = trace(
        root(0, 100),
        step("s", 2, 98),
        call("c", 5, 95, "s", {**ENGINE, sc.SENT_NS: 10}),
        engine_phase("queue", 20, 30, "c"),
        engine_phase("prefill", 30, 50, "c"),
        engine_phase("decode", 50, 90, "c"),
    )
    assert phases_of(built) == [
        ("framework", 0, 2),
        ("framework", 2, 5),
        ("client", 5, 15),
        ("delivery", 15, 20),
        ("queue", 20, 30),
        ("prefill", 30, 50),
        ("decode", 50, 90),
        ("delivery", 90, 95),
        ("framework", 95, 98),
        ("framework", 98, 100),
    ]


def test_a_call_without_engine_timing_is_unaccounted_after_the_sending():
    built = trace(root(0, 100), step("s", 0, 100), call("c", 0, 100, "s", {sc.SENT_NS: 10}))
    assert phases_of(built) == [("client", 0, 10), ("unaccounted", 10, 100)]


def test_a_call_that_was_never_sent_is_all_the_clients():
    built = trace(root(0, 100), step("s", 0, 100), call("c", 0, 100, "s", {sc.SENT_NS: 100}))
    assert phases_of(built) == [("client", 0, 100)]


def test_a_call_that_does_not_say_when_it_was_sent_has_no_client_time():
    built = trace(root(0, 100), step("s", 0, 100), call("c", 0, 100, "s"))
    assert phases_of(built) == [("unaccounted", 0, 100)]


def test_own_time_of_a_chain_is_the_frameworks_with_steps_and_without():
    built = trace(root(0, 100), call("c", 20, 60, attributes={**ENGINE, sc.SENT_NS: 0}))
    assert phases_of(built) == [("framework", 0, 20), ("delivery", 20, 60), ("framework", 60, 100)]
    built = trace(root(0, 100), step("s", 10, 90))
    assert phases_of(built) == [("framework", 0, 10), ("framework", 10, 90), ("framework", 90, 100)]


def test_a_failed_attempt_and_the_wait_for_the_next_are_retry():
    # root |----------------------------|
    # step |----------------------------|
    # 1      |----|x
    # 2                |--|x
    # 3                       |----|
    # path |f| 1  |wait| 2|wait| 3 | f  |
    built = trace(
        root(0, 100),
        step("s", 0, 100),
        attempt("one", 5, 20, "s", number=1, failed=True),
        attempt("two", 40, 50, "s", number=2, failed=True),
        attempt("three", 60, 90, "s", number=3),
    )
    assert phases_of(built) == [
        ("framework", 0, 5),
        ("retry", 5, 20),
        ("retry", 20, 40),
        ("retry", 40, 50),
        ("retry", 50, 60),
        ("unaccounted", 60, 90),
        ("framework", 90, 100),
    ]


def test_the_engines_work_on_a_repeated_attempt_is_retry():
    built = trace(
        root(0, 100),
        attempt("one", 0, 40, number=1, failed=True),
        engine_phase("prefill", 10, 30, "one"),
        attempt("two", 40, 100, number=2),
    )
    assert phases_of(built)[:3] == [("retry", 0, 10), ("retry", 10, 30), ("retry", 30, 40)]


def test_the_last_attempt_is_no_retry_even_if_it_failed():
    built = trace(
        root(0, 100),
        step("s", 0, 100),
        attempt("one", 0, 20, "s", number=1, failed=True),
        attempt("two", 30, 60, "s", number=2, failed=True),
    )
    assert phases_of(built) == [
        ("retry", 0, 20),
        ("retry", 20, 30),
        ("unaccounted", 30, 60),
        ("framework", 60, 100),
    ]


def test_a_failed_call_that_nobody_repeated_is_no_retry():
    built = trace(
        root(0, 100),
        step("s", 0, 100),
        attempt("one", 0, 40, "s", number=1, failed=True, ordinal=1),
        attempt("two", 40, 100, "s", number=1, ordinal=2),
    )
    assert [phase for phase, _, _ in phases_of(built)] == ["unaccounted", "unaccounted"]


def test_another_call_that_succeeds_later_does_not_make_this_failure_a_retry():
    built = trace(
        root(0, 100),
        step("s", 0, 50),
        step("t", 50, 100),
        attempt("one", 0, 50, "s", number=1, failed=True),
        attempt("two", 50, 100, "t", number=2, ordinal=2),
    )
    assert [phase for phase, _, _ in phases_of(built)] == ["unaccounted", "unaccounted"]


def test_a_node_that_a_graph_runs_again_is_a_retry_with_the_waiting_between():
    failed = step("s", 0, 40)._replace(failed=True)
    built = trace(
        root(0, 100),
        failed,
        step("t", 60, 100),
        attempt("one", 0, 35, "s", number=1, failed=True),
        attempt("two", 60, 100, "t", number=2),
    )
    assert phases_of(built) == [
        ("retry", 0, 35),
        ("retry", 35, 40),
        ("retry", 40, 60),
        ("unaccounted", 60, 100),
    ]


def test_of_parallel_tools_the_last_to_finish_is_the_tools_phase():
    # step |----------------|
    # a      |----|
    # b      |----------|
    built = trace(root(0, 100), step("s", 0, 100), tool("a", 10, 40, "s"), tool("b", 10, 80, "s"))
    assert phases_of(built) == [("framework", 0, 10), ("tool", 10, 80), ("framework", 80, 100)]


def test_a_call_inside_a_tool_is_a_call_and_the_rest_of_the_tool_is_the_tools():
    built = trace(
        root(0, 100),
        step("s", 0, 100),
        tool("a", 10, 90, "s"),
        call("c", 30, 70, "a", {**ENGINE, sc.SENT_NS: 5}),
        engine_phase("decode", 40, 60, "c"),
    )
    assert phases_of(built) == [
        ("framework", 0, 10),
        ("tool", 10, 30),
        ("client", 30, 35),
        ("delivery", 35, 40),
        ("decode", 40, 60),
        ("delivery", 60, 70),
        ("tool", 70, 90),
        ("framework", 90, 100),
    ]


def test_a_step_of_a_graph_that_a_tool_runs_is_the_frameworks():
    built = trace(root(0, 100), step("s", 0, 100), tool("a", 10, 90, "s"), step("inner", 20, 80, "a"))
    assert [phase for phase, _, _ in phases_of(built)] == ["framework", "tool", "framework", "tool", "framework"]


def test_a_span_of_another_library_is_part_of_what_it_is_in():
    built = trace(
        root(0, 100),
        step("s", 0, 100),
        tool("a", 10, 50, "s"),
        span("query", 20, 40, "a"),
        call("c", 50, 90, "s", {sc.SENT_NS: 10}),
        span("dns", 52, 58, "c"),
    )
    assert phases_of(built) == [
        ("framework", 0, 10),
        ("tool", 10, 20),
        ("tool", 20, 40),
        ("tool", 40, 50),
        ("client", 50, 52),
        ("client", 52, 58),
        ("client", 58, 60),
        ("unaccounted", 60, 90),
        ("framework", 90, 100),
    ]


@pytest.mark.parametrize(("service", "hidden"), [("vllm", False), ("agent", True)])
def test_the_engines_own_span_does_not_hide_the_phases_beside_it(service, hidden):
    # call    |-----------------------------|
    # phases        |prefill|---decode---|
    # request     |------------------------|     the same time, told by the engine itself
    # model          |--|                        below the request
    def of(span, name):
        return span._replace(service=name)

    built = trace(
        of(root(0, 100), "agent"),
        of(call("c", 0, 100, attributes={**ENGINE, sc.SENT_NS: 0}), "agent"),
        of(engine_phase("prefill", 20, 40, "c"), "agent"),
        of(engine_phase("decode", 40, 90, "c"), "agent"),
        of(span("request", 10, 95, "c"), service),
        of(span("model", 20, 30, "request"), service),
    )
    if hidden:  # something of the client's own, which really is the last to end
        assert {phase for phase, _, _ in phases_of(built)} == {"delivery"}
    else:
        expected = [("delivery", 0, 20), ("prefill", 20, 40), ("decode", 40, 90), ("delivery", 90, 100)]
        assert phases_of(built) == expected


def test_a_phase_that_nobody_knows_is_not_invented():
    built = trace(root(0, 100), call("c", 0, 100, attributes={**ENGINE}), span("x", 20, 40, "c", {sc.PHASE: "compile"}))
    assert {phase for phase, _, _ in phases_of(built)} <= set(PHASES)


def test_check_refuses_what_does_not_add_up():
    built = trace(root(0, 10))
    broken = {
        "nonsense": [PhaseSection(built.root, "nonsense", 0, 10)],
        "must touch": [PhaseSection(built.root, "tool", 1, 10)],
        "must add up": [PhaseSection(built.root, "tool", 0, 9)],
    }
    for message, sections in broken.items():
        with pytest.raises(AssertionError, match=message):
            check(built, sections)
