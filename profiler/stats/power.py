"""What a paired comparison of n tasks can show, and how many tasks it takes."""

from __future__ import annotations

import math

_FEWEST = 2
_MOST = 1_000_000  # beyond it the answer is "not this way"


def power_of(shift: float, tasks: int, spread: float, alpha: float) -> float:
    """The probability that a one-sided paired t-test at level `alpha` finds a true shift.

    By the noncentral t distribution: P(T > t(1 - alpha; n - 1)) with noncentrality shift * sqrt(n) / spread (Cohen,
    Statistical Power Analysis, 2.5; `scipy.stats.nct`). Assumes normal differences and the spread as known.

    Args:
        shift: the true mean of the differences, above 0.
        tasks: number of differences, at least 2.
        spread: their standard deviation, in the unit of the shift.
        alpha: the one-sided level.
    """
    from scipy import special

    freedom = tasks - 1
    critical = special.stdtrit(freedom, 1 - alpha)
    return 1 - float(special.nctdtr(freedom, shift * math.sqrt(tasks) / spread, critical))


def detectable_shift(tasks: int, spread: float, alpha: float, power: float) -> float:
    """The smallest shift that is found with this probability; 0 where nothing varies.

    Raises:
        ValueError: fewer than two tasks, or alpha or power out of range.
    """
    _check(alpha, power)
    if tasks < _FEWEST:
        msg = f"{tasks} tasks: differences vary by nothing that could be known"
        raise ValueError(msg)
    if spread == 0:
        return 0.0
    from scipy import optimize, special

    # the central t's quantiles are a guess of the right size; the noncentral one's is never above twice that
    most = 4 * (special.stdtrit(tasks - 1, 1 - alpha) + special.stdtrit(tasks - 1, power))
    standard = optimize.brentq(
        lambda noncentrality: power_of(noncentrality / math.sqrt(tasks), tasks, 1.0, alpha) - power, 0.0, most
    )
    return float(standard) * spread / math.sqrt(tasks)


def sample_for(shift: float, spread: float, alpha: float, power: float) -> int | None:
    """How many tasks find the shift with this probability; at least 2, None beyond a million.

    Raises:
        ValueError: shift is not positive, or alpha or power out of range.
    """
    _check(alpha, power)
    if shift <= 0:
        msg = f"a shift to be found is above 0, not {shift}"
        raise ValueError(msg)
    low, high = _FEWEST - 1, _FEWEST
    if spread == 0:
        return high
    while power_of(shift, high, spread, alpha) < power:
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(shift, middle, spread, alpha) >= power else (middle, high)
    return high


def _check(alpha: float, power: float) -> None:
    if not 0 < alpha < power < 1:
        msg = f"level {alpha} and power {power} must lie between 0 and 1, the level below the power"
        raise ValueError(msg)
