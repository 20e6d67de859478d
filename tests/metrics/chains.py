"""Finished chains for tests, as the recorder hands them over."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from profiler import semconv as sc

MS = 1_000_000
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def span(number, attributes, *, ms, parent=None, trace=7):
    """A span of so many milliseconds."""
    return ReadableSpan(
        name="span",
        context=SpanContext(trace, number, is_remote=False, trace_flags=_SAMPLED),
        parent=None if parent is None else SpanContext(trace, parent, is_remote=False, trace_flags=_SAMPLED),
        attributes=attributes,
        start_time=10 * MS,
        end_time=10 * MS + round(ms * MS),
    )


def call(number=2, *, ms=100, **attributes):
    """A call that streamed four chunks, of four tokens, 3, 3 and 4 ms apart."""
    told = {
        sc.OPERATION: sc.OP_CHAT,
        sc.PROVIDER: "vllm",
        sc.REQUEST_MODEL: "asked",
        sc.RESPONSE_MODEL: "answered",
        sc.SERVER_ADDRESS: "127.0.0.1",
        sc.SERVER_PORT: 8000,
        sc.RESPONSE_TTFC: 0.030,
        sc.CHUNK_TIMES_US: (30_000, 33_000, 36_000, 40_000),
        sc.INPUT_TOKENS: 1000,
        sc.OUTPUT_TOKENS: 4,
        sc.ENGINE_QUEUE_NS: 1 * MS,
        sc.ENGINE_PREFILL_NS: 20 * MS,
        sc.ENGINE_DECODE_NS: 10 * MS,
    }
    names = {sc.ERROR_TYPE: attributes.pop("error", None), **attributes.pop("changed", {})}
    merged = {**told, **names}
    return span(number, {name: value for name, value in merged.items() if value is not None}, ms=ms, parent=1)


def tool(number=3, *, ms=50, name="search", error=None):
    attributes = {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: name, sc.TOOL_TYPE: "function"}
    return span(number, attributes if error is None else {**attributes, sc.ERROR_TYPE: error}, ms=ms, parent=1)


def chain(*below, ms=200, agent="react", error=None, warmup=False):
    """A chain with spans below its root, in the order of their ends, the root last."""
    attributes = {sc.OPERATION: sc.OP_INVOKE_AGENT, sc.AGENT_NAME: agent}
    if error is not None:
        attributes[sc.ERROR_TYPE] = error
    if warmup:
        attributes[sc.WARMUP] = True
    return [*below, span(1, attributes, ms=ms)]
