"""Straight lines through points of which some are far off."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from profiler.stats.quantiles import CONFIDENCE

_MOST_POINTS = 400  # the estimator looks at all pairs
_FEWEST_POINTS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """y = base + slope * x, with the slope's 95% interval."""

    slope: float
    low: float
    high: float
    base: float
    points: int

    def at(self, x: Any) -> Any:
        """The line's value."""
        return self.base + self.slope * x


def robust_line(x: Any, y: Any, *, least_spread: float) -> Line | None:
    """The Theil-Sen line: the median of the slopes of all pairs of points, through the medians.

    Up to 29% of the points may be anywhere. Its interval is Sen's, from the variance of Kendall's S with ties in x and
    y: `scipy.stats.theilslopes` takes the ties of both off without what they share, and where most points are tied,
    as they are where all chains do the same, that leaves less than nothing. Of many points every k-th is taken, by x,
    so that the range stays covered.

    Args:
        x: of the points; those where either is NaN are left out.
        y: likewise.
        least_spread: how far the 5% and 95% quantiles of x must be apart.

    Returns:
        None with fewer than 5 points, or where x is spread less than that: then nothing tells a slope.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < _FEWEST_POINTS:
        return None
    low, high = np.quantile(x, [0.05, 0.95])
    if high - low < least_spread:
        return None
    if len(x) > _MOST_POINTS:
        order = np.argsort(x, kind="stable")
        picked = order[np.linspace(0, len(order) - 1, _MOST_POINTS).round().astype(int)]
        x, y = x[picked], y[picked]
    slopes = _slopes(x, y)
    slope = float(np.median(slopes))
    low, high = _interval(slopes, x, y)
    base = float(np.median(y - slope * x))
    return Line(slope, low, high, base, int(known.sum()))


def _slopes(x: Any, y: Any) -> Any:
    """Those of all pairs with different x, in order."""
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    there = apart != 0
    return np.sort((y[second] - y[first])[there] / apart[there])


def _interval(slopes: Any, x: Any, y: Any) -> tuple[float, float]:
    """The 95% interval of the median slope: as far from the middle as Kendall's S is from 0 by chance."""
    reach = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * np.sqrt(_variance_of_s(x, y))
    count = len(slopes)
    low, high = round((count - reach) / 2) - 1, round((count + reach) / 2)
    return float(slopes[max(low, 0)]), float(slopes[min(max(high, low), count - 1)])


def _variance_of_s(x: Any, y: Any) -> float:
    """Of Kendall's S between x and y that have nothing to do with each other (Kendall, Rank Correlation Methods)."""
    n = len(x)
    ties = [np.unique(values, return_counts=True)[1].astype(float) for values in (x, y)]
    twos = [float((t * (t - 1)).sum()) for t in ties]
    threes = [float((t * (t - 1) * (t - 2)).sum()) for t in ties]
    plain = n * (n - 1) * (2 * n + 5) - sum(float((t * (t - 1) * (2 * t + 5)).sum()) for t in ties)
    shared = threes[0] * threes[1] / (9 * n * (n - 1) * (n - 2)) + twos[0] * twos[1] / (2 * n * (n - 1))
    return max(0.0, plain / 18 + shared)
