"""Whether the slow end of two runs differs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import mstats

from profiler.stats.tail import quantile_change, quantile_ratio


def run_of(draw, tasks=20, repeats=4, stalls=0.0):
    """Tasks of very different length; some chains take twice as long."""
    chains = {f"t{n}": draw.lognormal(n % 4, 0.1, repeats) for n in range(tasks)}
    return {task: values * np.where(draw.random(repeats) < stalls, 2, 1) for task, values in chains.items()}


def test_the_ratio_is_of_harrell_davis_quantiles_relative_to_tasks():
    base, candidate = {"a": [1, 2, 3], "b": [10, 20, 60]}, {"a": [2, 3, 4], "b": [10, 30, 50]}
    middles = {"a": 2.5, "b": 25}
    one, two = (
        mstats.hdquantiles(np.array([value / middles[task] for task in run for value in run[task]]), prob=[0.9])[0]
        for run in (base, candidate)
    )
    change = quantile_change(base, candidate, 0.9)
    assert change.ratio == pytest.approx(two / one)
    assert change.base == pytest.approx(np.quantile([1, 2, 3, 10, 20, 60], 0.9))
    assert change.candidate == pytest.approx(np.quantile([2, 3, 4, 10, 30, 50], 0.9))
    assert change.pairs == 6


def test_equal_runs_have_equal_results_and_no_change():
    base = run_of(np.random.default_rng(1))
    change = quantile_change(base, base)
    assert (change.ratio, change.p_slower, change.p_faster) == (pytest.approx(1), 1, 1)
    other = run_of(np.random.default_rng(2))
    assert quantile_change(base, other) == quantile_change(base, other)


def test_few_pairs_are_tried_in_all_ways():
    base = {"a": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]}
    worse = quantile_change(base, {"a": [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]})
    assert (worse.p_slower, worse.p_faster) == (1 / 64, 1)
    better = quantile_change({"a": [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]}, base)
    assert (better.p_slower, better.p_faster) == (1, 1 / 64)


def test_five_pairs_show_nothing():
    change = quantile_change({"a": [1, 2, 3], "b": [4, 5]}, {"a": [9, 9, 9], "b": [9, 9], "c": [1]})
    assert (change.ratio, change.p_slower, change.pairs) == (None, None, 5)
    assert change.base == pytest.approx(4.8)
    assert quantile_change({"a": [1]}, {"b": [1]}).base is None


def test_chains_without_a_partner_and_missing_ones_are_left_out():
    base = {"a": [1, 2, math.nan, 4, 5, 6, 7, 8, 9]}
    assert quantile_change(base, {"a": [1, 2, 3, 4, math.nan, 6, 7, 8]}).pairs == 6


@pytest.mark.parametrize("p", [0, 1, -1, math.nan])
def test_a_quantile_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_change({}, {}, p)


def test_a_value_that_is_no_duration_is_refused():
    with pytest.raises(ValueError, match="task 'a': -1 is not positive"):
        quantile_change({"a": [1, -1]}, {"a": [1, 1]})


def test_false_alarms_stay_at_the_level_where_chains_of_a_task_resemble_each_other():
    draw = np.random.default_rng(3)
    alarms = []
    for _ in range(250):
        shared = draw.normal(0, 0.3, 20)  # a busy minute for both chains of a pair
        runs = [{"a": np.exp(shared + draw.normal(0, 0.1, 20))} for _ in range(2)]
        alarms.append(quantile_change(*runs, 0.9, resamples=199).p_slower <= 0.05)
    assert np.mean(alarms) < 0.09


def test_stalls_are_found_which_a_mean_would_hide():
    draw = np.random.default_rng(4)
    found = [quantile_change(run_of(draw), run_of(draw, stalls=0.1), resamples=299) for _ in range(60)]
    assert np.mean([change.p_slower < 0.025 for change in found]) > 0.8


def test_the_interval_holds_the_factors_that_are_not_rejected():
    draw = np.random.default_rng(6)
    base, candidate = run_of(draw), {task: 1.1 * values for task, values in run_of(draw).items()}
    found = quantile_ratio(base, candidate, 0.9)
    assert found.low < found.change.ratio < found.high
    assert found.p_above(found.low * 0.99) <= 0.025 < found.p_above(found.low * 1.01)
    assert found.p_above(found.high) > 0.9
    assert found.p_above(1.0) == pytest.approx(quantile_change(base, candidate, 0.9).p_slower, abs=0.02)
    assert quantile_ratio(base, candidate, 0.9) == found


def test_runs_that_differ_by_one_factor_alone_have_next_to_no_interval():
    base = run_of(np.random.default_rng(7))
    found = quantile_ratio(base, {task: 1.2 * values for task, values in base.items()})
    assert found.low == pytest.approx(1.2, abs=0.002)
    assert found.high == pytest.approx(1.2, abs=0.002)


def test_too_few_pairs_have_no_interval():
    found = quantile_ratio({"a": [1, 2, 3]}, {"a": [1, 2, 3]})
    assert (found.low, found.high, found.p_above(1)) == (None, None, None)


def test_a_bound_or_a_confidence_out_of_range_is_refused():
    with pytest.raises(ValueError, match="confidence"):
        quantile_ratio({}, {}, confidence=0)
    with pytest.raises(ValueError, match="a ratio is positive"):
        quantile_ratio({}, {}).p_above(0)
