"""Lines through points of which some are far off."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from profiler.stats.lines import robust_line

X = np.arange(100.0)


def test_points_on_a_line_give_the_line():
    line = robust_line(X, 3 + 2 * X, least_spread=1)
    assert (line.slope, line.base, line.points) == pytest.approx((2, 3, 100))
    assert line.at(10.0) == pytest.approx(23)


def test_a_quarter_of_wild_points_moves_it_little():
    y = 3 + 2 * X
    y[::4] += 5000
    assert robust_line(X, y, least_spread=1).slope == pytest.approx(2, rel=0.05)


def test_the_interval_holds_the_slope_about_as_often_as_it_says():
    draw = np.random.default_rng(0)
    lines = [robust_line(X, 2 * X + draw.normal(0, 30, 100), least_spread=1) for _ in range(60)]
    assert sum(line.low <= 2 <= line.high for line in lines) >= 52


def test_many_points_are_thinned_over_their_whole_range():
    x = np.concatenate([np.zeros(50_000), np.full(50_000, 100.0)])
    line = robust_line(x, 7 * x, least_spread=1)
    assert (line.slope, line.points) == (7, 100_000)


@pytest.mark.parametrize(
    ("x", "y"),
    [([], []), ([1, 2, 3], [1, 2, 3]), ([5] * 50, range(50)), ([np.nan] * 50, range(50)), (range(50), [np.nan] * 50)],
)
def test_without_spread_or_points_there_is_no_line(x, y):
    assert robust_line(x, y, least_spread=1) is None


def test_without_ties_the_interval_is_sens():
    draw = np.random.default_rng(3)
    x, y = draw.uniform(0, 100, 60), draw.normal(0, 9, 60)
    line, sen = robust_line(x, y, least_spread=1), stats.theilslopes(y, x, 0.95)
    assert (line.slope, line.low, line.high) == pytest.approx((sen.slope, sen.low_slope, sen.high_slope))


def test_points_of_which_most_are_tied_have_an_interval():
    """All chains do the same: two lengths of prompt, and two times."""
    x, y = np.repeat([100.0, 200.0], 30), np.repeat([10.0, 20.0], 30)
    x[0], y[0] = 150, 15
    line = robust_line(x, y, least_spread=1)
    assert (line.slope, line.low, line.high) == pytest.approx((0.1, 0.1, 0.1))
    no_slope = robust_line(x, np.tile([10.0, 20.0], 30), least_spread=1)
    assert no_slope.low <= 0 <= no_slope.high
