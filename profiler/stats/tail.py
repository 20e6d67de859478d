"""Whether the slow end of two runs differs, which means hide."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profiler.stats.paired import Samples
from profiler.stats.quantiles import CONFIDENCE

_RESAMPLES = 1999
_OF_AN_END = 999  # an end of an interval takes a dozen tests
_SEED = 20_26
_FINE = 5e-4  # in log units: how closely an end of an interval is sought
_FIRST_STEP = 0.05
_FARTHEST = 10.0  # in log units: a factor of 22,000
FEWEST_PAIRS = 6  # of five pairs all 32 swaps together reject nothing at 2.5%


@dataclass(frozen=True, slots=True)
class QuantileChange:
    """Candidate over base at one quantile. None below six pairs, where no result could be significant."""

    p: float
    base: float | None
    """The quantile of all chains, as the values are."""
    candidate: float | None
    ratio: float | None
    """Of the quantiles of chains relative to their task: what the test is about."""
    p_slower: float | None
    """One-sided, of the hypothesis that a task's chains take equally long in both runs."""
    p_faster: float | None
    pairs: int


def quantile_change(
    base: Samples, candidate: Samples, p: float = 0.95, *, resamples: int = _RESAMPLES, seed: int = _SEED
) -> QuantileChange:
    """Whether the p-quantile of chains got worse, by exchanging chains within tasks.

    The i-th chain of a task in the base is paired with its i-th in the candidate; chains without partner are left out.
    If the runs do not differ, the two of a pair might as well be swapped: how extreme is the ratio of quantiles among
    what all swaps give (`scipy.stats.permutation_test`, kind "samples")?

        base        a1 a2 | b1 b2        relative to the median of a1 a2 a1' a2', of b1 b2 b1' b2'
        candidate   a1'a2'| b1'b2'       swaps: a1 with a1', …

    Every chain is divided by its task's median over both runs, or else the quantile is that of the longest tasks
    alone, and the quantile is Harrell and Davis's (A new distribution-free quantile estimator, Biometrika 69 (1982)
    635), a mean of order statistics that varies less than any single one. Both gain power: 84% in place of 59% for a
    p95 20% worse by a stall in a tenth of 100 chains.

    Exact for measurements interleaved in random order, whatever the distribution, also where chains of a task resemble
    each other. It rejects whatever moves the tail: a shift of all chains does so too. Deterministic: equal runs have
    equal results.

    Args:
        base: positive values per task, in the order of measurement; NaN is left out.
        candidate: likewise.
        p: above 0, below 1.
        resamples: swaps that are tried; all of them where they are fewer.
        seed: of the choice of swaps.

    Raises:
        ValueError: p out of range, or a value that is not positive and finite.
    """
    if not 0 < p < 1:
        msg = f"a quantile lies between 0 and 1, not at {p}"
        raise ValueError(msg)
    before, after, relative = _pairs(base, candidate)
    count = len(before)
    if not count:
        return QuantileChange(p, None, None, None, None, None, 0)
    quantiles = float(np.quantile(before, p)), float(np.quantile(after, p))
    if count < FEWEST_PAIRS:
        return QuantileChange(p, *quantiles, None, None, None, count)
    from scipy import stats

    weights = _weights(count, p)

    def log_ratio(one: Any, other: Any, axis: int = -1) -> Any:
        """Of the second's quantile over the first's."""
        first, second = (np.sort(np.moveaxis(each, axis, -1), axis=-1) @ weights for each in (one, other))
        return np.log(second / first)

    test = stats.permutation_test(
        (before / relative, after / relative),
        log_ratio,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    null, seen = np.asarray(test.null_distribution), float(test.statistic)
    extra = 0 if len(null) == 2**count else 1  # of all swaps the one that was measured is among them
    lower = (np.count_nonzero(null <= seen + 1e-12) + extra) / (len(null) + extra)
    return QuantileChange(p, *quantiles, math.exp(seen), float(test.pvalue), float(lower), count)


@dataclass(frozen=True, slots=True)
class QuantileRatio:
    """A change with its interval, and p-values for other hypotheses than equality."""

    change: QuantileChange
    low: float | None
    """Of the ratio, and `high` likewise. None below six pairs, or beyond a factor of 22,000."""
    high: float | None
    _base: Samples = field(repr=False, compare=False)
    _candidate: Samples = field(repr=False, compare=False)
    _resamples: int = field(repr=False, compare=False)

    def p_above(self, bound: float) -> float | None:
        """One-sided, of the hypothesis that the ratio is at most `bound`.

        Raises:
            ValueError: the bound is not positive.
        """
        return _stretched(self._base, self._candidate, self.change.p, bound, self._resamples).p_slower


def quantile_ratio(
    base: Samples, candidate: Samples, p: float = 0.95, *, confidence: float = CONFIDENCE, resamples: int = _OF_AN_END
) -> QuantileRatio:
    """The ratio of `quantile_change` with an interval: the factors by which the base may be stretched unnoticed.

        factor      0.9    1.0    1.1    1.2    1.3       all of the base's chains times it, then `quantile_change`
        p_slower    .001   .014   .18    .61    .95       above 2.5% from `low` on
        p_faster    1.0    .99    .83    .40    .02       above 2.5% up to `high`

    The usual inversion of a test (Garthwaite, Confidence intervals from randomization tests, Biometrics 52 (1996)
    1387), here by halving: both p-values move one way with the factor. Exact where the candidate's chains are the
    base's, stretched; for a change of the tail alone an approximation.
    Deterministic.

    Args:
        base: as for `quantile_change`.
        candidate: likewise.
        p: likewise.
        confidence: of the two-sided interval.
        resamples: of each test.

    Raises:
        ValueError: as `quantile_change`, or confidence out of range.
    """
    if not 0 < confidence < 1:
        msg = f"confidence {confidence} must lie between 0 and 1"
        raise ValueError(msg)
    change = quantile_change(base, candidate, p, resamples=resamples)
    low = high = None
    if change.ratio is not None:
        alpha, middle = (1 - confidence) / 2, math.log(change.ratio)

        def tested(log: float) -> QuantileChange:
            return _stretched(base, candidate, p, math.exp(log), resamples)

        low = _end(middle, -1, lambda log: (tested(log).p_slower or 0.0) <= alpha)
        high = _end(middle, 1, lambda log: (tested(log).p_faster or 0.0) <= alpha)
    return QuantileRatio(change, low, high, base, candidate, resamples)


def _stretched(base: Samples, candidate: Samples, p: float, factor: float, resamples: int) -> QuantileChange:
    if not factor > 0:
        msg = f"a ratio is positive, not {factor}"
        raise ValueError(msg)
    longer = {task: [factor * value for value in values] for task, values in base.items()}
    return quantile_change(longer, candidate, p, resamples=resamples)


def _end(middle: float, side: int, rejected: Callable[[float], bool]) -> float | None:
    """The last factor, going from the middle to that side, that is not rejected."""
    inside, step = middle, _FIRST_STEP
    while not rejected(outside := middle + side * step):
        inside, step = outside, 2 * step
        if step > _FARTHEST:
            return None
    while abs(outside - inside) > _FINE:
        between = (inside + outside) / 2
        inside, outside = (inside, between) if rejected(between) else (between, outside)
    return math.exp(inside)


def _pairs(base: Samples, candidate: Samples) -> tuple[Any, Any, Any]:
    """All pairs' values before and after, and the median of each pair's task."""
    before, after, middle = [], [], []
    for task in base:
        if task not in candidate:
            continue
        a, b = (np.asarray(side[task], dtype=float) for side in (base, candidate))
        count = min(len(a), len(b))
        a, b = a[:count], b[:count]
        there = ~(np.isnan(a) | np.isnan(b))
        a, b = a[there], b[there]
        wrong = ~np.isfinite([*a, *b]) | (np.array([*a, *b]) <= 0)
        if wrong.any():
            msg = f"task {task!r}: {np.array([*a, *b])[wrong][0]:g} is not positive and finite"
            raise ValueError(msg)
        if len(a):
            before.append(a)
            after.append(b)
            middle.append(np.full(len(a), np.median([a, b])))
    if not before:
        return (np.empty(0),) * 3
    return np.concatenate(before), np.concatenate(after), np.concatenate(middle)


def _weights(count: int, p: float) -> Any:
    """Harrell and Davis's of the order statistics, as `scipy.stats.mstats.hdquantiles` has them for a single sample."""
    from scipy import special

    steps = special.betainc(p * (count + 1), (1 - p) * (count + 1), np.arange(count + 1) / count)
    return np.diff(steps)
