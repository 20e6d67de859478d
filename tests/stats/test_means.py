"""Lower bounds of means."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.stats.means import mean_lower_bound


def test_one_observation_tells_no_bound():
    assert mean_lower_bound([5.0]) is None
    assert mean_lower_bound([]) is None


def test_equal_observations_are_certain():
    assert mean_lower_bound([5.0] * 10) == 5


def test_equal_samples_have_equal_bounds():
    sample = np.random.default_rng(3).normal(10, 2, 50)
    assert mean_lower_bound(sample) == mean_lower_bound(list(sample)) < sample.mean()


@pytest.mark.parametrize("size", [30, 500])
def test_the_bound_is_below_the_true_mean_about_as_often_as_it_says(size):
    draw = np.random.default_rng(4)
    below = [mean_lower_bound(draw.exponential(1, size)) < 1 for _ in range(80)]
    assert np.mean(below) > 0.93


def test_what_one_of_many_has_is_not_certain():
    assert mean_lower_bound([0.0] * 19 + [100.0]) == 0
