"""The recorder: hands out chains, collects their spans, gives each finished chain to its sinks."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

from profiler import __version__
from profiler import semconv as sc
from profiler.record.clock import Clock

Sink = Callable[[Sequence[ReadableSpan]], None]

# The SDK's defaults keep the last 128 attributes and events of a span and say nothing of the others.
_NO_LIMITS = SpanLimits(
    max_attributes=1_000_000,
    max_span_attributes=1_000_000,
    max_events=1_000_000,
    max_links=1_000_000,
)


class ChainCollector(SpanProcessor):
    """Keeps the ended spans of each trace together and hands them on when the root has ended.

    Unlike the SDK's batch processor it has no queue that could overflow: nothing is ever evicted.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self._lock = threading.Lock()
        self._ended: dict[int, list[ReadableSpan]] = {}
        self.started = 0

    def on_start(self, span: Span, parent_context: object = None) -> None:  # noqa: ARG002
        """Count it."""
        with self._lock:
            self.started += 1

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        with self._lock:
            self._ended.setdefault(span.context.trace_id, []).append(span)

    def deliver(self, trace_id: int | None = None) -> None:
        """Hand on what has ended of one trace, or of all."""
        with self._lock:
            keys = list(self._ended) if trace_id is None else [trace_id]
            batches = [self._ended.pop(key) for key in keys if key in self._ended]
        for spans in batches:
            for sink in self._sinks:
                sink(spans)

    def shutdown(self) -> None:
        """Nothing is held back: the recorder delivers."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing to flush."""
        return True


class _OwnIds(IdGenerator):
    """Ids from a generator of their own: an agent that seeds `random` must not make runs share trace ids."""

    def __init__(self) -> None:
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - ids are not secrets

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1


class Recorder(AbstractContextManager["Recorder"]):
    """One run's source of spans."""

    def __init__(self, *, service_name: str, resource: dict[str, str], sinks: Sequence[Sink]) -> None:
        self.clock = Clock()
        self._collector = ChainCollector(sinks)
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": service_name, **resource}, sc.SCHEMA_URL),
            shutdown_on_exit=False,
            id_generator=_OwnIds(),
            span_limits=_NO_LIMITS,
        )
        # OTEL_SDK_DISABLED is meant for an application's own telemetry; a profiler that records nothing is none.
        self._provider._disabled = False  # noqa: SLF001
        self._provider.add_span_processor(self._collector)
        self.tracer: Tracer = self._provider.get_tracer(sc.SCOPE, __version__, schema_url=sc.SCHEMA_URL)

    @property
    def spans_started(self) -> int:
        """How many spans were begun."""
        return self._collector.started

    def deliver(self, trace_id: int) -> None:
        """Write a finished chain."""
        self._collector.deliver(trace_id)

    def __exit__(self, *_: object) -> None:
        self._collector.deliver()
        self._provider.shutdown()
