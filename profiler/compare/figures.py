"""The figures of both runs in one row each, with the difference and the ratio, paired by task."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from profiler.analysis.measured import Array, numbers
from profiler.analysis.phases import PHASES
from profiler.compare.sides import Side, positions, tokens
from profiler.stats.paired import PairedRatio, Shift, paired_ratio, shift_of_counts

DURATION, COUNT, TOKENS = "ns", "count", "tokens"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a chain: base and candidate are means over tasks of each task's mean."""

    name: str
    unit: str  # ns, count or tokens
    shift: Shift  # candidate minus base
    ratio: PairedRatio | None  # of geometric means; None where a value is 0 or nothing is known


@dataclass(frozen=True, slots=True)
class Identity:
    """ln(chain time) = ln(steps) + ln(time per step), of the ratios; exact, also in the rounded numbers."""

    chain: PairedRatio
    steps: PairedRatio
    per_step: PairedRatio

    def rounded(self, digits: int = 4) -> tuple[float, float, float] | None:
        """The three logarithms to so many digits; the last is the rest, so that the sum is right as it is written."""
        ratios = (self.chain.ratio, self.steps.ratio, self.per_step.ratio)
        if None in ratios:
            return None
        whole, steps = (round(math.log(ratio or 1.0), digits) for ratio in ratios[:2])
        return whole, steps, round(whole - steps, digits)


def figures_of(base: Side, candidate: Side) -> tuple[Figure, ...]:
    """Chain time, time per step, number of steps, calls and tokens."""
    found = []
    for (name, unit, before), (_, _, after) in zip(_whole_chain(base), _whole_chain(candidate), strict=True):
        found.append(_figure(name, unit, (base, before), (candidate, after)))
    return tuple(each for each in found if each.shift.tasks)


def phases_of(base: Side, candidate: Side) -> tuple[Figure, ...]:
    """A row per phase; the differences sum to that of chain time."""
    return tuple(
        _figure(
            phase,
            DURATION,
            (base, numbers(base.measured.chains[f"{phase}_ns"])),
            (candidate, numbers(candidate.measured.chains[f"{phase}_ns"])),
        )
        for phase in PHASES
    )


def owners_of(base: Side, candidate: Side) -> tuple[Figure, ...]:
    """Time without a call or a tool by whose own it is, such as `node: step model` and `between steps: root`.

    The largest difference first; they sum to that of the framework.
    """
    gaps = [side.measured.gaps for side in (base, candidate)]
    names = [each["cause"].astype(str) + ": " + each["owner"].astype(str) for each in gaps]
    found = []
    for name in sorted({*names[0].unique(), *names[1].unique()}):
        before, after = (
            (side, side.measured.per_chain(each[own == name], numbers(each["duration_ns"][own == name])))
            for side, each, own in zip((base, candidate), gaps, names, strict=True)
        )
        found.append(_figure(name, DURATION, before, after))
    return tuple(sorted(found, key=lambda each: -abs(each.shift.difference or 0.0)))


def identity_of(base: Side, candidate: Side) -> Identity | None:
    """Over the chains that have steps and last; None if no task has such chains on both sides."""
    chain, steps, per_step = (
        _ratio((base, before), (candidate, after))
        for before, after in zip(_factors(base), _factors(candidate), strict=True)
    )
    if chain is None or steps is None or per_step is None or chain.ratio is None:
        return None
    return Identity(chain, steps, per_step)


def _factors(side: Side) -> tuple[Array, Array, Array]:
    e2e, steps = side.measured.e2e_ns, positions(side)
    there = (e2e > 0) & (steps > 0)
    whole, parts = (np.where(there, values, np.nan) for values in (e2e, steps))
    return whole, parts, whole / parts


def _whole_chain(side: Side) -> Iterator[tuple[str, str, Array]]:
    chains, steps = side.measured.chains, positions(side)
    e2e = side.measured.e2e_ns
    cached = tokens(side, "cached_tokens")
    prompt = tokens(side, "input_tokens")
    yield "chain time", DURATION, e2e
    yield "time per step", DURATION, np.where(steps > 0, e2e / np.maximum(steps, 1), np.nan)
    yield "steps", COUNT, steps
    yield "LLM calls", COUNT, numbers(chains["calls"])
    yield "tools", COUNT, numbers(chains["tools"])
    yield "prompt tokens", TOKENS, prompt
    yield "of these cached", TOKENS, cached
    yield "output tokens", TOKENS, tokens(side, "output_tokens")
    yield "failed calls", COUNT, numbers(chains["failed_calls"])
    yield "failed tools", COUNT, numbers(chains["failed_tools"])


def _figure(name: str, unit: str, base: tuple[Side, Array], candidate: tuple[Side, Array]) -> Figure:
    before, after = (side.samples(values) for side, values in (base, candidate))
    return Figure(name, unit, shift_of_counts(before, after), _ratio(base, candidate))


def _ratio(base: tuple[Side, Array], candidate: tuple[Side, Array]) -> PairedRatio | None:
    """None where a value is 0, which has no logarithm."""
    if any((values <= 0).any() for _, values in (base, candidate)):
        return None
    found = paired_ratio(*(side.samples(values) for side, values in (base, candidate)))
    return found if found.tasks else None
