"""Quantiles with confidence intervals, where the sample allows one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Quantile:
    """An estimate in the unit of the sample; a bound is None where the sample is too small to have one."""

    p: float
    n: int
    value: float
    low: float | None
    high: float | None


def quantile(sample: Sequence[float] | Any, p: float) -> Quantile | None:
    """The p-quantile (linear interpolation) with its two-sided 95% interval.

    The interval is the distribution-free one of order statistics: the binomial test of the quantile, inverted
    (Conover, Practical Nonparametric Statistics, 3.2). It assumes independent observations: of chains, never of calls,
    which share their chain. None for an empty sample.
    """
    if not len(sample):
        return None
    import numpy as np

    ordered = np.sort(np.asarray(sample, dtype=float))
    first, last = _interval(len(ordered), p)
    return Quantile(
        p,
        len(ordered),
        float(np.quantile(ordered, p)),
        float(ordered[first]) if first >= 0 else None,
        float(ordered[last]) if last < len(ordered) else None,
    )


def _interval(n: int, p: float) -> tuple[int, int]:
    """Between which observations of n, in order and counted from 0, the quantile lies; -1 and n are none.

    As `scipy.stats.quantile_test` has it, which the tests hold it against. How many of n lie below the quantile is
    binomial; importing scipy for that alone would take a second of every report.
    """
    import numpy as np

    ways = np.cumsum(np.log(np.arange(n, 0, -1) / np.arange(1, n + 1)))  # of choosing 1, 2 … n of them, logarithm
    below = np.arange(n + 1)
    chance = np.exp(np.concatenate([[0.0], ways]) + below * math.log(p) + (n - below) * math.log1p(-p))
    tail = (1 - CONFIDENCE) / 2
    at_most = np.cumsum(chance)
    more = np.append(np.cumsum(chance[:0:-1])[::-1], 0.0)
    return int(np.argmax(at_most >= tail)) - 1, int(np.argmax(more <= tail))


def chains_needed(p: float, confidence: float = CONFIDENCE) -> int:
    """The smallest sample that has a two-sided interval for the p-quantile.

    Both tails get half of the error: 1 - max(p, 1-p)^n must reach 1 - (1 - confidence)/2 (Conover, Practical
    Nonparametric Statistics, 3.2).
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(p, 1 - p)))
