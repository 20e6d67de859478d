"""How many times as much, where there may be none: the ratio of means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profiler.stats.pairs import Samples, paired_values
from profiler.stats.quantiles import CONFIDENCE

_FEWEST_TASKS = 2
_NO_SPREAD = 1e-12  # of the means: what is left of nothing by rounding


@dataclass(frozen=True, slots=True)
class MeansRatio:
    """Mean of the candidate over mean of the base, every task counting alike. What cannot be known is None."""

    base: float | None
    candidate: float | None
    ratio: float | None
    """None without a task, and where the base has nothing and the candidate something; 1 where neither has."""
    low: float | None
    """None also where the base might as well have nothing: then any ratio is possible."""
    high: float | None
    tasks: int
    _before: Any = field(repr=False, compare=False, default=None)  # a mean per task
    _after: Any = field(repr=False, compare=False, default=None)

    def p_above(self, bound: float) -> float | None:
        """One-sided, of the hypothesis that the ratio is at most `bound`; None below two tasks.

        The paired t-test of candidate - bound * base.
        """
        if self.tasks < _FEWEST_TASKS:
            return None
        from scipy import stats

        differences = self._after - bound * self._before
        scale = max(float(np.abs(self._after).max()), float(np.abs(self._before).max()))
        if np.ptp(differences) <= _NO_SPREAD * scale:
            return 0.0 if differences.mean() > _NO_SPREAD * scale else 1.0
        return float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)


def ratio_of_means(base: Samples, candidate: Samples, *, confidence: float = CONFIDENCE) -> MeansRatio:
    """How many times as much a chain has of something that some chains have nothing of, over the tasks of both runs.

    What is 0 has no logarithm, so `paired_ratio` cannot take it. Here a task's chains become their mean, and the means
    over tasks are divided: long tasks weigh more. The interval holds the ratios r that the paired t-test of
    candidate - r * base does not reject (Fieller, Some problems in interval estimation, J. R. Statist. Soc. B 16
    (1954) 175): the roots of a quadratic. It assumes independent tasks and differences that are not far from normal.

    Args:
        base: values from 0 on per task; NaN is left out.
        candidate: likewise.
        confidence: of the two-sided interval.

    Raises:
        ValueError: a value is infinite, naming the task; confidence out of range.
    """
    if not 0 < confidence < 1:
        msg = f"confidence {confidence} must lie between 0 and 1"
        raise ValueError(msg)
    pairs = paired_values(base, candidate, positive=False)
    if not pairs:
        return MeansRatio(None, None, None, None, None, 0)
    before, after = (np.array([side.mean() for side in sides]) for sides in zip(*pairs, strict=True))
    means = float(before.mean()), float(after.mean())
    ratio = means[1] / means[0] if means[0] else (1.0 if not means[1] else None)
    low, high = (None, None) if len(pairs) < _FEWEST_TASKS else _fieller(before, after, confidence)
    return MeansRatio(*means, ratio, low, high, len(pairs), before, after)


def _fieller(before: Any, after: Any, confidence: float) -> tuple[float | None, float | None]:
    """Both roots; None where the base's mean is not surely above 0, which leaves one side open or both."""
    from scipy import special

    if not before.any() and not after.any():
        return 1.0, 1.0
    count = len(before)
    reach = float(special.stdtrit(count - 1, (1 + confidence) / 2)) ** 2 / count
    (own, both), (_, other) = np.cov(before, after)
    square = before.mean() ** 2 - reach * own
    half = before.mean() * after.mean() - reach * both
    rest = after.mean() ** 2 - reach * other
    if square <= 0:
        return None, None
    root = math.sqrt(max(half**2 - square * rest, 0.0))
    return max(float((half - root) / square), 0.0), float((half + root) / square)
