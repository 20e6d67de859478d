"""Recording for tests: agents run for real against the loopback server, spans are kept in memory."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from profiler.analysis.model import Span, Trace
from profiler.analysis.tree import build_trace
from profiler.record.chain import Chain, RecordingOptions
from profiler.record.recorder import Recorder
from profiler.record.wire import watch_wire


@dataclass
class Recording:
    """The traces of the chains that have ended."""

    recorder: Recorder | None = None
    batches: list[list[ReadableSpan]] = field(default_factory=list)
    chain: Chain | None = None

    @property
    def traces(self) -> list[Trace]:
        traces = [build_trace([to_span(span) for span in batch]) for batch in self.batches]
        return [trace for trace in traces if trace is not None]

    @property
    def trace(self) -> Trace:
        (trace,) = self.traces
        return trace

    def calls(self) -> list[Span]:
        return [span for span in self.trace.spans if span.is_call]


def to_span(span: ReadableSpan) -> Span:
    return Span(
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        start_ns=span.start_time,
        end_ns=span.end_time,
        attributes=dict(span.attributes),
        failed=not span.status.is_ok and span.status.status_code.name == "ERROR",
        message=span.status.description or "",
    )


@contextmanager
def recorded(task: str = "t", **options: Any):
    """A chain in which everything inside the block happens."""
    recording = Recording()
    with Recorder(service_name="agent", resource={}, sinks=[recording.batches.append]) as recorder:
        recording.recorder = recorder
        settings = RecordingOptions(agent_name="test", provider="vllm", **options)
        chain = Chain(recorder, settings, task_id=task, repeat=1, warmup=False)
        recording.chain = chain
        error: BaseException | None = None
        try:
            with watch_wire(chain.begin_call), chain.active():
                yield recording
        except Exception as raised:
            error = raised
            raise
        finally:
            chain.finish(error)
