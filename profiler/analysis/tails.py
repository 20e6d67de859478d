"""Slow calls and slow chains: how often a chain meets a slow call, and what makes the slow chains slow.

Two ways to share out the blame, of which each sums to 1 because phases (and rows of the steps, with the time between
them) sum to the chain: the covariance of each part with end to end over the variance of end to end, and the part's mean
in the slowest tenth of the chains minus its mean in all, over the same difference of end to end. The first is about all
differences, the second about the tail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.groups import Groups
from profiler.analysis.measured import Measured, numbers
from profiler.analysis.phases import PHASES

SLOWEST_CALLS = (0.01, 0.05)
SUM_QUANTILES = (0.50, 0.95, 0.99)
SLOW_CHAINS = 0.10
BETWEEN = "between steps"
_FEWEST_CHAINS = 5
_FEWEST_FOR_TENTH = 10
_ABOUT = 1e-9  # of a product of floats
_LEAST_SPREAD = 1e-9  # of end to end, over its mean: below it chains are equal


@dataclass(frozen=True, slots=True)
class TailMeeting:
    """How many chains meet at least one of the slowest calls."""

    share: float  # of the calls: 0.01 for the slowest 1%
    threshold_ns: float
    observed: float  # share of the chains
    independent: float  # mean of 1 - (1 - share)^calls: what it would be if slow calls were spread by chance


@dataclass(frozen=True, slots=True)
class SumQuantile:
    """A quantile of what a chain's calls take together, against the sum of their quantiles."""

    p: float
    of_sum_ns: float
    sum_of_ns: float  # of the calls of each chain, the quantile of their row of the steps; mean over chains


@dataclass(frozen=True, slots=True)
class Contribution:
    """What part of the differences between chains is due to one phase, or one row of the steps."""

    name: str
    covariance: float  # of the variance of end to end; all of them sum to 1
    excess: float | None  # of what the slowest tenth of the chains takes more than the mean; they sum to 1


@dataclass(frozen=True, slots=True)
class Tails:
    """Everything about slow calls and slow chains."""

    meetings: tuple[TailMeeting, ...]
    sums: tuple[SumQuantile, ...]
    phases: tuple[Contribution, ...]  # the largest covariance first; none where chains do not differ
    steps: tuple[Contribution, ...]
    slow_chains: int  # in the slowest tenth; 0 with fewer than 10 chains, of which there is none
    slow_excess_ns: float | None  # their mean minus the mean of all


def tails_of(measured: Measured) -> Tails | None:
    """None with fewer than 5 chains, or without calls: there is no tail of so few."""
    e2e = measured.e2e_ns
    calls = measured.answered
    if len(e2e) < _FEWEST_CHAINS or calls.empty:
        return None
    slow = _slowest(e2e) if len(e2e) >= _FEWEST_FOR_TENTH else np.zeros(len(e2e), dtype=bool)
    return Tails(
        meetings=tuple(_meeting(measured, share) for share in SLOWEST_CALLS if enough(len(calls), share)),
        sums=tuple(_sums(measured)),
        phases=shares_of(e2e, {phase: numbers(measured.chains[f"{phase}_ns"]) for phase in PHASES}, slow),
        steps=shares_of(e2e, _by_row(measured), slow),
        slow_chains=int(slow.sum()),
        slow_excess_ns=float(e2e[slow].mean() - e2e.mean()) if slow.any() else None,
    )


def enough(count: int, share: float) -> bool:
    """Whether a share of so many is at least one: of fewer, a quantile that far out is only the largest once more."""
    return count * share >= 1 - _ABOUT


def _slowest(e2e: Any) -> Any:
    """Which chains are the slowest tenth, at least one; of equal ones the first."""
    number = max(1, round(SLOW_CHAINS * len(e2e)))
    slow = np.zeros(len(e2e), dtype=bool)
    slow[np.argsort(-e2e, kind="stable")[:number]] = True
    return slow


def _meeting(measured: Measured, share: float) -> TailMeeting:
    calls = measured.answered
    lasted = numbers(calls["call_e2e_ns"])
    threshold = float(np.quantile(lasted, 1 - share))
    slow = lasted > threshold if (lasted > threshold).any() else lasted >= threshold
    met = measured.per_chain(calls, slow) > 0
    count = measured.per_chain(calls, np.ones(len(calls)))
    really = float(slow.mean())  # of a few calls there is no such share: what is compared is what was taken
    return TailMeeting(share, threshold, float(met.mean()), float((1 - (1 - really) ** count).mean()))


def _sums(measured: Measured) -> list[SumQuantile]:
    calls = measured.answered
    summed = measured.per_chain(calls, numbers(calls["call_e2e_ns"]))
    rows = Groups.of(calls["position"], calls["step"])
    by_row = pd.Series(numbers(calls["call_e2e_ns"])).groupby(rows.number)
    found = []
    for p in SUM_QUANTILES:
        if not enough(len(measured.chains), 1 - p):
            continue
        of_row = by_row.quantile(p).to_numpy()
        sums = measured.per_chain(calls, of_row[rows.number])
        found.append(SumQuantile(p, float(np.quantile(summed, p)), float(sums.mean())))
    return found


def _by_row(measured: Measured) -> Mapping[str, Any]:
    """Time on the critical path of each row of the steps, per chain, and what is left of the chain."""
    steps = measured.steps
    parts = {}
    chain, path = steps["chain"].to_numpy(), numbers(steps["path_ns"])
    places = Groups.of(steps["position"], steps["node"])
    for row, (position, node) in enumerate(zip(*places.keys(steps["position"], steps["node"]), strict=True)):
        here = places.rows(row)
        name = f"step {position} ({node})" if node else f"call {position}"
        parts[name] = np.bincount(chain[here], weights=path[here], minlength=len(measured.chains))
    between = measured.e2e_ns - sum(parts.values(), np.zeros(len(measured.chains)))
    return {**parts, BETWEEN: between}


def shares_of(e2e: Any, parts: Mapping[str, Any], slow: Any) -> tuple[Contribution, ...]:
    """Shares of parts that sum to `e2e`, the largest covariance first; none where the chains do not differ."""
    centred = e2e - e2e.mean()
    variance = float((centred**2).mean())
    if variance <= (_LEAST_SPREAD * e2e.mean()) ** 2:
        return ()
    excess = float(e2e[slow].mean() - e2e.mean()) if slow.any() else 0.0
    found = [
        Contribution(
            name,
            float((centred * (part - part.mean())).mean()) / variance,
            float(part[slow].mean() - part.mean()) / excess if excess > 0 else None,
        )
        for name, part in parts.items()
        if part.any()
    ]
    return tuple(sorted(found, key=lambda part: -part.covariance))
