"""A span while it is being recorded: plain data, cheap enough to be made while an agent waits.

The SDK's own spans check, copy and lock each value (8 to 17 µs apiece, more on a busy machine), all of it while the
chain runs. These become the SDK's read-only spans when their chain has ended: see `Recorder.deliver`.
"""

from __future__ import annotations

from typing import Any, Protocol

from opentelemetry.trace import SpanKind

Attributes = dict[str, Any]


class Book(Protocol):
    """Who gives out ids and keeps what has ended."""

    def new_span_id(self) -> int:
        """An id of 64 bits, never 0; the span counts as started."""

    def ended(self, span: Span) -> None:
        """Take a span that is over."""


class Span:
    """One span. `attributes` may be added to until `end`; times are epoch nanoseconds."""

    __slots__ = (
        "_book",
        "attributes",
        "end_ns",
        "error",
        "kind",
        "name",
        "parent_id",
        "span_id",
        "start_ns",
        "trace_id",
    )

    def __init__(
        self,
        book: Book,
        name: str,
        kind: SpanKind,
        trace_id: int,
        parent_id: int | None,
        attributes: Attributes,
        start_ns: int,
    ) -> None:
        self._book = book
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = book.new_span_id()
        self.parent_id = parent_id
        self.attributes = attributes
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.error: str | None = None  # what went wrong, possibly without words; None for a span that did not fail

    def child(self, name: str, kind: SpanKind, attributes: Attributes, start_ns: int) -> Span:
        """Start a span below this one; it takes the attributes over."""
        return Span(self._book, name, kind, self.trace_id, self.span_id, attributes, start_ns)

    def end(self, end_ns: int) -> None:
        """End it; what is done to it afterwards may be lost."""
        self.end_ns = end_ns
        self._book.ended(self)
