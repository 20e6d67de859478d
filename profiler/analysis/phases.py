"""Phases of a chain: what kind of work each section of the critical path was.

The phases add up to the chain's end-to-end time exactly, in integer nanoseconds, because the sections do.

    framework    neither a call nor a tool was waited for: graph orchestration, the agent's own code
    client       from the HTTP client's entry until the request is sent: connecting, waiting for a connection
    queue        the engine had the request and was not working on it
    prefill      the engine read the prompt
    decode       the engine generated tokens
    delivery     the rest of a call with engine timing: HTTP both ways, parsing, tokenising, detokenising
    tool         a tool ran
    retry        attempts that failed and were repeated, and the waiting between them
    unaccounted  the rest of a call without engine timing: the engine, or the way to it and back
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from profiler import semconv as sc
from profiler.analysis.critical_path import Section
from profiler.analysis.model import Span, Trace

PHASES = (
    "framework",
    "client",
    "queue",
    "prefill",
    "decode",
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
    parents = trace.parent_of()
    retried = _retried_calls(trace)
    given_up = retried | _failed_above(trace, retried, parents)
    classified: list[PhaseSection] = []
    for section in sections:
        span = section.span
        part_of = _belongs_to(span, parents)
        owner = part_of if part_of is not None and part_of.is_call else None
        if owner is not None and owner.span_id in retried:
            classified.append(PhaseSection(span, "retry", section.start_ns, section.end_ns))
        elif span.phase is not None:
            classified.append(PhaseSection(span, span.phase, section.start_ns, section.end_ns))
        elif owner is not None:
            classified += _in_call(span, owner, section)
        elif part_of is not None and part_of.is_tool:
            classified.append(PhaseSection(span, "tool", section.start_ns, section.end_ns))
        else:
            classified.append(_outside_calls(span, section, trace, given_up))
    return classified


def _in_call(span: Span, call: Span, section: Section) -> list[PhaseSection]:
    """Own time of a call: before the sending it is the client's, after it the way to and from the engine."""
    after = "delivery" if sc.ENGINE_SOURCE in call.attributes else "unaccounted"
    sent_ns = call.start_ns + int(call.attributes.get(sc.SENT_NS, 0))
    cut = min(max(sent_ns, section.start_ns), section.end_ns)
    parts = [("client", section.start_ns, cut), (after, cut, section.end_ns)]
    return [PhaseSection(span, phase, start, end) for phase, start, end in parts if end > start]


def _failed_above(trace: Trace, retried: frozenset[str], parents: dict[str, Span]) -> set[str]:
    """Steps that ended with a failed attempt and were run again, as a graph's retry policy does."""
    found: set[str] = set()
    for span in trace.spans:
        at = parents.get(span.span_id) if span.span_id in retried else None
        while at is not None and at.is_step and at.failed:
            found.add(at.span_id)
            at = parents.get(at.span_id)
    return found


def _outside_calls(span: Span, section: Section, trace: Trace, given_up: Collection[str]) -> PhaseSection:
    """Own time of a step or the root; right after an attempt that was repeated, it is the wait for the next."""
    children = trace.children.get(span.span_id, ()) if given_up else ()
    ends = {child.end_ns for child in children if child.span_id in given_up}
    phase = "retry" if section.start_ns in ends else "framework"
    return PhaseSection(span, phase, section.start_ns, section.end_ns)


def _retried_calls(trace: Trace) -> frozenset[str]:
    """Failed attempts that another attempt of the same call followed."""
    last_attempt: dict[tuple[object, ...], int] = {}
    for span in trace.spans:
        if span.is_call:
            key = _call_key(span)
            last_attempt[key] = max(last_attempt.get(key, 1), _attempt(span))
    return frozenset(
        span.span_id
        for span in trace.spans
        if span.is_call and span.failed and _attempt(span) < last_attempt[_call_key(span)]
    )


def _call_key(span: Span) -> tuple[object, ...]:
    """The same for all attempts of a call, also where a graph runs the whole node again."""
    ordinal = span.attributes.get(sc.CALL_ORDINAL)
    return ("call", span.attributes.get(sc.CALL_PLACE), ordinal) if ordinal is not None else ("span", span.span_id)


def _attempt(span: Span) -> int:
    return int(span.attributes.get(sc.CALL_ATTEMPT, 1))


def _belongs_to(span: Span, parents: dict[str, Span]) -> Span | None:
    """The call, tool or step that a span is part of: itself, or the nearest above it."""
    at: Span | None = span
    while at is not None and not (at.is_call or at.is_tool or at.is_step):
        at = parents.get(at.span_id)
    return at


def check(trace: Trace, phases: Sequence[PhaseSection]) -> None:
    """Assert that the phases cover the chain: contiguous, and summing to it exactly."""
    at = trace.root.start_ns
    for section in phases:
        assert section.phase in PHASES, section.phase
        assert section.start_ns == at, "phase sections must touch"
        at = section.end_ns
    assert at == trace.root.end_ns, "phase sections must add up to the chain"
