"""What-if lengths, slack and drag: drawn and worked out by hand, and against a slow implementation of the model."""

from random import Random

import pytest
from build import chains, root, span, trace, trees
from hypothesis import given, settings
from hypothesis import strategies as st
from random_traces import random_trace
from slow_schedule import SlowSchedule, What

from profiler.analysis.critical_path import critical_path
from profiler.analysis.gains import gains_without_phases
from profiler.analysis.layout import Layout
from profiler.analysis.phases import PHASES, Phases
from profiler.analysis.schedule import Schedule


def fork():
    """A fan-out of two, then one that needs both.

    root     |--------------------------------|     0 to 34
    A          |----------|                         2 to 13
    B          |-----|                              2 to 8
    C                       |------|                15 to 22
    """
    return trace(root(0, 34), span("A", 2, 13), span("B", 2, 8), span("C", 15, 22))


def test_unchanged_a_chain_lasts_as_long_as_it_did():
    assert Schedule.of(fork()).length_ns({}) == 34


def test_the_shorter_of_two_parallel_spans_has_slack_until_the_longer_one_ends():
    assert Schedule.of(fork()).slack_ns() == {"root": 0, "A": 0, "B": 5, "C": 0}


def test_without_the_longer_of_two_parallel_spans_the_chain_waits_for_the_other():
    schedule = Schedule.of(fork())
    assert schedule.drag_ns("A") == 5, "not the 11 that it has on the critical path"
    assert schedule.drag_ns("B") == 0
    assert schedule.drag_ns("C") == 7
    assert schedule.drag_ns("root") == 34


def test_spans_that_vanish_together_gain_more_than_each_alone():
    schedule = Schedule.of(fork())
    assert schedule.drag([1, 2]) == 11


def test_one_slow_tool_of_three_in_parallel_gains_nothing_while_it_is_not_the_last_to_finish():
    # step  |----------------------|
    # a       |-----|
    # b       |----------------|      the last: 6 to gain, then c is
    # c       |----------|
    built = trace(root(0, 30), span("a", 2, 8), span("b", 2, 18), span("c", 2, 12))
    schedule = Schedule.of(built)
    assert [schedule.drag_ns(name) for name in "abc"] == [0, 6, 0]
    assert schedule.length_ns({"b": 4}) == 26
    assert schedule.length_ns({"b": 16}) == 24
    assert schedule.length_ns({"a": 6, "c": 10}) == 30
    assert schedule.length_ns({"c": -6}) == 30
    assert schedule.length_ns({"c": -7}) == 31


def test_own_time_is_taken_from_a_spans_end_backwards_and_no_more_than_there_is():
    # root |------------------|
    # a       |----|
    # own  123      4567890123
    built = trace(root(0, 20), span("a", 3, 9))
    schedule = Schedule.of(built)
    assert [schedule.length_ns({"root": amount}) for amount in (1, 11, 12, 14, 99)] == [19, 9, 8, 6, 6]
    assert schedule.length_ns({"root": -5}) == 25


def test_a_parents_work_before_a_parallel_child_counts_once():
    # root |------------|
    # a      |------|          after 2 of the root's own
    # b         |-------|      after 5, in which the root started a
    built = trace(root(0, 13), span("a", 2, 9), span("b", 5, 13))
    schedule = Schedule.of(built)
    assert schedule.length_ns({"root": 5}) == 8
    assert schedule.length_ns({"root": 3}) == 10


def test_touching_siblings_wait_for_each_other():
    built = trace(root(0, 10), span("a", 0, 4), span("b", 4, 10))
    schedule = Schedule.of(built)
    assert schedule.sequential
    assert (schedule.drag_ns("a"), schedule.drag_ns("b")) == (4, 6)


def test_gain_in_a_nested_fan_out_is_what_is_left_at_every_level():
    # root |--------------------|
    # left  |-------------|         from 1 to 15
    # l1      |---------|           3 to 13
    # l2      |-----|               3 to 9
    # right |----------|            1 to 12
    built = trace(
        root(0, 20),
        span("left", 1, 15),
        span("l1", 3, 13, "left"),
        span("l2", 3, 9, "left"),
        span("right", 1, 12),
    )
    schedule = Schedule.of(built)
    assert schedule.drag_ns("l1") == 3, "l2 would give 4, but then right is the last"
    assert schedule.slack_ns() == {"root": 0, "left": 0, "right": 3, "l1": 0, "l2": 4}


def test_what_nobody_waits_for_may_last_until_the_end_of_the_chain():
    # root |----------------|
    # a      |-----|
    # late           |--|       started by a, after its end
    built = trace(root(0, 16), span("a", 2, 8), span("late", 10, 13, "a"))
    schedule = Schedule.of(built)
    assert schedule.slack_ns()["late"] == 3
    assert schedule.drag_ns("late") == 0
    assert schedule.length_ns({"late": 3}) == schedule.length_ns({"late": -9}) == 16


def test_a_span_of_no_length_between_two_others_is_passed():
    built = trace(root(0, 10), span("a", 0, 4), span("mark", 6, 6), span("b", 7, 10))
    schedule = Schedule.of(built)
    assert schedule.drag_ns("a") == 4
    assert schedule.length_ns({"mark": -2}) == 12


def test_thousands_of_siblings_that_overlap_are_no_trouble():
    # a0 |---|   a1 |---|   a2 |---|        each touches the next but one
    # b0   |---|   b1 |---|
    width = 20_000
    built = trace(root(0, 3 * width), *(span(f"s{n}", 2 * n, 2 * n + 4) for n in range(width)))
    schedule = Schedule.of(built)
    assert set(schedule.slack_ns().values()) == {0, 2}
    drags = [schedule.drag([at]) for at in range(width + 1)]
    assert sum(drags[1:]) == 2 * (width // 2), "each on the path gains what the other lane does not need"


def test_thousands_of_calls_beside_a_span_that_lasts_as_long_as_all_of_them_are_no_trouble():
    width = 20_000
    spans = [span(f"s{n}", 2 * n, 2 * n + 2) for n in range(width)]
    schedule = Schedule.of(trace(root(0, 2 * width), span("watch", 0, 2 * width - 1), *spans))
    assert {schedule.drag([at]) for at in range(2, width + 2)} == {1}


def test_thousands_of_levels_are_no_trouble():
    depth = 10_000
    nested = [span(f"s{n}", n, 3 * depth - n, f"s{n - 1}" if n > 1 else "root") for n in range(1, depth)]
    beside = span("beside", depth, 2 * depth - 5, f"s{depth - 2}")
    schedule = Schedule.of(trace(root(0, 3 * depth), *nested, beside))
    drags = [schedule.drag([at]) for at in range(len(schedule.layout.spans))]
    assert drags[:3] == [3 * depth, 3 * depth - 2, 3 * depth - 4]
    assert drags[schedule.layout.spans.index(nested[-1])] == 6, "then what runs beside it is the last to end"


# --- against the definition ------------------------------------------------------------------------------


def lasting_moments(own, amount):
    return set(sorted(own)[len(own) - min(amount, len(own)) :])


def on_path_of(built):
    """With the spans that are covered by their children all the way."""
    parents, found = built.parent_of(), set()
    for section in critical_path(built):
        at = section.span
        while at is not None and at.span_id not in found:
            found.add(at.span_id)
            at = parents.get(at.span_id)
    return found


def agree(built, random):
    schedule, slow = Schedule.of(built), SlowSchedule(built)
    names = [one.span_id for one in built.spans]
    real = slow.length(What())
    assert real == schedule.length_ns({}) == built.root.duration_ns
    on_path = on_path_of(built)
    slacks = schedule.slack_ns()
    for at, name in enumerate(names):
        inside = slow.low[name] <= slow.high[name]
        drag = schedule.drag_ns(name)
        assert drag == (real - slow.length(What(gone={name})) if inside else 0)
        assert 0 <= drag <= max(0, built.spans[at].duration_ns)
        if name in on_path:
            assert slacks[name] == 0
        else:
            assert drag == 0
        if inside:
            assert slow.length(What(longer={name: slacks[name]})) == real
            assert slow.length(What(longer={name: slacks[name] + 1})) == real + 1
            assert schedule.length_ns({name: -slacks[name] - 1}) == real + 1
    some = random.sample(names, min(len(names), 3))
    gone = {name for name in some if slow.low[name] <= slow.high[name]}
    assert schedule.drag([names.index(name) for name in some]) == real - slow.length(What(gone=gone)) or (
        schedule.sequential and nested(built, some)
    )
    amounts = {name: random.randint(-3, 9) for name in some}
    what = What(
        without={name: lasting_moments(slow.own(name), amounts[name]) for name in gone if amounts[name] > 0},
        longer={name: -amounts[name] for name in gone if amounts[name] < 0},
    )
    assert schedule.length_ns(amounts) == slow.length(what)


def nested(built, names):
    parents = built.parent_of()
    for name in names:
        above = parents.get(name)
        while above is not None:
            if above.span_id in names:
                return True
            above = parents.get(above.span_id)
    return False


def test_it_agrees_with_the_definition_on_many_random_traces():
    random = Random(1959)
    for _ in range(150):
        agree(random_trace(random), random)


@settings(max_examples=50, deadline=None)
@given(trees(max_spans=9), st.randoms(use_true_random=False))
def test_it_agrees_with_the_definition(built, random):
    agree(built, random)


@settings(max_examples=50, deadline=None)
@given(chains(max_spans=9))
def test_gains_without_phases_are_those_of_the_definition(built):
    layout = Layout(built)
    schedule, phases, slow = Schedule(layout), Phases(layout), SlowSchedule(built)
    gains = gains_without_phases(schedule, phases)
    assert set(gains) <= set(PHASES)
    for phase in PHASES:
        without = {}
        for at, one in enumerate(built.spans):
            without[one.span_id] = set()
            intervals = [slow.tail(one.span_id), *map(slow.lag, slow.children(one.span_id))]
            for moments in filter(None, intervals):
                for _, kind, start, end in phases.cut([(at, min(moments), max(moments) + 1)]):
                    without[one.span_id] |= set(range(start, end)) if kind == phase else set()
        assert gains.get(phase, 0) == slow.length(What()) - slow.length(What(without=without))


@settings(max_examples=50, deadline=None)
@given(chains())
def test_in_a_sequential_chain_drag_and_gains_are_the_time_on_the_path(built):
    layout = Layout(built)
    schedule, phases = Schedule(layout), Phases(layout)
    if not schedule.sequential:
        return
    sections = critical_path(built)
    by_phase = dict.fromkeys(PHASES, 0)
    for _, phase, start, end in phases.cut(
        [(built.spans.index(each.span), each.start_ns, each.end_ns) for each in sections]
    ):
        by_phase[phase] += end - start
    gains = gains_without_phases(schedule, phases)
    assert {phase: gains.get(phase, 0) for phase in PHASES} == by_phase
    assert all(slack == 0 or not schedule.waited_for(at) for at, slack in enumerate(schedule.slacks()))


@pytest.mark.parametrize("amount", [0, 3])
def test_the_trace_is_not_changed(amount):
    built = fork()
    schedule = Schedule.of(built)
    schedule.length_ns({"A": amount})
    schedule.drag_ns("A")
    assert schedule.length_ns({}) == 34
    assert schedule.drag_ns("A") == 5
