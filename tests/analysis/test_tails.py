"""Slow calls and slow chains; and why chains differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import MS, call, gap, tables, tools

from profiler.analysis.measured import Measured
from profiler.analysis.phases import PHASES
from profiler.analysis.tails import BETWEEN, shares_of, tails_of
from profiler.analysis.variance import SPEED, TRAJECTORY, variance_of


def model(ms=90.0, tokens=10, **phases):
    return call(prefill=10, decode=ms, input_tokens=100, cached_tokens=0, output_tokens=tokens, **phases)


def measured(*chains):
    return Measured.of(tables(*chains))


def test_slow_calls_that_are_all_in_one_chain_are_met_by_fewer_chains_than_by_chance():
    """40 calls in 10 chains; the slowest 5%, two of them, are in one chain."""
    chains = [[model(90 + number / 10) for _ in range(4)] for number in range(10)]
    chains[3] = [model(500), model(600), model(), model()]
    (meeting,) = tails_of(measured(*chains)).meetings
    assert meeting.share == 0.05
    assert meeting.observed == 0.1
    assert meeting.independent == pytest.approx(1 - 0.95**4)


def test_quantiles_of_sums_are_below_sums_of_quantiles_for_independent_calls():
    draws = np.random.default_rng(0).lognormal(0, 0.3, (200, 5))
    sums = {each.p: each for each in tails_of(measured(*[[model(100 * ms) for ms in row] for row in draws])).sums}
    assert sums[0.95].of_sum_ns < sums[0.95].sum_of_ns
    assert sums[0.99].sum_of_ns / sums[0.99].of_sum_ns == pytest.approx(1.4, abs=0.15)


def test_the_phase_and_the_step_that_differ_are_blamed():
    chains = [[model(), model(queue=10.0 * number), gap(5)] for number in range(20)]
    found = tails_of(measured(*chains))
    assert (found.phases[0].name, found.steps[0].name) == ("queue", "step 2 (model)")
    assert found.phases[0].covariance == pytest.approx(1)
    assert found.phases[0].excess == pytest.approx(1)
    assert found.slow_chains == 2
    assert found.slow_excess_ns == pytest.approx((185 - 95) * MS)


def test_equal_chains_blame_nobody():
    found = tails_of(measured(*[[model()]] * 10))
    assert (found.phases, found.steps) == ((), ())


def test_of_too_few_no_quantile_is_told_that_is_only_the_largest_once_more():
    """9 chains of 2 calls, 10 of 2, 100 of 1."""
    few, some, many = (
        tails_of(measured(*[[model(90 + number)] * calls for number in range(count)]))
        for count, calls in ((9, 2), (10, 2), (100, 1))
    )
    assert (few.meetings, [each.p for each in few.sums]) == ((), [0.5])
    assert ([each.share for each in some.meetings], [each.p for each in some.sums]) == ([0.05], [0.5])
    assert ([each.share for each in many.meetings], [each.p for each in many.sums]) == ([0.01, 0.05], [0.5, 0.95, 0.99])


def test_below_ten_chains_there_is_no_slowest_tenth():
    found = tails_of(measured(*[[model(), model(queue=10.0 * number)] for number in range(9)]))
    assert (found.slow_chains, found.slow_excess_ns) == (0, None)
    assert (found.phases[0].covariance, found.phases[0].excess) == (pytest.approx(1), None)


def test_few_chains_have_no_tail():
    assert tails_of(measured(*[[model()]] * 4)) is None
    assert tails_of(measured(*[[tools(a=5)]] * 9)) is None
    assert variance_of(measured(*[[model()]] * 4)) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**10), min_size=3, max_size=3), min_size=2, max_size=20))
def test_both_kinds_of_shares_sum_to_one(rows):
    parts = np.asarray(rows, dtype=float).T
    e2e = parts.sum(axis=0)
    slow = e2e == e2e.max()
    found = shares_of(e2e, dict(zip("abc", parts, strict=True)), slow)
    if found:
        assert sum(each.covariance for each in found) == pytest.approx(1, abs=1e-6)
        if found[0].excess is not None:
            assert sum(each.excess for each in found) == pytest.approx(1, abs=1e-6)


def lively(count=30):
    """Chains of one to four calls of different lengths, with tools and gaps."""
    draw = np.random.default_rng(1)
    chains = []
    for _ in range(count):
        parts = []
        for _ in range(int(draw.integers(1, 5))):
            tokens = int(draw.integers(2, 60))
            parts += [
                model(9.0 * tokens * draw.lognormal(0, 0.1), tokens),
                tools(a=draw.uniform(1, 50)),
                gap(draw.uniform(1, 9)),
            ]
        chains.append(parts)
    return measured(*chains)


def test_phases_and_steps_and_parts_of_the_variance_sum_to_one():
    chains = lively()
    tails, variance = tails_of(chains), variance_of(chains)
    for shares in (tails.phases, tails.steps):
        assert sum(each.covariance for each in shares) == pytest.approx(1)
        assert sum(each.excess for each in shares) == pytest.approx(1)
    assert {each.name for each in tails.phases} <= set(PHASES)
    assert BETWEEN in {each.name for each in tails.steps}
    assert sum(each.share for each in variance.parts) == pytest.approx(1)
    assert variance.trajectory + variance.speed == pytest.approx(1)


def test_an_agent_that_talks_more_is_told_from_an_engine_that_is_slower():
    talks = variance_of(measured(*[[model(9.0 * tokens, tokens)] for tokens in range(5, 25)]))
    slower = variance_of(measured(*[[model(9.0 * pace, 10)] for pace in range(5, 25)]))
    calls = variance_of(measured(*[[model()] * number for number in (1, 2, 3, 4, 5, 6)]))
    assert (talks.trajectory, slower.speed, calls.trajectory) == pytest.approx((1, 1, 1))
    assert max(talks.parts, key=lambda each: each.share).name == "longer answers"
    assert max(slower.parts, key=lambda each: each.share).name == "time per output token"


def test_without_engine_timing_calls_and_time_per_call_are_told_apart_all_the_same():
    found = variance_of(measured(*[[call(unaccounted=10.0 * ms, timed=False)] for ms in range(5, 25)]))
    assert [(each.name, each.kind) for each in found.parts] == [("more calls", TRAJECTORY), ("time per call", SPEED)]
    assert found.speed == pytest.approx(1)


def test_which_tools_ran_is_what_the_agent_did_and_how_long_each_took_is_speed():
    """Chains of equal calls that differ in the number and kind of their tools; then in a tool's time alone."""
    kinds = [{"search": 200}, {"sql": 20}, {"search": 200}, {"sql": 20}, {"search": 200}, {"sql": 20}]
    other = variance_of(measured(*[[model(), tools(**each), model()] for each in kinds]))
    assert other.trajectory == pytest.approx(1)
    assert max(other.parts, key=lambda each: each.share).name == "which tools ran"
    slower = variance_of(measured(*[[model(), tools(search=20 * number), model()] for number in range(1, 9)]))
    assert slower.speed == pytest.approx(1)
    assert max(slower.parts, key=lambda each: each.share).name == "time of the tools"
