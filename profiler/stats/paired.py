"""Two runs of the same tasks: how much slower one is, and how sure that is.

Calls nest in chains and chains in tasks, so the task is the unit: all chains of a task become one number per run,
and a task is compared with itself alone. Whoever compares chains or calls as if they were independent counts one slow
task many times over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from profiler.stats.pairs import FEW_TASKS, Samples, by_block, by_pair, noise_within, paired_values
from profiler.stats.power import detectable_shift, sample_for
from profiler.stats.quantiles import CONFIDENCE

__all__ = [
    "FEW_TASKS",
    "PairedRatio",
    "Samples",
    "Shift",
    "Verdict",
    "by_block",
    "by_pair",
    "paired_ratio",
    "shift_of_counts",
    "verdict",
]

POWER = 0.8  # the usual one of planning
_FEWEST_TASKS = 2  # one difference tells nothing of how differences vary
_NO_SPREAD = 1e-9  # in log units: below what a clock of nanoseconds can tell in a second
_ODD = 0.05  # tasks react differently if chance would explain it more rarely


class Verdict(Enum):
    """What a comparison comes to."""

    REGRESSED = "regressed"
    NOT_REGRESSED = "not regressed"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """Candidate over base. What cannot be known is None: the ratio without a paired task, all else below two."""

    ratio: float | None
    low: float | None
    high: float | None
    tasks: int
    chains: tuple[int, int]
    """Of the paired tasks, base and candidate."""
    spread: float | None
    """Standard deviation of the tasks' log ratios; 0.05 is about 5%."""
    confidence: float
    margin: float
    _noise: float | None = field(repr=False, default=None)  # variance of one chain's log within its task
    _freedom: int = field(repr=False, default=0)  # of that variance
    _repeats: float = field(repr=False, default=1.0)  # chains per task and run, harmonic mean

    @property
    def p_slower(self) -> float | None:
        """One-sided, of the hypothesis that the ratio is at most 1 + margin."""
        return self.p_above(1 + self.margin)

    @property
    def p_faster(self) -> float | None:
        """One-sided, of the hypothesis that the ratio is at least 1 - margin."""
        return self.p_below(1 - self.margin)

    def p_above(self, bound: float) -> float | None:
        """One-sided, of the hypothesis that the ratio is at most `bound`: small if it is above.

        The paired t-test against the bound, from mean, spread and number as `scipy.stats.ttest_1samp` has it from the
        values.

        Raises:
            ValueError: the bound is not positive.
        """
        return self._p_value(bound, 1)

    def p_below(self, bound: float) -> float | None:
        """One-sided, of the hypothesis that the ratio is at least `bound`: small if it is below; as `p_above`."""
        return self._p_value(bound, -1)

    def _p_value(self, bound: float, sign: int) -> float | None:
        if not bound > 0:
            msg = f"a ratio is positive, not {bound}"
            raise ValueError(msg)
        if self.ratio is None or self.spread is None:
            return None
        beyond = sign * (math.log(self.ratio) - math.log(bound))
        if self.spread == 0:
            return 0.0 if beyond > _NO_SPREAD else 1.0
        from scipy import special

        return float(special.stdtr(self.tasks - 1, -beyond * math.sqrt(self.tasks) / self.spread))

    @property
    def smallest_effect(self) -> float | None:
        """The ratio that is found with a probability of 0.8 by this many tasks with this spread."""
        if self.spread is None:
            return None
        return math.exp(detectable_shift(self.tasks, self.spread, self._alpha, POWER))

    def tasks_for(self, effect: float, power: float = POWER) -> int | None:
        """How many tasks would show a ratio of `effect` with this probability, at the spread seen here.

        Raises:
            ValueError: `effect` is 1 (no number of tasks shows nothing), or not positive.
        """
        return None if self.spread is None else sample_for(_shift(effect), self.spread, self._alpha, power)

    def repeats_for(self, effect: float, power: float = POWER) -> int | None:
        """How many chains per task and run would, with the same tasks.

        More repeats average out what varies within a task, but not how differently tasks react: None where that alone
        is too much, and where no task was repeated, so that the two cannot be told apart. Tasks are taken to react
        alike unless an F test at 5% says otherwise.

        Raises:
            ValueError: as `tasks_for`.
        """
        from scipy import special

        wanted = _shift(effect)
        if self.spread is None or self._noise is None:
            return None
        unit = detectable_shift(self.tasks, 1.0, self._alpha, power)  # in standard deviations
        within = 2 * self._noise / self._repeats  # of a task's log ratio, were all tasks to react alike
        alike = special.fdtrc(self.tasks - 1, self._freedom, self.spread**2 / within) > _ODD if within else False
        room = (wanted / unit) ** 2 - (0.0 if alike else max(0.0, self.spread**2 - within))
        return max(1, math.ceil(2 * self._noise / room)) if room > 0 else None

    @property
    def _alpha(self) -> float:
        return (1 - self.confidence) / 2


@dataclass(frozen=True, slots=True)
class Shift:
    """Candidate minus base, in the unit of the values. None as in `PairedRatio`."""

    difference: float | None
    low: float | None
    high: float | None
    p_more: float | None
    """One-sided, of the hypothesis that there are not more."""
    p_fewer: float | None
    tasks: int
    tasks_changed: int
    """Tasks whose mean differs at all."""
    base: float | None
    """Mean over the paired tasks of the task's mean."""
    candidate: float | None


def paired_ratio(
    base: Samples, candidate: Samples, *, confidence: float = CONFIDENCE, margin: float = 0.0
) -> PairedRatio:
    """How many times slower the candidate is, over the tasks that both runs have.

    Per task, the mean of the logarithms of its chains, in each run; the difference of the two; the mean of these
    differences over tasks, every task counting alike whatever its number of chains; its exponential. So the ratio is
    the geometric mean over tasks of the ratio of geometric means, and ratios of factors multiply exactly: that of
    chain time is that of the number of steps times that of time per step.

        task 1   base 1.0 1.2    candidate 1.1 1.3    mean logs 0.091, 0.179   difference 0.088
        task 2   base 4.0 4.4    candidate 4.0 4.5    mean logs 1.434, 1.445   difference 0.011
                                                      mean 0.050: ratio 1.051

    The interval is that of the paired t-test (`scipy.stats.ttest_1samp` of the differences). It assumes that tasks are
    independent and their log ratios not far from normal, which means of several chains are; tasks may differ from each
    other as they like, and react differently. It assumes nothing of chains or calls within a task. Tasks that ran at
    once on one engine are not independent: see `by_block`. It cannot see a drift of the machine: base and candidate
    must have been measured interleaved (see `profiler.stats.drift`).

    Args:
        base: positive values per task; NaN is left out.
        candidate: likewise. Tasks that only one side has are left out.
        confidence: of the two-sided interval.
        margin: what `p_slower` and `p_faster` are tested against, 0.05 for 5%.

    Raises:
        ValueError: a value is not positive or not finite, naming the task; confidence or margin out of range.
    """
    if not 0 < confidence < 1 or not 0 <= margin < 1:
        msg = f"confidence {confidence} must lie between 0 and 1, margin {margin} from 0 to below 1"
        raise ValueError(msg)
    pairs = paired_values(base, candidate, positive=True)
    differences = np.array([b.mean() - a.mean() for a, b in pairs])
    chains = (sum(len(a) for a, _ in pairs), sum(len(b) for _, b in pairs))
    ratio = float(np.exp(differences.mean())) if pairs else None
    if len(pairs) < _FEWEST_TASKS:
        return PairedRatio(ratio, None, None, len(pairs), chains, None, confidence, margin)
    spread = float(differences.std(ddof=1))
    if spread < _NO_SPREAD:
        spread, differences = 0.0, np.full(len(pairs), differences.mean())
    low, high = _interval(differences, confidence)
    noise, freedom = noise_within(pairs)
    return PairedRatio(
        ratio=ratio,
        low=math.exp(low),
        high=math.exp(high),
        tasks=len(pairs),
        chains=chains,
        spread=spread,
        confidence=confidence,
        margin=margin,
        _noise=noise,
        _freedom=freedom,
        _repeats=2 / float(np.mean([1 / len(a) + 1 / len(b) for a, b in pairs])),
    )


def verdict(result: PairedRatio, *, margin: float, tolerated: float = 0.0) -> Verdict:
    """What the interval allows to say.

        1             1 + margin
        |   [-----]   |             regressed        low above 1 + tolerated
     [--|----]        |             not regressed    high below 1 + margin
      [-|-------------|---]         cannot tell

    A test of superiority and one of non-inferiority by one interval; both errors are (1 - confidence) / 2 (Piaggio et
    al., CONSORT for non-inferiority trials, JAMA 308 (2012) 2594). A slowdown that is certain but smaller than the
    margin is *regressed* unless it is tolerated.

    Args:
        result: with an interval, or the verdict is *cannot tell*.
        margin: the slowdown that has to be excluded for *not regressed*, 0.05 for 5%.
        tolerated: the slowdown that is nobody's business, at most the margin.

    Raises:
        ValueError: `tolerated` is not from 0 to `margin`.
    """
    if not 0 <= tolerated <= margin:
        msg = f"tolerated slowdown {tolerated} must lie from 0 to the margin {margin}"
        raise ValueError(msg)
    if result.low is None or result.high is None:
        return Verdict.CANNOT_TELL
    if result.low > 1 + tolerated:
        return Verdict.REGRESSED
    return Verdict.NOT_REGRESSED if result.high < 1 + margin else Verdict.CANNOT_TELL


def shift_of_counts(base: Samples, candidate: Samples, *, confidence: float = CONFIDENCE) -> Shift:
    """How many more (steps, tokens, failures) a chain has, over the tasks that both runs have.

    The paired t-test of the tasks' means: differences, not ratios, so zeros may occur. Where all tasks differ by
    exactly the same, as with a script, the interval is that one number: there is no chance in it.

    Args:
        base: values of any sign per task; NaN is left out.
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
        return Shift(None, None, None, None, None, 0, 0, None, None)
    before, after = (np.array([side.mean() for side in sides]) for sides in zip(*pairs, strict=True))
    differences = after - before
    changed = int(np.count_nonzero(differences))
    means = float(before.mean()), float(after.mean())
    middle = float(differences.mean())
    if len(pairs) < _FEWEST_TASKS:
        return Shift(middle, None, None, None, None, len(pairs), changed, *means)
    if np.ptp(differences) <= _NO_SPREAD * max(1.0, float(np.abs(before).max())):
        differences = np.full(len(pairs), middle)
    low, high = _interval(differences, confidence)
    p_more, p_fewer = (_p_value(differences, 0.0, side) for side in ("greater", "less"))
    return Shift(middle, low, high, p_more, p_fewer, len(pairs), changed, *means)


def _interval(differences: Any, confidence: float) -> tuple[float, float]:
    from scipy import stats

    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    interval = stats.ttest_1samp(differences, 0.0).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def _p_value(differences: Any, against: float, alternative: str) -> float:
    from scipy import stats

    if np.ptp(differences) == 0:
        beyond = differences[0] > against if alternative == "greater" else differences[0] < against
        return 0.0 if beyond else 1.0
    return float(stats.ttest_1samp(differences, against, alternative=alternative).pvalue)


def _shift(effect: float) -> float:
    if effect <= 0 or effect == 1:
        msg = f"an effect is a positive ratio other than 1, not {effect}"
        raise ValueError(msg)
    return abs(math.log(effect))
