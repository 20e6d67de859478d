"""What n tasks can show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from profiler.stats.power import detectable_shift, power_of, sample_for


@pytest.mark.parametrize(("shift", "tasks"), [(0.5, 10), (1.0, 4), (0.2, 100)])
def test_power_is_how_often_the_test_rejects(shift, tasks):
    draws = np.random.default_rng(1).normal(shift, 1, (4000, tasks))
    rejected = stats.ttest_1samp(draws, 0, axis=1, alternative="greater").pvalue < 0.025
    assert power_of(shift, tasks, 1.0, 0.025) == pytest.approx(rejected.mean(), abs=0.025)


@pytest.mark.parametrize("tasks", [2, 3, 5, 25, 400])
def test_the_detectable_shift_has_the_power(tasks):
    shift = detectable_shift(tasks, 0.1, 0.025, 0.8)
    assert power_of(shift, tasks, 0.1, 0.025) == pytest.approx(0.8)
    assert sample_for(shift * (1 + 1e-9), 0.1, 0.025, 0.8) == tasks


def test_without_spread_everything_shows():
    assert detectable_shift(2, 0.0, 0.025, 0.8) == 0
    assert sample_for(0.01, 0.0, 0.025, 0.8) == 2


def test_what_takes_millions_of_tasks_has_no_number():
    assert sample_for(1e-6, 1.0, 0.025, 0.8) is None


@pytest.mark.parametrize(("alpha", "power"), [(0, 0.8), (0.025, 1), (0.8, 0.5), (math.nan, 0.8)])
def test_levels_out_of_range_are_refused(alpha, power):
    with pytest.raises(ValueError, match="between 0 and 1"):
        detectable_shift(5, 1.0, alpha, power)


def test_one_task_and_no_shift_are_refused():
    with pytest.raises(ValueError, match="1 tasks"):
        detectable_shift(1, 1.0, 0.025, 0.8)
    with pytest.raises(ValueError, match="above 0"):
        sample_for(0.0, 1.0, 0.025, 0.8)
