"""What engines send, made with OpenTelemetry's own messages and exporters."""

from __future__ import annotations

import contextlib
import http.client
import time

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

NOW_NS = 1_795_650_000_000_000_000
LATENCIES = {
    "gen_ai.latency.time_in_queue": 0.010,
    "gen_ai.latency.time_in_model_prefill": 0.020,
    "gen_ai.latency.time_in_model_decode": 0.040,
    "gen_ai.latency.e2e": 0.075,
}


def request(*spans, service="vllm"):
    """An export of spans, each a dictionary of what differs from a request's span."""
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    attribute = resource_spans.resource.attributes.add()
    attribute.key, attribute.value.string_value = "service.name", service
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "vllm.llm_engine"
    for number, given in enumerate(spans, start=1):
        span = scope_spans.spans.add()
        span.trace_id = given.get("trace_id", 1).to_bytes(16)
        span.span_id = given.get("span_id", number).to_bytes(8)
        if given.get("parent"):
            span.parent_span_id = given["parent"].to_bytes(8)
        span.name = given.get("name", "llm_request")
        span.kind = 2
        span.start_time_unix_nano = given.get("start", NOW_NS)
        span.end_time_unix_nano = given.get("end", NOW_NS + 75_000_000)
        for name, value in given.get("attributes", LATENCIES).items():
            pair = span.attributes.add()
            pair.key, pair.value.double_value = name, value
    return message


@contextlib.contextmanager
def tracer(exporter: SpanExporter, service="vllm"):
    """OpenTelemetry's SDK with an exporter, as an engine has it."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        yield provider.get_tracer("vllm.llm_engine")
    finally:
        provider.shutdown()


def send_one(exporter: SpanExporter, trace_id: int, parent: int) -> None:
    """The span of a request with a traceparent."""
    above = NonRecordingSpan(SpanContext(trace_id, parent, is_remote=True, trace_flags=TraceFlags(1)))
    with tracer(exporter) as spans:
        start = time.time_ns()
        spans.start_span("llm_request", set_span_in_context(above), SpanKind.SERVER, LATENCIES, start_time=start).end()


def over_grpc(address: str, **options) -> OverGrpc:
    return OverGrpc(endpoint=address, insecure=True, timeout=60, **options)


def over_http(address: str, **options) -> OverHttp:
    return OverHttp(endpoint=address, timeout=60, **options)


def post(port: int, body, path="/v1/traces", method="POST", **headers):
    """Status and body of a plain request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"content-type": "application/x-protobuf", **named})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
