"""Whether one thing rises with another, whatever the shape of it."""

from __future__ import annotations

from typing import Any

import numpy as np

_ALPHA = 0.01
_FEWEST = 10  # pairs below which nothing is said


def rises_with(values: Any, by: Any) -> bool:
    """Whether values are higher where `by` is: Spearman's rank correlation, one-sided, at 1%.

    Args:
        values: array of floats.
        by: array of as many.

    Returns:
        False also where there are too few pairs, or only one value of either.
    """
    values, by = np.asarray(values, dtype=float), np.asarray(by, dtype=float)
    if len(values) < _FEWEST or np.ptp(values) == 0 or np.ptp(by) == 0:
        return False
    from scipy import stats  # a second to import, and few runs come to here

    return bool(stats.spearmanr(values, by, alternative="greater").pvalue < _ALPHA)
