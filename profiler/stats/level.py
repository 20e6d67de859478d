"""A series of runs, one value each: whether its level changed, where, and by how much.

    value   o o   o                       at = 6: the first run of the new level
              o o   o
                      x x   x
                          x   x x
    run     0 1 2 3 4 5 6 7 8 9 . .

Runs are measured on other days, on a machine that is faster on some than on others, and days that follow each other
resemble each other. So what a single run knows of its own chains is no measure of the noise: it is estimated from how
runs of one level differ, and neighbours are taken to be correlated by an unknown amount.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np

from profiler.stats.quantiles import CONFIDENCE

FEWEST: Final = 6
"""Runs; in fewer no level is looked for."""
SHORTEST: Final = 2
"""Runs of a level: one slow run is no new level."""
MOST: Final = 100
ALPHA: Final = 0.05
LAG_ONE: Final = tuple(i / 10 for i in range(8))
"""Correlations of neighbouring runs that are held to be possible, all alike: 0 to 0.7."""
_DRAWS: Final = 3000  # series per correlation
_LIKE: Final = 1000  # of these, by weight, a p-value is made
_WIDER: Final = (1.0, 1.5, 2.0, 3.0, 5.0)
_CUTS: Final = 0.9  # of alpha: the rest is for stretches
_SEED: Final = 20_26
_SAME: Final = 1e-9  # in log units: as good as no difference
_EXACT: Final = 1e-12  # of the sum of squares: what floats lose
_POWER: Final = 0.84  # standard normal quantile of 0.8


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the level. Indices count values; sizes are in the values' unit."""

    at: int
    """The first value of the new level."""
    earliest: int
    """`at` lies from here, with the confidence asked for,"""
    latest: int
    """to here."""
    before: float
    """Mean of the level that ends here, back to the change before it."""
    after: float
    low: float
    """Of the interval of `size`."""
    high: float
    p_value: float
    """Corrected: for all places at which the level could have changed, for parts of the series, and for `tests`."""

    @property
    def size(self) -> float:
        """How much higher the new level is."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Levels:
    """What a series comes to. None: there are too few values, or they are all the same."""

    changes: tuple[Change, ...]
    noise: float | None
    """Standard deviation of the values about their level."""
    lag_one: float | None
    """How much neighbours resemble each other, as estimated: the mean of what is possible given the values."""
    p_value: float | None
    """Of the hypothesis that there is no change at all, corrected as those of changes are."""
    detectable: float | None
    """About the size of a change in the middle of so long a series that is found with a probability of 0.8."""


def levels(values: Sequence[float], *, alpha: float = ALPHA, tests: int = 1, confidence: float = CONFIDENCE) -> Levels:
    """Find where the level of a series changes.

    **The statistic** is the largest standardised difference of means over all places where the series can be cut, with
    at least two values on either side (Hawkins, JASA 72 (1977) 180; Worsley, JASA 74 (1979) 365):

        T = max over k of |mean(k ...) - mean(... k)| / (s sqrt(1/k + 1/(n - k)))        s: pooled, about both means

    **Its p-value** is from simulated series without a change. These are normal and autoregressive,

        x[i] = rho x[i-1] + noise,      rho one of 0, 0.1, ... 0.7, each as often

    and only those count whose correlation of neighbours, about the means on either side of their own best cut,
    is like the one seen (weights of a normal density, of bandwidth 0.5 / sqrt(n), or more where there are few). So it
    is right on the average over machines with such correlations: for independent runs alarms are much rarer than
    alpha, at 0.5 about as often, at 0.7 and in a random walk more often (docs/statistics.md has the figures). Taking 20
    such runs for independent raises 34% of false alarms at 0.5 (see also Lund et al., J. Climate 20 (2007) 5178). No
    test tells a drift that lasts from a change.

    **A change that was undone** hides from a single cut, so a stretch against what is around it is looked for as well,
    in the same way (circular binary segmentation, Olshen et al., Biostatistics 5 (2004) 557). Cuts get 0.9 of alpha,
    stretches 0.1.

    **Several changes** are found by looking at the parts again (binary segmentation, Vostrikova 1981). A part of m of n
    values is tested at alpha m / n, so that all parts of one generation share alpha. Then each place is looked for once
    more between its neighbours.

    **Where**: all places whose likelihood is not too much below the best one's (Siegmund, Int. Stat. Rev. 56 (1988) 31:
    n ln(RSS[k] / RSS) below c, the tail on either side being at most exp(-c/2)).

    **How much**: the difference of the means with the t interval, its standard error raised by
    sqrt((1 + rho) / (1 - rho)). It is an interval for a change at that place.

    Args:
        values: in the order of time; logarithms, if ratios are meant. Of more than 100 the last.
        alpha: probability of any change in a series that has none.
        tests: how many such series are looked at, all of which may share that probability (Bonferroni).
        confidence: of the intervals of size and place.

    Raises:
        ValueError: a value is not finite; alpha, confidence or tests out of range.
    """
    series = np.asarray(values, dtype=float)
    if not np.isfinite(series).all() or not 0 < alpha < 1 or not 0 < confidence < 1 or tests < 1:
        msg = "a series has finite values, alpha and confidence lie between 0 and 1, and there is at least one test"
        raise ValueError(msg)
    left_out = max(0, len(series) - MOST)
    series = series[left_out:]
    if len(series) < FEWEST or np.ptp(series) <= _SAME:
        return Levels((), None, None, None, None)
    whole = _looked_at(series)[0] * tests
    cuts = _looked_again(series, _segmented(series, alpha, tests))
    edges = [0, *cuts, len(series)]
    changes = tuple(
        _change(series[start:end], at - start, start + left_out, min(1.0, p_value), confidence)
        for (at, p_value), start, end in zip(cuts.items(), edges, edges[2:], strict=False)
    )
    noise = _spread(series, edges)
    shift = (_critical(len(series), alpha / tests) + _POWER) * 2 / math.sqrt(len(series))
    return Levels(changes, noise, _correlation(series), min(1.0, whole), shift * noise)


def _segmented(series: Any, alpha: float, tests: int) -> dict[int, float]:
    """Where to cut, in order, with the p-values."""
    found: dict[int, float] = {}
    parts = [(0, len(series))]
    while parts:
        start, end = parts.pop()
        part = series[start:end]
        if len(part) < FEWEST or np.ptp(part) <= _SAME:
            continue
        p_value, places = _looked_at(part)
        corrected = p_value * tests * len(series) / len(part)
        if corrected <= alpha:
            edges = [start, *(start + place for place in places), end]
            found |= dict.fromkeys(edges[1:-1], corrected)
            parts += pairwise(edges)
    return dict(sorted(found.items()))


def _looked_at(part: Any) -> tuple[float, tuple[int, ...]]:
    """The p-value of no change in a part, and where it would be cut: at one place, or at both ends of a stretch."""
    cut, stretch = (_p_value(part, shape) / own for shape, own in ((_best_cuts, _CUTS), (_best_stretches, 1 - _CUTS)))
    if cut <= stretch:
        return cut, (int(_best_cuts(part[None])[2][0]),)
    return stretch, tuple(int(place) for place in _best_stretches(part[None])[2][0])


def _looked_again(series: Any, cuts: dict[int, float]) -> dict[int, float]:
    """Each place, looked for between its neighbours: the first cut was made when the others were not known."""
    places = list(cuts)
    for number in range(len(places)):
        start = places[number - 1] if number else 0
        end = places[number + 1] if number + 1 < len(places) else len(series)
        if end - start >= 2 * SHORTEST:
            places[number] = start + int(_best_cuts(series[None, start:end])[2][0])
    return dict(zip(places, cuts.values(), strict=True))


def _change(part: Any, at: int, offset: int, p_value: float, confidence: float) -> Change:
    """The change at `at` of a part of the series that begins at `offset`."""
    from scipy import special

    n = len(part)
    before, after = float(part[:at].mean()), float(part[at:].mean())
    left = _left_over(part)
    least = float(left[at - 1])
    if least <= _EXACT * float(((part - part.mean()) ** 2).sum()):  # without noise there is no doubt
        size = after - before
        return Change(at + offset, at + offset, at + offset, before, after, size, size, p_value)
    rho = _correlation(part)
    raised = (1 + rho) / (1 - rho)
    error = math.sqrt(least / (n - 2) * (1 / at + 1 / (n - at)) * raised)
    reach = float(special.stdtrit(n - 2, (1 + confidence) / 2)) * error
    within = -2 * math.log(1 - math.sqrt(confidence))
    possible = np.flatnonzero(n * np.log(left / least) <= within) + 1
    earliest, latest = (int(possible[end]) + offset for end in (0, -1))
    size = after - before
    return Change(at + offset, earliest, latest, before, after, size - reach, size + reach, p_value)


def _left_over(part: Any) -> Any:
    """Sum of squares about the means on either side of each cut from 1 to n - 1; infinite where a side is too short."""
    n = len(part)
    centred = part - part.mean()
    k = np.arange(1, n)
    total = (centred**2).sum()
    left = np.maximum(total - np.cumsum(centred)[:-1] ** 2 * n / (k * (n - k)), _EXACT * total)
    left[(k < SHORTEST) | (k > n - SHORTEST)] = np.inf
    return left


def _spread(series: Any, edges: Sequence[int]) -> float:
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in np.split(series, edges[1:-1]))
    return math.sqrt(squares / max(1, len(series) - len(edges) + 1))


def _best_cuts(rows: Any) -> tuple[Any, Any, Any]:
    """Of each row: T, the correlation of neighbours about the two means, and where the best cut is."""
    n = rows.shape[1]
    centred = rows - rows.mean(axis=1, keepdims=True)
    sums = np.cumsum(centred, axis=1)[:, :-1]
    k = np.arange(1, n)
    between = sums**2 * n / (k * (n - k))
    between[:, (k < SHORTEST) | (k > n - SHORTEST)] = -1
    cut = between.argmax(axis=1)
    explained = np.take_along_axis(between, cut[:, None], axis=1)[:, 0]
    total = (centred**2).sum(axis=1)
    left = np.maximum(total - explained, _EXACT * total)
    at = cut + 1
    half = np.take_along_axis(sums, cut[:, None], axis=1)[:, 0]
    after = np.arange(n) >= at[:, None]
    centred += np.where(after, (half / (n - at))[:, None], (-half / at)[:, None])
    products = centred[:, 1:] * centred[:, :-1]
    products[np.arange(1, n) == at[:, None]] = 0  # across the cut
    return np.sqrt(explained / left * (n - 2)), products.sum(axis=1) / left, at


def _best_stretches(rows: Any) -> tuple[Any, Any, Any]:
    """As `_best_cuts`, of a stretch against what is on both sides of it; where it begins and where it ends."""
    count, n = rows.shape
    centred = rows - rows.mean(axis=1, keepdims=True)
    sums = np.cumsum(np.pad(centred, ((0, 0), (1, 0))), axis=1)
    explained, start, length = np.full(count, -1.0), np.zeros(count, int), np.zeros(count, int)
    for size in range(SHORTEST, n - 2 * SHORTEST + 1):
        inside = sums[:, size + SHORTEST : n - SHORTEST + 1] - sums[:, SHORTEST : n - SHORTEST - size + 1]
        between = inside**2 * n / (size * (n - size))
        best = between.argmax(axis=1)
        value = np.take_along_axis(between, best[:, None], axis=1)[:, 0]
        better = value > explained
        explained = np.where(better, value, explained)
        start, length = np.where(better, best + SHORTEST, start), np.where(better, size, length)
    end = start + length
    total = (centred**2).sum(axis=1)
    left = np.maximum(total - explained, _EXACT * total)
    half = (np.take_along_axis(sums, end[:, None], axis=1) - np.take_along_axis(sums, start[:, None], axis=1))[:, 0]
    place = np.arange(n)
    inside = (place >= start[:, None]) & (place < end[:, None])
    centred -= np.where(inside, (half / length)[:, None], (-half / (n - length))[:, None])
    products = centred[:, 1:] * centred[:, :-1]
    products[(place[1:] == start[:, None]) | (place[1:] == end[:, None])] = 0
    return np.sqrt(explained / left * (n - 2)), products.sum(axis=1) / left, np.stack([start, end], axis=1)


_Shape = Callable[[Any], tuple[Any, Any, Any]]


@lru_cache(maxsize=256)
def _without_change(n: int, shape: _Shape) -> tuple[Any, Any, Any]:
    """T, correlation of neighbours and true rho of simulated series of this length without a change; seeded."""
    draw = np.random.default_rng(_SEED)
    found = []
    for rho in LAG_ONE:
        rows = draw.standard_normal((_DRAWS, n))
        rows[:, 1:] *= math.sqrt(1 - rho**2)
        for column in range(1, n):
            rows[:, column] += rho * rows[:, column - 1]
        found.append(shape(rows)[:2])
    largest, correlation = (np.concatenate(each) for each in zip(*found, strict=True))
    return largest, correlation, np.repeat(LAG_ONE, _DRAWS)


def _weights(n: int, seen: float, shape: _Shape) -> Any:
    correlation = _without_change(n, shape)[1]
    apart = ((correlation - seen) * math.sqrt(n) / 0.5) ** 2 / 2
    for wider in _WIDER:  # where few series are like the one seen, those that are less so count, too
        weights = np.exp(-(apart - apart.min()) / wider**2)
        weights /= weights.sum()
        if 1 / (weights**2).sum() >= _LIKE:
            break
    return weights


def _p_value(part: Any, shape: _Shape) -> float:
    """Of the hypothesis that the level did not change, wherever; never below what so many draws can tell."""
    largest, correlation, _ = (each[0] for each in shape(part[None]))
    weights = _weights(len(part), float(correlation), shape)
    beyond = float(weights[_without_change(len(part), shape)[0] >= largest].sum())
    return max(beyond, float((weights**2).sum()))


def _correlation(part: Any) -> float:
    seen = float(_best_cuts(part[None])[1][0])
    return float((_weights(len(part), seen, _best_cuts) * _without_change(len(part), _best_cuts)[2]).sum())


def _critical(n: int, alpha: float) -> float:
    """What T of a cut has to exceed, where neighbours are as correlated as those of independent runs seem to be."""
    largest, correlation, rho = _without_change(n, _best_cuts)
    weights = _weights(n, float(np.median(correlation[rho == 0])), _best_cuts)
    order = np.argsort(largest)
    beyond = 1 - np.cumsum(weights[order])
    return float(largest[order][int(np.argmax(beyond <= alpha * _CUTS))])
