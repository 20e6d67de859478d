"""Why chains differ: because the agent did more, or because the same work took longer."""

from __future__ import annotations

from dataclasses import dataclass

TRAJECTORY = "trajectory"
SPEED = "speed"


@dataclass(frozen=True, slots=True)
class VariancePart:
    """One part of the variance of end to end; the shares sum to 1, and one may be negative."""

    name: str
    kind: str  # TRAJECTORY or SPEED
    share: float


@dataclass(frozen=True, slots=True)
class Variance:
    """The variance of end to end, split."""

    chains: int
    cv: float  # standard deviation over mean
    trajectory: float
    speed: float
    parts: tuple[VariancePart, ...]
