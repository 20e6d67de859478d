"""Whether a run is within margins to a baseline.

                none         edge             none: no difference (1 of a ratio, 0 of a difference)
                 |   [-----]  |               edge: the margin
    [----]       |            |               not regressed: below the margin for sure
         [-------|-------]    |               not regressed
                 |   [--------|---]           regressed: more for sure, and perhaps more than the margin
              [--|------------|---]           cannot tell

The primary margin decides by itself. Of the others one is broken only if it still is when all are corrected for their
number (Holm), so that harmless changes break any of them in 2.5% of the cases at most, however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from profiler.compare.budgets import LEVEL, NOT_RUN, Judged, Margin
from profiler.compare.comparison import Comparison, Recorded, compare
from profiler.compare.selection import chosen, of_tasks
from profiler.compare.sides import Samples, Side, sides
from profiler.compare.values import per_chain
from profiler.compare.vocabulary import LESS_IS_WORSE, QUANTILES, SHARES, TIMES
from profiler.stats.multiplicity import holm
from profiler.stats.paired import POWER, PairedRatio, Verdict, paired_ratio, shift_of_counts
from profiler.stats.power import detectable_shift, sample_for
from profiler.stats.proportion import MeansRatio, ratio_of_means
from profiler.stats.tail import FEWEST_PAIRS, QuantileRatio, quantile_ratio

_NO_TASK: Final = "no chain of a task that both have tells it"
_POINT: Final = 0.01
_ONE_TASK: Final = "of one task nothing tells how sure that is: it takes two at least"


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much more the candidate has, what is worse being more, and how sure that is."""

    value: float | None
    low: float | None
    high: float | None
    none: float  # the value of no difference: 1 or 0
    p_above: Callable[[float], float | None]  # one-sided, that it is at most so much
    takes: Callable[[float], str]  # what it would take to find this margin
    missing: str = ""  # why there is no value, or no interval
    nothing: bool = False  # neither run has any of it


def judge_margins(
    margins: Sequence[Margin], base: Recorded, candidate: Recorded, *, drift: float
) -> tuple[list[Judged], Comparison]:
    """Hold a run to a baseline; also the comparison of all their tasks.

    A baseline that was not measured in turns with the run may have had another machine: times must then differ by more
    than what `drift` explains.

    Args:
        margins: in the order in which they are told.
        base: the baseline.
        candidate: the run; its tags say which tasks a margin is of.
        drift: how far the machine may have been off in either run, 0.05 for 5%.
    """
    whole = compare(base, candidate)
    return judge_pairs(margins, base, candidate, drift=0.0 if whole.order.interleaved else drift), whole


def judge_pairs(margins: Sequence[Margin], base: Recorded, candidate: Recorded, *, drift: float) -> list[Judged]:
    """The same of runs whose order is known: `drift` is 0 for those that took turns."""
    measured: dict[frozenset[str] | None, tuple[Side, Side]] = {}
    judged, p_values = [], {}
    for number, margin in enumerate(margins):
        ids = chosen(candidate.tables, margin.of)
        if ids not in measured:
            measured[ids] = sides(*(of_tasks(run.tables, ids) for run in (base, candidate)))
        runs = [replace(run, tables=of_tasks(run.tables, ids)) for run in (base, candidate)]
        found = _estimate(margin.metric, runs, measured[ids])
        found = replace(found, missing=NOT_RUN) if ids == frozenset() else found
        drifts = margin.metric.partition(".")[0] in TIMES and not found.nothing
        worst = (1 + drift) / (1 - drift) if drifts else 1.0
        judged.append(_judged(margin, found, worst, drift))
        if not margin.primary:
            p_values[str(number)] = found.p_above(found.none * worst)
    adjusted = holm(p_values)
    return [_corrected(each, adjusted.get(str(number))) for number, each in enumerate(judged)]


# --- how much more ----------------------------------------------------------------------------------------


def _estimate(metric: str, runs: Sequence[Recorded], measured: tuple[Side, Side]) -> Estimate:
    name, _, kind = metric.partition(".")
    if name == "failed_chains":
        return _difference(_failed(runs[0]), _failed(runs[1]), sign=1)
    base, candidate = (side.samples(per_chain(name, side.measured)) for side in measured)
    if name in SHARES:
        return _difference(base, candidate, sign=-1 if name in LESS_IS_WORSE else 1)
    some = all(value != 0 for side in (base, candidate) for values in side.values() for value in values)
    if kind:
        return _tail(quantile_ratio(base, candidate, QUANTILES[kind])) if some else _no_quantile()
    return _mean(paired_ratio(base, candidate)) if some else _part(ratio_of_means(base, candidate))


def _failed(run: Recorded) -> Samples:
    """Of each task's chains, 1 for one that failed."""
    chains = run.tables.chains[~run.tables.chains["warmup"]]
    found: dict[str, list[float]] = {}
    for task, failed in zip(chains["task_id"].astype(str), chains["failed"], strict=True):
        found.setdefault(task, []).append(float(failed))
    return found


def _mean(ratio: PairedRatio) -> Estimate:
    def takes(margin: float) -> str:
        tasks, repeats = (ratio.tasks_for(1 + margin), ratio.repeats_for(1 + margin)) if margin > 0 else (None, None)
        ways = [f"{tasks} tasks"] if tasks else []
        ways += [f"{repeats} chains of each of these tasks"] if repeats else []
        smallest = None if ratio.smallest_effect is None else ratio.smallest_effect - 1
        return _what_it_takes(smallest, f"these {ratio.tasks} tasks", margin, ways, "%")

    missing = _NO_TASK if ratio.ratio is None else _ONE_TASK if ratio.low is None else ""
    return Estimate(ratio.ratio, ratio.low, ratio.high, 1.0, ratio.p_above, takes, missing)


def _part(ratio: MeansRatio) -> Estimate:
    """Of what some chains have nothing of."""
    missing = ""
    if not ratio.tasks:
        missing = _NO_TASK
    elif ratio.tasks == 1:
        missing = _ONE_TASK
    elif ratio.ratio is None:
        missing = "the baseline has none of it, so there is no ratio"
    elif ratio.low is None:
        missing = "the baseline has next to none of it, so the ratio may be any"
    takes, nothing = _by_width(ratio.low, ratio.high, ratio.tasks, "tasks"), not ratio.base and not ratio.candidate
    return Estimate(ratio.ratio, ratio.low, ratio.high, 1.0, ratio.p_above, takes, missing, nothing)


def _tail(ratio: QuantileRatio) -> Estimate:
    change, missing = ratio.change, ""
    if not change.pairs:
        missing = _NO_TASK
    elif change.ratio is None:
        missing = f"{change.pairs} pairs of chains tell nothing of a quantile: it takes {FEWEST_PAIRS}"
    elif ratio.low is None or ratio.high is None:
        missing = "the chains are too few, or differ too much, to have an interval"
    takes = _by_width(ratio.low, ratio.high, change.pairs, "pairs of chains")
    return Estimate(change.ratio, ratio.low, ratio.high, 1.0, ratio.p_above, takes, missing)


def _no_quantile() -> Estimate:
    return Estimate(None, None, None, 1.0, lambda _: None, lambda _: "", "a chain has none of it, so there is no ratio")


def _difference(base: Samples, candidate: Samples, sign: int) -> Estimate:
    """Of shares, in points; turned round where less is worse."""
    worse, better = (base, candidate) if sign < 0 else (candidate, base)
    shift = shift_of_counts(better, worse)
    missing = _NO_TASK if shift.difference is None else _ONE_TASK if shift.low is None else ""

    def p_above(bound: float) -> float | None:
        raised = {task: [each + bound for each in values] for task, values in better.items()}
        return shift_of_counts(raised, worse).p_more

    takes = _by_width(shift.low, shift.high, shift.tasks, "tasks", logarithmic=False)
    return Estimate(shift.difference, shift.low, shift.high, 0.0, p_above, takes, missing)


# --- what it takes ----------------------------------------------------------------------------------------


def _by_width(
    low: float | None, high: float | None, count: int, of: str, *, logarithmic: bool = True
) -> Callable[[float], str]:
    """By how wide the interval is, which is told from its standard error only roughly where it is not a t-test's."""

    def takes(margin: float) -> str:
        if low is None or high is None or low == high or (logarithmic and low <= 0):
            return ""
        width, wanted = (math.log(high / low), math.log(1 + margin)) if logarithmic else (high - low, margin)
        spread = _spread_of(width, count)
        smallest = detectable_shift(count, spread, LEVEL, POWER)
        needed = sample_for(wanted, spread, LEVEL, POWER) if wanted > 0 else None
        ways = [f"some {needed} {of}"] if needed else []
        shown, unit = (math.expm1(smallest), "%") if logarithmic else (smallest, " points")
        return _what_it_takes(shown, f"these {count} {of}", margin, ways, unit)

    return takes


def _spread_of(width: float, count: int) -> float:
    """The standard deviation of so many values whose mean has an interval of this width."""
    from scipy import special

    return width * math.sqrt(count) / (2 * float(special.stdtrit(count - 1, 1 - LEVEL)))


def _what_it_takes(smallest: float | None, these: str, margin: float, ways: Sequence[str], unit: str) -> str:
    found = "" if smallest is None else f"{smallest * 100:.1f}{unit} would have been found with {these}"
    takes = f"{margin * 100:g}{unit} takes {' or '.join(ways)}" if ways else ""
    return "; ".join(filter(None, (found, takes)))


# --- the verdict ------------------------------------------------------------------------------------------


def _judged(margin: Margin, found: Estimate, worst: float, drift: float) -> Judged:
    """By the interval, for times widened by what drift can do at worst."""
    unit = "points" if margin.metric in SHARES else "ratio"
    told = Judged(margin.name, Verdict.CANNOT_TELL, _bound(margin), unit, None, primary=margin.primary)
    sign = -1.0 if margin.metric in LESS_IS_WORSE else 1.0
    if found.value is None or found.missing:
        shown = told if found.value is None else replace(told, value=sign * found.value)
        return _without_interval(shown, found, worst)
    edge = found.none + margin.margin
    low = None if found.low is None else found.low / worst
    high = None if found.high is None else found.high * worst
    plain, verdict = (_verdict(*ends, found.none, edge) for ends in ((found.low, found.high), (low, high)))
    reason = "there is none of it in either run" if found.nothing else ""
    if verdict is Verdict.NOT_REGRESSED and low is not None and low > found.none:
        reason = f"{'more' if sign > 0 else 'less'} for sure, and within the margin"
    elif verdict is not plain:
        reason = (
            f"{'slower' if plain is Verdict.REGRESSED else 'not slower'} by the chains, but the baseline was measured "
            f"at another time: a drift of {drift * 100:g}% in either run cannot be excluded"
        )
    elif verdict is Verdict.CANNOT_TELL:
        hidden = f"; measured at another time, a drift of {drift * 100:g}% in either run hides as much"
        reason = found.takes(margin.margin) + (hidden if worst > 1 and edge <= worst else "")
    ends = (low, high) if sign > 0 else (None if high is None else -high, None if low is None else -low)
    return replace(told, value=sign * found.value, low=ends[0], high=ends[1], verdict=verdict, reason=reason)


def _without_interval(told: Judged, found: Estimate, worst: float) -> Judged:
    """What the baseline has nothing of has no ratio, but there may be more of it for sure."""
    p = found.p_above(found.none * worst)
    verdict = Verdict.REGRESSED if p is not None and p <= LEVEL else Verdict.CANNOT_TELL
    return replace(told, verdict=verdict, reason=found.missing)


def _verdict(low: float | None, high: float | None, none: float, edge: float) -> Verdict:
    if high is not None and (high < edge or low == high == none):
        return Verdict.NOT_REGRESSED
    return Verdict.REGRESSED if low is not None and low > none else Verdict.CANNOT_TELL


def _bound(margin: Margin) -> str:
    if margin.metric in SHARES:
        less = f"{'lower' if margin.metric in LESS_IS_WORSE else 'higher'} than the baseline"
        points = f"{margin.margin * 100:g} point{'' if margin.margin == _POINT else 's'}"
        return f"less than {points} {less}" if margin.margin else f"no {less}"
    most = f"less than {margin.margin * 100:g}% more" if margin.margin else "no more"
    return f"{most} than the baseline"


def _corrected(judged: Judged, p: float | None) -> Judged:
    if judged.primary or judged.verdict is not Verdict.REGRESSED or p is None or p <= LEVEL:
        return judged
    reason = "not beyond chance for one of several secondary margins (Holm)"
    return replace(judged, verdict=Verdict.CANNOT_TELL, reason=reason)
