"""Slow calls and slow chains: how often a chain meets a slow call, and what makes the slow chains slow."""

from __future__ import annotations

from dataclasses import dataclass


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
    sum_of_ns: float


@dataclass(frozen=True, slots=True)
class Contribution:
    """What part of the differences between chains is due to one phase, or one row of the steps."""

    name: str
    covariance: float | None  # of the variance of end to end; all of them sum to 1
    excess: float | None  # of what the slowest tenth of the chains takes more than the mean; they sum to 1


@dataclass(frozen=True, slots=True)
class Tails:
    """Everything about slow calls and slow chains."""

    meetings: tuple[TailMeeting, ...]
    sums: tuple[SumQuantile, ...]
    phases: tuple[Contribution, ...]
    steps: tuple[Contribution, ...]
    slow_chains: int  # in the slowest tenth
    slow_excess_ns: float  # their mean minus the mean of all
