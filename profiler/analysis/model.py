"""Spans as the analysis sees them: plain data, nanoseconds, no SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from profiler import semconv as sc

Value = Any  # str | bool | int | float | tuple of these

_NO_ATTRIBUTES: Mapping[str, Value] = {}


class Event(NamedTuple):
    """Something that happened within a span. Spans of our own have none; other instrumentations tell first tokens."""

    name: str
    time_ns: int  # since the epoch; 0 if it is not told
    attributes: Mapping[str, Value] = _NO_ATTRIBUTES


class Span(NamedTuple):
    """One span of a trace. Times are nanoseconds since the epoch.

    A tuple, because a million are made: a frozen dataclass of ten fields takes several times as long.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int  # 0 if it is not known: the span was cut off
    attributes: Mapping[str, Value] = _NO_ATTRIBUTES
    failed: bool = False
    message: str = ""
    service: str = ""
    events: Sequence[Event] = ()

    @property
    def duration_ns(self) -> int:
        """End minus start."""
        return self.end_ns - self.start_ns

    @property
    def operation(self) -> str | None:
        """The GenAI operation: invoke_agent, chat, text_completion, execute_tool; None for other spans."""
        return self.attributes.get(sc.OPERATION)

    @property
    def is_call(self) -> bool:
        """Whether it is an attempt of an LLM call."""
        return self.operation in (sc.OP_CHAT, sc.OP_TEXT_COMPLETION)

    @property
    def is_tool(self) -> bool:
        """Whether it is a tool's execution."""
        return self.operation == sc.OP_EXECUTE_TOOL

    @property
    def is_step(self) -> bool:
        """Whether it is one execution of a graph node."""
        return sc.STEP_NODE in self.attributes

    @property
    def phase(self) -> str | None:
        """Queue, prefill or decode for a span made from the engine's timing."""
        phase = self.attributes.get(sc.PHASE)
        return phase if phase in sc.ENGINE_PHASES else None


class Repair(NamedTuple):
    """What had to be changed in a trace before it could be analysed; `str()` is a sentence."""

    kind: str  # stable, kebab case: see docs/metrics.md
    span_id: str
    detail: str

    def __str__(self) -> str:
        """What was found, and what was made of it."""
        return self.detail


@dataclass(frozen=True)
class Trace:
    """One chain: a tree of spans, whole (`root` exists and every parent is known)."""

    root: Span
    spans: Sequence[Span]  # by start, the root first
    parents: Sequence[int]  # of each span, where in `spans` its parent stands; -1 for the root
    repairs: Sequence[Repair] = ()

    @property
    def trace_id(self) -> str:
        """Hexadecimal id."""
        return self.root.trace_id

    @cached_property
    def below(self) -> Sequence[Sequence[int]]:
        """Of each span, where in `spans` its children stand, by start."""
        below: list[Sequence[int]] = [()] * len(self.spans)
        for at, parent in enumerate(self.parents):
            if parent < 0:
                continue
            children = below[parent]
            if isinstance(children, list):
                children.append(at)
            else:
                below[parent] = [at]
        return below

    @cached_property
    def order(self) -> Sequence[int]:
        """Positions in `spans`, each parent before its children. Mostly 0, 1, 2 …: parents start first."""
        if all(parent < at for at, parent in enumerate(self.parents)):
            return range(len(self.spans))
        order = [0]
        for at in order:  # grows while it is walked
            order += self.below[at]
        return order

    @cached_property
    def children(self) -> Mapping[str, Sequence[Span]]:
        """Span id -> children, by start; spans without any are not there."""
        spans = self.spans
        return {spans[at].span_id: [spans[child] for child in below] for at, below in enumerate(self.below) if below}

    def parent_of(self) -> dict[str, Span]:
        """Child's id -> parent span."""
        spans = self.spans
        return {span.span_id: spans[at] for span, at in zip(spans, self.parents, strict=True) if at >= 0}
