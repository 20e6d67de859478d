"""Intervals of what has no formula, by resampling tasks; only with tasks enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.stats.paired import Samples
from profiler.stats.quantiles import CONFIDENCE

FEWEST_TASKS = 20
_RESAMPLES = 1999
_SEED = 20_26

Statistic = Callable[[Any], float]
"""Of all chains of the (resampled) tasks in one run: positive, an array in, a number out."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """Candidate over base, of any statistic; without an interval below `FEWEST_TASKS`."""

    ratio: float | None
    low: float | None
    high: float | None
    tasks: int


def bootstrap_ratio(
    base: Samples,
    candidate: Samples,
    statistic: Statistic,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = _RESAMPLES,
    seed: int = _SEED,
) -> Resampled:
    """The ratio of a statistic of all chains (their mean, a quantile), with the interval of a cluster bootstrap.

    Tasks are drawn with replacement, each with all its chains of both runs; the middle share of the ratios is the
    interval (percentile method: Efron and Tibshirani, An Introduction to the Bootstrap, 13; resampling whole clusters:
    Davison and Hinkley, Bootstrap Methods, 3.8). It assumes independent tasks and so many that those at hand stand for
    all: the interval is too narrow with few, by simulation 85% in place of 95% with 10, so below 20 tasks there is
    none. Where the mean of logarithms will do, `paired_ratio` has no such limit. Deterministic: equal runs have equal
    results.

    Args:
        base: positive values per task; NaN is left out.
        candidate: likewise. Tasks that only one side has are left out.
        statistic: such as `np.mean`, or a quantile.
        confidence: of the two-sided interval.
        resamples: sets of tasks drawn.
        seed: of the draws.

    Raises:
        ValueError: confidence out of range, or the statistic of a side is not positive.
    """
    if not 0 < confidence < 1:
        msg = f"confidence {confidence} must lie between 0 and 1"
        raise ValueError(msg)
    both = [_known(base, candidate, task) for task in base if task in candidate]
    pairs = [(before, after) for before, after in both if len(before) and len(after)]
    if not pairs:
        return Resampled(None, None, None, 0)
    ratio = _ratio(pairs, statistic)
    if len(pairs) < FEWEST_TASKS:
        return Resampled(ratio, None, None, len(pairs))
    from scipy import stats

    interval = stats.bootstrap(
        (np.arange(len(pairs)),),
        lambda drawn: math.log(_ratio([pairs[index] for index in drawn], statistic)),
        vectorized=False,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Resampled(ratio, math.exp(interval.low), math.exp(interval.high), len(pairs))


def _known(base: Samples, candidate: Samples, task: str) -> tuple[Any, Any]:
    first, second = (np.asarray(side[task], dtype=float) for side in (base, candidate))
    return first[~np.isnan(first)], second[~np.isnan(second)]


def _ratio(pairs: list[tuple[Any, Any]], statistic: Statistic) -> float:
    before, after = (float(statistic(np.concatenate(side))) for side in zip(*pairs, strict=True))
    if not (before > 0 and after > 0):
        msg = f"the statistic must be positive on both sides, not {before:g} and {after:g}"
        raise ValueError(msg)
    return after / before
