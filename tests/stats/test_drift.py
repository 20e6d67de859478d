"""Runs that were measured one after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from profiler.stats.drift import drift_of, drift_within, verdict_apart, were_interleaved
from profiler.stats.paired import Verdict, paired_ratio


def run_of(draw, level=0.0, tasks=25, spread=0.05):
    return {str(n): np.exp(draw.normal(n % 4 + level, spread, 4)) for n in range(tasks)}


def test_abba_is_interleaved_and_one_after_the_other_is_not():
    assert were_interleaved([0, 3, 4, 7], [1, 2, 5, 6])
    assert not were_interleaved([0, 1, 2, 3], [4, 5, 6, 7])
    assert not were_interleaved([0], [1])
    assert not were_interleaved([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7])


def test_drift_widens_the_interval_on_both_sides():
    draw = np.random.default_rng(1)
    result = paired_ratio(run_of(draw), run_of(draw))
    apart = verdict_apart(result, margin=0.05, drift=0.05)
    assert apart.low == pytest.approx(result.low * 0.95 / 1.05)
    assert apart.high == pytest.approx(result.high * 1.05 / 0.95)


def test_a_slowdown_that_the_machine_may_have_made_is_told_as_such():
    draw = np.random.default_rng(2)
    apart = verdict_apart(paired_ratio(run_of(draw), run_of(draw, level=0.06)), margin=0.05, drift=0.05)
    assert (apart.verdict, apart.without_drift) == (Verdict.CANNOT_TELL, Verdict.REGRESSED)
    assert apart.drift_decides


def test_a_slowdown_beyond_any_drift_is_one():
    draw = np.random.default_rng(3)
    apart = verdict_apart(paired_ratio(run_of(draw), run_of(draw, level=0.3)), margin=0.05)
    assert apart.verdict is Verdict.REGRESSED
    assert not apart.drift_decides


def test_a_gain_beyond_any_drift_is_not_regressed():
    draw = np.random.default_rng(4)
    assert verdict_apart(paired_ratio(run_of(draw), run_of(draw, level=-0.3)), margin=0.05).verdict is (
        Verdict.NOT_REGRESSED
    )


def test_without_an_interval_there_is_no_verdict():
    apart = verdict_apart(paired_ratio({"a": [1]}, {"a": [2]}), margin=0.05)
    assert (apart.verdict, apart.low, apart.drift_decides) == (Verdict.CANNOT_TELL, None, False)


def test_a_drift_out_of_range_is_refused():
    with pytest.raises(ValueError, match="drift of 1"):
        verdict_apart(paired_ratio({"a": [1]}, {"a": [2]}), margin=0.05, drift=1)


def test_false_alarms_stay_rare_whatever_the_drift_within_what_is_assumed():
    draw = np.random.default_rng(5)
    alarms = [
        verdict_apart(
            paired_ratio(run_of(draw, math.log(draw.uniform(0.95, 1.05))), run_of(draw, math.log(1.05))), margin=0.2
        ).verdict
        for _ in range(100)
    ]
    assert alarms.count(Verdict.REGRESSED) <= 3


def test_the_drift_of_a_machine_is_seen_in_runs_of_the_same_code():
    draw = np.random.default_rng(6)
    levels = draw.normal(0, 0.03, 12)
    history = [run_of(draw, level, spread=0.001) for level in levels]
    reach = math.log((1 + drift_of(history)) / (1 - drift_of(history)))
    # two more runs are within it in 95% of all cases
    apart = [abs(np.diff(draw.normal(0, 0.03, 2))[0]) < reach for _ in range(500)]
    assert np.mean(apart) > 0.9
    assert drift_of(history[:2]) is None


def test_a_run_that_gets_slower_says_by_how_much():
    draw = np.random.default_rng(7)
    tasks = [str(n) for _ in range(6) for n in range(10)]
    values = [math.exp(int(task) % 3 + 0.1 * place / 59 + draw.normal(0, 0.01)) for place, task in enumerate(tasks)]
    line = drift_within(values, tasks)
    assert line.low < 0.1 < line.high
    assert line.low > 0.05


def test_tasks_that_occur_once_show_no_drift():
    assert drift_within([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], list("abcdef")) is None
