"""Spans as the analysis sees them: plain data, nanoseconds, no SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from profiler import semconv as sc

Value = Any  # str | bool | int | float | tuple of these


@dataclass(frozen=True, slots=True)
class Span:
    """One span of a trace. Times are nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failed: bool = False
    message: str = ""
    service: str = ""

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


@dataclass(frozen=True)
class Trace:
    """One chain: a tree of spans, whole (`root` exists and every parent is known)."""

    root: Span
    spans: Sequence[Span]  # by start, the root first
    children: Mapping[str, Sequence[Span]]  # span id -> children, by start
    repairs: Sequence[str] = ()  # what had to be mended, in words

    @property
    def trace_id(self) -> str:
        """Hexadecimal id."""
        return self.root.trace_id

    def parent_of(self) -> dict[str, Span]:
        """Child's id -> parent span."""
        by_id = {span.span_id: span for span in self.spans}
        return {child.span_id: by_id[parent] for parent, children in self.children.items() for child in children}


def build_trace(spans: Sequence[Span]) -> Trace | None:
    """Make a tree of one trace's spans.

    Rules, each reported in `repairs`: of several spans with one id the first is kept; a span whose parent is not
    among them becomes a child of the root; of several roots the longest is kept as the root and the others become
    its children; a span that ends before it starts is taken as ending where it starts; an attribute that the
    analysis computes with and that is of another type than it should be is left out.

    Returns:
        None if there is no root: the chain was never finished.
    """
    repairs: list[str] = []
    unique: dict[str, Span] = {}
    for span in (_well_typed(each, repairs) for each in spans):
        if span.span_id in unique:
            repairs.append(f"span {span.span_id} occurs twice: the first is kept")
        elif span.end_ns < span.start_ns:
            repairs.append(f"span {span.span_id} ends before it starts: its duration is taken as 0")
            unique[span.span_id] = replace(span, end_ns=span.start_ns)
        else:
            unique[span.span_id] = span
    roots = [span for span in unique.values() if span.parent_id is None]
    if not roots:
        return None
    root = max(roots, key=lambda span: (span.operation == sc.OP_INVOKE_AGENT, span.duration_ns))
    children: dict[str, list[Span]] = {}
    for span in sorted(unique.values(), key=lambda span: (span.start_ns, span.end_ns)):
        if span is root:
            continue
        parent = span.parent_id
        if parent is None:
            repairs.append(f"span {span.span_id} is a second root: taken as a child of the first")
            parent = root.span_id
        elif parent not in unique:
            repairs.append(f"span {span.span_id} has an unknown parent: taken as a child of the root")
            parent = root.span_id
        children.setdefault(parent, []).append(span)
    reached = _reachable(root, children)
    if len(reached) < len(unique):
        lost = len(unique) - len(reached)
        repairs.append(f"{lost} spans are their own ancestors: left out" if lost > 1 else _ONE_LOST)
        children = {parent: kids for parent, kids in children.items() if parent in reached}
    kept = (span for span in unique.values() if span.span_id in reached and span is not root)
    ordered = sorted(kept, key=lambda span: (span.start_ns, span.end_ns))
    return Trace(root, (root, *ordered), children, tuple(repairs))


_ONE_LOST = "1 span is its own ancestor: left out"


def _well_typed(span: Span, repairs: list[str]) -> Span:
    """The span without attributes of a wrong type; itself if there are none, which is nearly always."""
    wrong = [name for name, value in span.attributes.items() if not _fits(name, value)]
    if not wrong:
        return span
    repairs.append(f"span {span.span_id}: {', '.join(sorted(wrong))} of a wrong type: left out")
    kept = {name: value for name, value in span.attributes.items() if name not in wrong}
    return replace(span, attributes=kept)


def _fits(name: str, value: Value) -> bool:
    if name in sc.INTEGERS:
        return _is_integer(value)
    if name in sc.INTEGER_LISTS:
        return isinstance(value, list | tuple) and all(map(_is_integer, value))
    return name not in sc.TEXTS or isinstance(value, str)


def _is_integer(value: Value) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _reachable(root: Span, children: Mapping[str, Sequence[Span]]) -> set[str]:
    reached = {root.span_id}
    waiting = [root.span_id]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            reached.add(child.span_id)
            waiting.append(child.span_id)
    return reached
