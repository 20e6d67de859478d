"""Phases of a chain: what kind of work each section of the critical path was.

The phases add up to the chain's end-to-end time exactly, in integer nanoseconds, because the sections do.

    framework    neither a call nor a tool was waited for: graph orchestration, the agent's own code
    client       from the HTTP client's entry until the request is sent: connecting, waiting for a connection
    load         the engine loaded the model
    queue        the engine had the request and was not working on it
    prefill      the engine read the prompt
    decode       the engine generated tokens
    inference    prefill and decode, of an engine that does not tell them apart
    delivery     the rest of a call with engine timing: HTTP both ways, parsing, tokenising, detokenising
    tool         a tool ran
    retry        attempts that failed and were repeated, and the waiting between them
    unaccounted  the rest of a call without engine timing: the engine, or the way to it and back; with it, what the
                 engine does not tell (its queue, for one)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from profiler import semconv as sc
from profiler.analysis.critical_path import Piece, Section
from profiler.analysis.layout import CALL, TOOL, Layout
from profiler.analysis.model import Span, Trace

PHASES = (
    "framework",
    "client",
    "load",
    "queue",
    "prefill",
    "decode",
    "inference",
    "delivery",
    "tool",
    "retry",
    "unaccounted",
)


class PhaseSection(NamedTuple):
    """A piece of the critical path with its kind of work."""

    span: Span
    phase: str
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """End minus start."""
        return self.end_ns - self.start_ns


def classify(trace: Trace, sections: Sequence[Section]) -> list[PhaseSection]:
    """Cut the sections where the kind of work changes; order and extent are kept."""
    place = {span.span_id: at for at, span in enumerate(trace.spans)}
    pieces = [(place[section.span.span_id], section.start_ns, section.end_ns) for section in sections]
    cut = Phases(Layout(trace)).cut(pieces)
    return [PhaseSection(trace.spans[at], phase, start, end) for at, phase, start, end in cut]


PhasePiece = tuple[int, str, int, int]  # position of the span, phase, start, end

_SPLIT = ""  # own time of a call: the client's before the sending, after it the way to and from the engine


class Phases:
    """What kind of work any span's own time is, on the critical path or off it."""

    __slots__ = ("_given_up_ends", "_of", "layout", "retried")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.retried = _retried_calls(layout)
        self._of = [self._phase_of(at) for at in range(len(layout.spans))]
        # The ends of attempts that were repeated, and of steps that were run again: from there on their parent waits.
        self._given_up_ends: dict[int, set[int]] = {}
        for at in self.retried | self._failed_above():
            self._given_up_ends.setdefault(layout.parents[at], set()).add(layout.high[at])

    def _phase_of(self, at: int) -> str:
        layout = self.layout
        owner = layout.nearest[at]
        kind = layout.kind[owner] if owner >= 0 else 0
        if kind == CALL and owner in self.retried:
            return "retry"
        phase = layout.spans[at].attributes.get(sc.PHASE)
        if phase is not None and phase in sc.ENGINE_PHASES:
            return str(phase)
        if kind == CALL:
            return _SPLIT
        return "tool" if kind == TOOL else "framework"

    def cut(self, pieces: Iterable[Piece]) -> list[PhasePiece]:
        """Pieces of own time, cut where the kind of work changes."""
        of, waits = self._of, self._given_up_ends
        found: list[PhasePiece] = []
        for at, start, end in pieces:
            phase = of[at]
            if phase == _SPLIT:
                found += self._in_call(at, start, end)
            elif waits and phase == "framework" and start in waits.get(at, ()):
                found.append((at, "retry", start, end))
            else:
                found.append((at, phase, start, end))
        return found

    def own(self, at: int, start: int, end: int) -> dict[str, int]:
        """Phase -> nanoseconds of a stretch of a span's own time."""
        if end <= start:
            return {}
        phase = self._of[at]
        if phase != _SPLIT and not self._given_up_ends:
            return {phase: end - start}
        return {phase: until - since for _, phase, since, until in self.cut([(at, start, end)])}

    def _in_call(self, at: int, start: int, end: int) -> list[PhasePiece]:
        call = self.layout.spans[self.layout.nearest[at]]
        after = "delivery" if sc.ENGINE_SOURCE in call.attributes else "unaccounted"
        sent = call.start_ns + int(call.attributes.get(sc.SENT_NS, 0))
        if sent <= start:
            return [(at, after, start, end)]
        if sent >= end:
            return [(at, "client", start, end)]
        return [(at, "client", start, sent), (at, after, sent, end)]

    def _failed_above(self) -> set[int]:
        """Steps that ended with a failed attempt and were run again, as a graph's retry policy does."""
        layout, found = self.layout, set()
        for at in self.retried:
            above = layout.parents[at]
            while above >= 0 and above not in found and layout.spans[above].is_step and layout.spans[above].failed:
                found.add(above)
                above = layout.parents[above]
        return found


def _retried_calls(layout: Layout) -> frozenset[int]:
    """Failed attempts that another attempt of the same call followed."""
    failed = [at for at in layout.calls if layout.spans[at].failed]
    if not failed:
        return frozenset()
    last_attempt: dict[tuple[object, ...], int] = {}
    for at in layout.calls:
        key = call_key(layout.spans[at])
        last_attempt[key] = max(last_attempt.get(key, 1), _attempt(layout.spans[at]))
    return frozenset(at for at in failed if _attempt(layout.spans[at]) < last_attempt[call_key(layout.spans[at])])


def call_key(span: Span) -> tuple[object, ...]:
    """The same for all attempts of a call, also where a graph runs the whole node again."""
    ordinal = span.attributes.get(sc.CALL_ORDINAL)
    return ("call", span.attributes.get(sc.CALL_PLACE), ordinal) if ordinal is not None else ("span", span.span_id)


def _attempt(span: Span) -> int:
    return int(span.attributes.get(sc.CALL_ATTEMPT, 1))


def check(trace: Trace, phases: Sequence[PhaseSection]) -> None:
    """Assert that the phases cover the chain: contiguous, and summing to it exactly."""
    at = trace.root.start_ns
    for section in phases:
        assert section.phase in PHASES, section.phase
        assert section.start_ns == at, "phase sections must touch"
        at = section.end_ns
    assert at == trace.root.end_ns, "phase sections must add up to the chain"
