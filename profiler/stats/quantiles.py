"""Quantiles with confidence intervals, where the sample allows one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Quantile:
    """An estimate in the unit of the sample; a bound is None where the sample is too small to have one."""

    p: float
    n: int
    value: float
    low: float | None
    high: float | None


def quantile(sample: Sequence[float], p: float) -> Quantile | None:
    """The p-quantile (linear interpolation) with its two-sided 95% interval.

    The interval is the distribution-free one of order statistics: the binomial test of the quantile, inverted
    (`scipy.stats.quantile_test`). It assumes independent observations: of chains, never of calls, which share their
    chain. None for an empty sample.
    """
    if not sample:
        return None
    import numpy as np
    from scipy import stats

    value = float(np.quantile(np.asarray(sample, dtype=float), p))
    bounds = stats.quantile_test(sample, q=value, p=p).confidence_interval(CONFIDENCE)
    return Quantile(p, len(sample), value, _finite(bounds.low), _finite(bounds.high))


def chains_needed(p: float, confidence: float = CONFIDENCE) -> int:
    """The smallest sample that has a two-sided interval for the p-quantile.

    Both tails get half of the error: 1 - max(p, 1-p)^n must reach 1 - (1 - confidence)/2 (Conover, Practical
    Nonparametric Statistics, 3.2).
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(p, 1 - p)))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
