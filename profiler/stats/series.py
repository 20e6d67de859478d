"""Chains in the order of measurement: whether the first ones are slower, and how much they say of each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_FEWEST = 8  # values; of fewer nothing can be told
_SIGNIFICANT = 0.05
_RESAMPLES = 1999
_SEED = 20_26


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How many of the first chains are slower than the rest, if any."""

    chains: int
    """To be left out; 0 if chance explains the beginning."""
    slower: float
    """Factor between those and the rest; 1 if there are none."""
    p_value: float


@dataclass(frozen=True, slots=True)
class EffectiveSize:
    """How many independent values a series is worth."""

    values: int
    size: float
    p_dependent: float
    """One-sided, of the hypothesis that neighbours do not resemble each other."""


def relative_logs(values: Sequence[float], tasks: Sequence[Hashable]) -> Any:
    """Logarithms less the median of those of the same task, as an array: a series without what differs between tasks.

    A task that occurs once leaves 0, so tasks should be repeated, and not one after the other: else they take the drift
    with them.

    Args:
        values: positive, in the order of measurement.
        tasks: which task each is of.

    Raises:
        ValueError: a value is not positive and finite, or the lengths differ.
    """
    logs = np.asarray(values, dtype=float)
    if len(logs) != len(tasks) or not (np.isfinite(logs) & (logs > 0)).all():
        msg = "a series has positive, finite values, and as many tasks"
        raise ValueError(msg)
    logs = np.log(logs)
    for task in set(tasks):
        same = np.array([each == task for each in tasks])
        logs[same] -= np.median(logs[same])
    return logs


def warm_up(logs: Sequence[float], *, seed: int = _SEED) -> WarmUp | None:
    """Whether a series begins with slower chains, and how many.

    Where: the cut after which the mean of the rest is known best, the smallest sum of squares over the squared number
    of what is left, among cuts in the first half (MSER: White, Simulation 69 (1997) 323). Whether at all: the largest
    difference of means over its standard error among those cuts, compared with what other orders of the same values
    give (`scipy.stats.permutation_test`). Exact for values that do not depend on their neighbours; a drift towards
    faster looks like a long warm-up. A single slow first chain needs twenty to be significant.

    Args:
        logs: of `relative_logs`, or logarithms of one task's times.
        seed: of the orders that are tried.

    Returns:
        None with fewer than eight values.
    """
    series = np.asarray(logs, dtype=float)
    count = len(series)
    if count < _FEWEST:
        return None
    if np.ptp(series) == 0:
        return WarmUp(0, 1.0, 1.0)
    from scipy import stats

    test = stats.permutation_test(
        (series,),
        lambda values, axis=-1: _lead(np.moveaxis(values, axis, -1)),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_RESAMPLES,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    p_value = float(test.pvalue)
    if p_value > _SIGNIFICANT:
        return WarmUp(0, 1.0, p_value)
    rests = [series[cut:] for cut in range(count // 2 + 1)]
    cut = int(np.argmin([float(np.var(rest)) / len(rest) for rest in rests]))
    slower = float(np.exp(series[:cut].mean() - series[cut:].mean())) if cut else 1.0
    return WarmUp(cut, slower, p_value) if slower > 1 else WarmUp(0, 1.0, p_value)


def effective_size(logs: Sequence[float], *, seed: int = _SEED) -> EffectiveSize | None:
    """How many independent values have a mean as certain as this series has.

    n / (1 + 2 * sum of autocorrelations), summed as long as the sum of the next two is positive (Geyer, Practical
    Markov chain Monte Carlo, Statist. Sci. 7 (1992) 473), at most n. Whether neighbours depend on each other at all:
    the first autocorrelation among those of other orders of the same values (`scipy.stats.permutation_test`). The
    series must be
    stationary: a drift or a warm-up counts as dependence. Of fewer than fifty values the size is a rough guess, and
    too large.

    Args:
        logs: of `relative_logs`, or logarithms of one task's times.
        seed: of the orders that are tried.

    Returns:
        None with fewer than eight values.
    """
    series = np.asarray(logs, dtype=float)
    count = len(series)
    if count < _FEWEST:
        return None
    if np.ptp(series) == 0:
        return EffectiveSize(count, float(count), 1.0)
    from scipy import signal, stats

    away = series - series.mean()
    correlations = signal.correlate(away, away, method="auto")[count - 1 :] / (away @ away)
    pairs = correlations[: 2 * (count // 2)].reshape(-1, 2).sum(axis=1)
    stop = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    inflation = max(1.0, 2 * float(pairs[:stop].sum()) - 1)
    test = stats.permutation_test(
        (away,),
        lambda values, axis=-1: (np.diff(values, axis=axis) ** 2).sum(axis=axis),  # small where neighbours are alike
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_RESAMPLES,
        alternative="less",
        rng=np.random.default_rng(seed),
    )
    return EffectiveSize(count, count / inflation, float(test.pvalue))


def _lead(series: Any) -> Any:
    """The largest standardised lead of a beginning over its rest, along the last axis."""
    count = series.shape[-1]
    cuts = np.arange(1, count // 2 + 1)
    sums = np.cumsum(series, axis=-1)
    first = sums[..., cuts - 1] / cuts
    rest = (sums[..., -1:] - sums[..., cuts - 1]) / (count - cuts)
    return ((first - rest) / np.sqrt(1 / cuts + 1 / (count - cuts))).max(axis=-1)
