"""Intervals by resampling tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from profiler.stats.bootstrap import FEWEST_TASKS, bootstrap_ratio


def runs(draw, tasks=FEWEST_TASKS):
    """10% slower in the mean, each task a little differently."""
    base = {str(n): draw.lognormal(n % 3, 0.2, 3) for n in range(tasks)}
    return base, {str(n): 1.1 * draw.lognormal(n % 3, 0.2, 3) for n in range(tasks)}


def test_the_ratio_is_of_the_statistic_of_all_chains():
    assert bootstrap_ratio({"a": [1, 2], "b": [3]}, {"a": [4], "b": [8, 6, math.nan]}, np.mean).ratio == 3
    assert bootstrap_ratio({"a": [1, 2], "b": [3]}, {"a": [4], "b": [8, 6], "c": [1]}, np.max).ratio == 8 / 3


def test_few_tasks_have_no_interval():
    result = bootstrap_ratio(*runs(np.random.default_rng(1), FEWEST_TASKS - 1), np.mean)
    assert (result.low, result.high, result.tasks) == (None, None, FEWEST_TASKS - 1)
    assert result.ratio > 0
    assert bootstrap_ratio({"a": [1]}, {"b": [1]}, np.mean).ratio is None


def test_equal_runs_have_equal_intervals_around_the_ratio():
    one, two = runs(np.random.default_rng(2))
    result = bootstrap_ratio(one, two, np.mean, resamples=199)
    assert result == bootstrap_ratio(one, two, np.mean, resamples=199)
    assert result.low < result.ratio < result.high


def test_with_tasks_enough_it_holds_about_as_often_as_it_says():
    draw = np.random.default_rng(3)
    results = [bootstrap_ratio(*runs(draw), np.mean, resamples=199) for _ in range(60)]
    assert np.mean([each.low < 1.1 < each.high for each in results]) > 0.87


def test_what_has_no_ratio_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        bootstrap_ratio({"a": [0]}, {"a": [1]}, np.mean)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_ratio({"a": [1]}, {"a": [1]}, np.mean, confidence=1)
