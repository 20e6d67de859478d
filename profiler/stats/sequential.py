"""Measuring until it is clear, with an error that looking often does not raise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from profiler.stats.paired import FEW_TASKS, PairedRatio, Samples, Verdict, by_pair, paired_ratio, verdict
from profiler.stats.quantiles import CONFIDENCE
from profiler.stats.spending import last_level, levels, share_of_levels

GAMMA = -1.0
"""The shape of the spending, chosen by simulation: see docs/statistics.md."""
_FEWEST_UNITS = 4  # of a look: below, the interval is too wide to decide anything
HOPELESS = 0.05  # a verdict that is less likely than this is not waited for


class Turn(NamedTuple):
    """A pair to be measured: one chain of each side, one right after the other."""

    task: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Plan:
    """When to look, fixed before the first measurement."""

    pairs: tuple[int, ...]
    """Pairs measured at each look."""
    levels: tuple[float, ...]
    """One-sided level of each, for either verdict."""
    margin: float
    tolerated: float
    pairs_are_units: bool
    """Fewer than `FEW_TASKS` tasks: results count pairs where they say tasks."""
    tasks: int
    alpha: float
    """One-sided, of all looks together."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look comes to."""

    verdict: Verdict
    result: PairedRatio
    """With the repeated confidence interval: it holds at all looks together."""
    final: bool
    """Nothing more is to be measured."""
    chance: float | None
    """That the rest of the budget brings a verdict; None where there is one already, or nothing is known."""


def turns(tasks: Sequence[str], rounds: int, seed: int, sides: tuple[str, str] = ("A", "B")) -> list[Turn]:
    """The order to measure in: randomised ABBA.

        round 1   t3 AB   t1 BA   t2 AB         tasks in random order, half of them begin with A
        round 2   t1 AB   t2 BA   t3 BA         in another order, each pair the other way round

    A drift that is straight over two rounds cancels within each task, any slow one within a pair all but does.

    Args:
        tasks: ids.
        rounds: pairs per task.
        seed: of the order.
        sides: names of the two.
    """
    draw = random.Random(seed)  # noqa: S311 - an order, not a secret
    shuffled = draw.sample(list(tasks), len(tasks))
    begins = {task: index % 2 for index, task in enumerate(shuffled)}
    order = []
    for number in range(rounds):
        for task in draw.sample(list(tasks), len(tasks)):
            first = (begins[task] + number) % 2
            order.append(Turn(task, sides[first], sides[1 - first]))
    return order


def plan_looks(
    tasks: int, rounds: int, *, confidence: float = CONFIDENCE, margin: float = 0.05, tolerated: float = 0.0
) -> Plan:
    """A group-sequential plan: a look after each round, and with enough tasks one in the middle of the first.

    With fewer than `FEW_TASKS` tasks pairs are the unit (`by_pair`), and there is a look every fourth pair at most.

    Args:
        tasks: how many are measured, at least 1.
        rounds: pairs per task that may be measured: the budget.
        confidence: (1 - confidence) / 2 is the error of each verdict, over all looks.
        margin: as for `verdict`.
        tolerated: as for `verdict`.

    Raises:
        ValueError: no task or round, or confidence out of range.
    """
    if tasks < 1 or rounds < 1:
        msg = f"{tasks} tasks and {rounds} rounds leave nothing to measure"
        raise ValueError(msg)
    pairs_are_units = tasks < FEW_TASKS
    apart = -(-_FEWEST_UNITS // tasks)  # rounds between looks
    ends = [tasks * number for number in range(rounds, 0, -apart)][::-1]
    half = tasks // 2
    pairs = [half, *ends] if half >= _FEWEST_UNITS else ends
    budget, alpha = pairs[-1], (1 - confidence) / 2
    nominal = levels([count / budget for count in pairs], alpha, GAMMA)
    share = share_of_levels(pairs, tasks, nominal, alpha, pairs_are_units=pairs_are_units)
    return Plan(
        tuple(pairs), tuple(share * level for level in nominal), margin, tolerated, pairs_are_units, tasks, alpha
    )


def cut_short(plan: Plan, pairs: int) -> Plan:
    """The plan with its last look now, because time is up: it gets all of the error that is left.

    Both verdicts keep their error as long as the moment does not depend on how the sides compare; that chains of either
    take long is no such thing.

    Args:
        plan: as far as it came.
        pairs: that were measured, at least 1; between two looks or at one that is not taken as planned.
    """
    if pairs >= plan.pairs[-1]:
        return plan
    before = [(count, level) for count, level in zip(plan.pairs, plan.levels, strict=True) if count < pairs]
    counts, used = [*(count for count, _ in before), pairs], [level for _, level in before]
    level = last_level(counts, plan.tasks, used, plan.alpha, pairs_are_units=plan.pairs_are_units)
    return replace(plan, pairs=tuple(counts), levels=(*used, level))


def look(plan: Plan, index: int, base: Samples, candidate: Samples) -> Look:
    """Decide with what is there at one of the planned looks.

    The interval of `paired_ratio` at this look's level; *regressed* and *not regressed* by `verdict`. Each of the two
    is wrong with a probability of at most (1 - confidence) / 2 over all looks, whenever one stops: the interval is a
    repeated confidence interval (Jennison and Turnbull, Group Sequential Methods, 9). Stopping for want of a chance
    costs power alone. Data may be fewer than planned (failed chains); the order of looks must be kept.

    The chance is the predictive one: of the final estimate, given this one, with no opinion beforehand (Spiegelhalter,
    Freedman and Blackburn, Controlled Clin. Trials 7 (1986) 8).

    Args:
        plan: of `plan_looks`.
        index: of the look, from 0.
        base: all pairs measured so far, values per task in order; a chain that failed takes its partner with it.
        candidate: likewise.

    Raises:
        IndexError: the plan has no such look.
        ValueError: as `paired_ratio`.
    """
    level, last = plan.levels[index], index == len(plan.pairs) - 1
    if plan.pairs_are_units:
        base, candidate = by_pair(base), by_pair(candidate)
    result = paired_ratio(base, candidate, confidence=1 - 2 * level)
    found = verdict(result, margin=plan.margin, tolerated=plan.tolerated)
    if found is not Verdict.CANNOT_TELL:
        return Look(found, result, final=True, chance=None)
    chance = None if last else _chance(plan, index, result)
    return Look(found, result, final=last or (chance is not None and chance < HOPELESS), chance=chance)


def _chance(plan: Plan, index: int, result: PairedRatio) -> float | None:
    """That the final interval excludes no slowdown, or one of the margin."""
    if result.ratio is None or not result.spread:
        return None
    from scipy import special

    fraction = plan.pairs[index] / plan.pairs[-1]
    now = result.spread / math.sqrt(result.tasks)  # standard error
    end = now * math.sqrt(fraction)
    wander = now * math.sqrt(1 - fraction)  # of the final estimate around this one
    units = result.tasks / fraction if plan.pairs_are_units else result.tasks
    reach = -float(special.stdtrit(units - 1, plan.levels[-1])) * end
    middle = math.log(result.ratio)
    slower = special.ndtr((middle - reach - math.log1p(plan.tolerated)) / wander)
    not_slower = special.ndtr((math.log1p(plan.margin) - reach - middle) / wander)
    return float(min(1.0, slower + not_slower))
