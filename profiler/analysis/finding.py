"""What a report says first: one cause of slowness, its number, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where to look."""

    trace_id: str
    span_id: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, in plain words. Findings overlap: their gains do not add up."""

    kind: str  # stable id in kebab case; docs/metrics.md lists them
    title: str  # one sentence with its number
    detail: str  # how the number was found, and what it rests on
    gain_ns: float | None  # how much shorter a chain would be in the mean; None where none can be told
    share: float | None  # of the mean chain's end to end
    condition: str  # under which the gain holds
    remedy: str
    where: str  # "step 3 (model)", "tool search"; "" for everywhere
    phase: str | None  # one of PHASES
    evidence: tuple[Evidence, ...] = ()  # at most five, the most telling first
