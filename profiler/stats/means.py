"""How certain a mean is, where nothing is known of the distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from profiler.stats.quantiles import CONFIDENCE

_RESAMPLES = 2000
_LARGE = 400  # from here on a mean of chains is normal enough, and resampling only takes time
_SEED = 20_26


def mean_lower_bound(sample: Sequence[float] | Any, confidence: float = CONFIDENCE) -> float | None:
    """A lower bound of the mean: the lower end of the two-sided percentile bootstrap interval.

    Large samples take the normal approximation. Deterministic: equal samples have equal bounds. None below 2
    observations, where nothing tells how much they vary.
    """
    import numpy as np

    values = np.asarray(sample, dtype=float)
    size = len(values)
    if size < 2:  # noqa: PLR2004
        return None
    tail = (1 - confidence) / 2
    if size > _LARGE:
        return float(values.mean() - NormalDist().inv_cdf(1 - tail) * values.std(ddof=1) / math.sqrt(size))
    picks = np.random.default_rng(_SEED).integers(0, size, (_RESAMPLES, size))
    return float(np.quantile(values[picks].mean(axis=1), tail))
