"""How much of the error each look at growing data may use up.

Whoever looks again and again at 2.5% is wrong in 8% of all cases after five looks. So each look gets a level of its
own, such that all of them together come to alpha (Lan and DeMets, Discrete sequential boundaries for clinical trials,
Biometrika 70 (1983) 659).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_POINTS = 301  # of the grid: bounds are right to four digits
_NORMAL_ENOUGH = 20  # units
_PATHS = 40_000  # a level of 2.5% is right to 0.08%
_SEED = 20_26
_FEWEST_UNITS = 4
_REACH = 9.0  # standard deviations that it covers below


def spent(fraction: float, alpha: float, gamma: float) -> float:
    """The error that may be used up when this share of the data is there, of alpha in all.

    alpha * (1 - exp(-gamma * t)) / (1 - exp(-gamma)) (Hwang, Shih and De Cani, Statist. Med. 9 (1990) 1439). Near
    gamma = 1 the early looks are generous, as Pocock's; at -4 they are strict, as O'Brien and Fleming's; 0 spends
    evenly.

    Args:
        fraction: 0 to 1.
        alpha: one-sided.
        gamma: the shape.
    """
    if gamma == 0:
        return alpha * fraction
    return alpha * math.expm1(-gamma * fraction) / math.expm1(-gamma)


def levels(fractions: Sequence[float], alpha: float, gamma: float) -> tuple[float, ...]:
    """One-sided levels of the looks, such that the probability of rejecting at any of them comes to alpha.

        |        reject       c1 . c2 . c3          the share of the density beyond c2 of those
        |-------------------- - -.- - -.-           that were below c1 is what look 2 may spend
        0   t1        t2        t3  data

    The sum of the data is a Brownian motion seen at the looks; its density below the bounds is carried from look to
    look by numerical integration (Armitage, McPherson and Rowe, J. R. Statist. Soc. A 132 (1969) 235). It holds for
    statistics that are normal; of t statistics the levels are used, not the bounds, which is exact enough (Jennison
    and Turnbull, Group Sequential Methods, 3.8, and `benchmarks/gate.py`).

    Args:
        fractions: of the data at each look, rising, the last at most 1.
        alpha: the one-sided level in all.
        gamma: see `spent`.

    Raises:
        ValueError: fractions that do not rise from above 0 to at most 1, or alpha out of range.
    """
    steps = np.diff([0.0, *fractions])
    if not len(fractions) or (steps <= 0).any() or fractions[-1] > 1 + 1e-9 or not 0 < alpha < 0.5:  # noqa: PLR2004
        msg = f"looks at {list(fractions)} of the data must rise from above 0 to 1, alpha {alpha} be below 0.5"
        raise ValueError(msg)
    from scipy import optimize, special

    found: list[float] = []
    used = 0.0
    grid, mass = np.zeros(1), np.ones(1)  # where the sum is, and how much of the probability
    for fraction, step in zip(fractions, steps, strict=True):
        budget = spent(min(fraction, 1.0), alpha, gamma) - used
        used += budget

        def missing(bound: float, grid: Any = grid, mass: Any = mass, step: float = step, aim: float = budget) -> float:
            return _beyond(bound, grid, mass, step) - aim

        top = _REACH * math.sqrt(fraction)
        bound = float(optimize.brentq(missing, -top, top, xtol=1e-12))
        found.append(float(special.ndtr(-bound / math.sqrt(fraction))))
        grid, mass = _carried(grid, mass, bound, step, fraction)
    return tuple(found)


def last_level(
    pairs: Sequence[int], tasks: int, before: Sequence[float], alpha: float, *, pairs_are_units: bool
) -> float:
    """The level of a last look that comes sooner than planned: what the looks before it have left of alpha.

        look 1   look 2   now       planned
        l1       l2       the rest  never comes

    It holds if the moment does not depend on how the two sides compare (Lan and DeMets, Changing frequency of interim
    analysis in sequential monitoring, Biometrics 45 (1989) 1017), as it does not where time is up. By the density of
    the sum, as `levels`; with few units by simulation, as `share_of_levels`.

    Args:
        pairs: at each look that there was, and now; rising.
        tasks: measured in rounds; the last round need not be whole.
        before: levels of those looks, one less than pairs.
        alpha: what all shall come to.
        pairs_are_units: the t statistics are of pairs, not of tasks.
    """
    if len(pairs) == 1:
        return alpha
    units = pairs[-1] if pairs_are_units else min(pairs[-1], tasks)
    if units < _FEWEST_UNITS:
        return alpha - sum(before)  # t statistics of two or three values: whatever depends on what, that is safe
    if units < _NORMAL_ENOUGH:
        p_values = _simulated(pairs, tasks, pairs_are_units)
        rejected = (p_values[:-1] <= np.array(before)[:, None]).any(axis=0)
        left = np.sort(p_values[-1][~rejected])
        return min(alpha, float(left[max(0, int(alpha * _PATHS) - int(rejected.sum()) - 1)]))
    from scipy import optimize, special

    fractions = [count / pairs[-1] for count in pairs]
    grid, mass, left_of_alpha, steps = np.zeros(1), np.ones(1), alpha, np.diff([0.0, *fractions])
    for fraction, step, level in zip(fractions, steps, before, strict=False):
        bound = -float(special.ndtri(level)) * math.sqrt(fraction)
        left_of_alpha -= _beyond(bound, grid, mass, step)
        grid, mass = _carried(grid, mass, bound, step, fraction)
    bound = float(
        optimize.brentq(lambda x: _beyond(x, grid, mass, steps[-1]) - left_of_alpha, -_REACH, _REACH, xtol=1e-12)
    )
    return float(special.ndtr(-bound))


def share_of_levels(
    pairs: Sequence[int], tasks: int, nominal: Sequence[float], alpha: float, *, pairs_are_units: bool
) -> float:
    """By what factor levels of normal statistics have to be lowered for t statistics of few tasks; at most 1.

    With five tasks and ten looks the levels would come to 3.3% in place of 2.5%, because the estimated spread gets
    another chance to be too small at every look. By simulation of the plan itself without any difference, seeded, so
    that equal plans have equal levels; from 20 units on it is 1.

    Args:
        pairs: at each look.
        tasks: measured in rounds.
        nominal: of `levels`.
        alpha: what they shall come to.
        pairs_are_units: the t statistics are of pairs, not of tasks.
    """
    if len(pairs) == 1 or min(pairs[-1], pairs[-1] if pairs_are_units else tasks) >= _NORMAL_ENOUGH:
        return 1.0
    p_values = _simulated(pairs, tasks, pairs_are_units)
    # each path's largest share at which it would still be rejected somewhere: the alpha quantile is the one wanted
    return min(1.0, float(np.quantile((p_values / np.array(nominal)[:, None]).min(axis=0), alpha)))


def _simulated(pairs: Sequence[int], tasks: int, pairs_are_units: bool) -> Any:  # noqa: FBT001
    """p-values of paths without any difference: a row per look."""
    draw = np.random.default_rng(_SEED)
    differences = draw.standard_normal((_PATHS, -(-pairs[-1] // tasks) * tasks))
    return np.array([_p_values(differences[:, :count], tasks, pairs_are_units) for count in pairs])


def _p_values(differences: Any, tasks: int, pairs_are_units: bool) -> Any:  # noqa: FBT001
    """One-sided, of the paths up to here."""
    from scipy import special

    paths, count = differences.shape
    if not pairs_are_units and count > tasks:
        rounds, more = divmod(count, tasks)  # of some tasks there may be one pair more
        sums = differences[:, : rounds * tasks].reshape(paths, rounds, tasks).sum(axis=1)
        sums[:, :more] += differences[:, rounds * tasks :]
        differences = sums / (rounds + (np.arange(tasks) < more))
    units = differences.shape[1]
    t = differences.mean(axis=1) / (differences.std(axis=1, ddof=1) / math.sqrt(units))
    return special.stdtr(units - 1, -t)


def _beyond(bound: float, grid: Any, mass: Any, step: float) -> float:
    """The probability that the sum is above the bound after a step."""
    from scipy import special

    return float((mass * special.ndtr((grid - bound) / math.sqrt(step))).sum())


def _carried(grid: Any, mass: Any, bound: float, step: float, fraction: float) -> tuple[Any, Any]:
    """The probability below the bound after a step, by Simpson's rule."""
    points = np.linspace(-_REACH * math.sqrt(fraction), bound, _POINTS)
    weights = np.full(_POINTS, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    weights *= (points[1] - points[0]) / 3
    density = np.exp(-((points[:, None] - grid[None, :]) ** 2) / (2 * step)) / math.sqrt(2 * math.pi * step)
    return points, weights * (density @ mass)
