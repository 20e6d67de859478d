"""Straight lines through points of which some are far off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

    Up to 29% of the points may be anywhere. Its interval is Sen's, from Kendall's tau (`scipy.stats.theilslopes`). Of
    many points every k-th is taken, by x, so that the range stays covered.

    Args:
        x: of the points; those where either is NaN are left out.
        y: likewise.
        least_spread: how far the 5% and 95% quantiles of x must be apart.

    Returns:
        None with fewer than 5 points, or where x is spread less than that: then nothing tells a slope.
    """
    import numpy as np
    from scipy import stats

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
    found = stats.theilslopes(y, x, CONFIDENCE)
    base = float(np.median(y - found.slope * x))
    return Line(float(found.slope), float(found.low_slope), float(found.high_slope), base, int(known.sum()))
