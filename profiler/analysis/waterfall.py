"""The mean call, from the HTTP client's entry to the end of the answer, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WaterfallPiece:
    """One piece of the mean call."""

    name: str
    phase: str  # one of PHASES
    mean_ns: float
    share: float  # of the mean call
    note: str = ""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The mean call; pieces sum to its duration."""

    calls: int
    mean_ns: float
    pieces: tuple[WaterfallPiece, ...]
    notes: tuple[str, ...]  # what is known about what the pieces leave open
