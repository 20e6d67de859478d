"""The recorder: starts the traces of chains, keeps their spans, gives each finished chain to its sinks."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from profiler import __version__
from profiler import semconv as sc
from profiler.record import cost as costs
from profiler.record.clock import Clock
from profiler.record.cost import Cost
from profiler.record.digests import new_key
from profiler.record.lag import LoopLags
from profiler.record.spans import Attributes, Span

Sink = Callable[[Sequence[ReadableSpan]], None]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)


class Recorder(AbstractContextManager["Recorder"]):
    """One run's source of spans. Nothing is ever evicted: what has ended is kept until its chain is delivered.

    Ids come from a generator of their own: an agent that seeds `random` must not make runs share trace ids.
    """

    def __init__(self, *, service_name: str, resource: dict[str, str], sinks: Sequence[Sink]) -> None:
        self.clock = Clock()
        self.cost = Cost()
        self.lag: LoopLags | None = None  # of the loops on which the run's chains make calls
        self.digest_key = new_key()
        self.spans_started = 0
        self.traces: set[int] = set()  # of all chains that were started
        self._sinks = sinks
        self._resource = Resource({"service.name": service_name, **resource}, sc.SCHEMA_URL)
        self._scope = InstrumentationScope(sc.SCOPE, __version__, sc.SCHEMA_URL)
        self._bits = random.Random(secrets.randbits(128)).getrandbits  # noqa: S311 - ids are not secrets
        self._lock = threading.Lock()
        self._ended: dict[int, list[Span]] = {}
        self._left: dict[int, Callable[[], None]] = {}

    def start_trace(self, name: str, attributes: Attributes, start_ns: int) -> Span:
        """Start a root span with a trace of its own."""
        trace_id = self._bits(128) or 1
        self.traces.add(trace_id)
        return Span(self, name, SpanKind.INTERNAL, trace_id, None, attributes, start_ns)

    def new_span_id(self) -> int:
        """An id for a span that starts now."""
        with self._lock:
            self.spans_started += 1
        return self._bits(64) or 1

    def ended(self, span: Span) -> None:
        """Keep a span that is over."""
        with self._lock:
            self._ended.setdefault(span.trace_id, []).append(span)

    def later(self, trace_id: int, work: Callable[[], None]) -> None:
        """Keep the work on a chain's spans that is left for when its agent waits for nothing any more."""
        self._left[trace_id] = work

    def deliver(self, trace_id: int) -> None:
        """Hand a finished chain to the sinks."""
        self._do_what_is_left(trace_id)
        began_ns = costs.now_ns()
        with self._lock:
            spans = self._ended.pop(trace_id, None)
        if spans:
            self._hand_on(spans)
            self.cost.chain(began_ns, len(spans))

    def _do_what_is_left(self, trace_id: int) -> None:
        work = self._left.pop(trace_id, None)
        if work is not None:
            work()

    def _hand_on(self, spans: list[Span]) -> None:
        spans.sort(key=_end_ns)  # what was done later does not come later
        readable = [self._readable(span) for span in spans]
        for sink in self._sinks:
            sink(readable)

    def _readable(self, span: Span) -> ReadableSpan:
        context = SpanContext(span.trace_id, span.span_id, is_remote=False, trace_flags=_SAMPLED)
        parent = None
        if span.parent_id is not None:
            parent = SpanContext(span.trace_id, span.parent_id, is_remote=False, trace_flags=_SAMPLED)
        return ReadableSpan(
            name=span.name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=span.kind,
            status=_UNSET if span.error is None else Status(StatusCode.ERROR, span.error or None),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )

    def __exit__(self, *_: object) -> None:
        for trace_id in list(self._left):
            self._do_what_is_left(trace_id)
        with self._lock:  # of chains that never ended, or ended while a step of theirs went on
            left, self._ended = self._ended, {}
        for spans in left.values():
            self._hand_on(spans)


def _end_ns(span: Span) -> int:
    return span.end_ns or 0
