"""The spans that the embedded engine sends, at real receivers."""

from __future__ import annotations

import threading
import time
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from sim_server import TRACE, chat, serving, streamed, traceparent

from profiler.engines.sim import faults
from profiler.engines.sim.otlp import EngineSpans


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def over_http(hold=None):
    spans = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if hold is not None:
                hold.wait(300)
            spans.extend(spans_of(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def over_grpc():
    spans = []

    class Servicer(TraceServiceServicer):
        def Export(self, request, context):
            spans.extend(spans_of(request))
            return ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", spans
    finally:
        server.stop(None).wait()


def spans_of(request):
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def attributes(span):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@pytest.mark.parametrize("receiver", [over_http, over_grpc])
def test_each_answered_request_is_a_span_under_its_caller_with_the_truths_durations(tmp_path, receiver):
    with receiver() as (endpoint, spans):
        with serving(tmp_path, otlp_traces_endpoint=endpoint) as sim:
            sim.post(streamed(), headers={"traceparent": traceparent(1)})
            sim.post(chat(), headers={"traceparent": traceparent(2)})
            truths = {truth.span_id: truth for truth in sim.truths(2)}
        assert sorted(span.parent_span_id.hex() for span in spans) == sorted(truths)
    for span in spans:
        truth, told = truths[span.parent_span_id.hex()], attributes(span)
        assert (span.name, span.kind, span.trace_id.hex()) == ("llm_request", span.SPAN_KIND_SERVER, TRACE)
        assert span.end_time_unix_nano - span.start_time_unix_nano == truth.last_token_ns - truth.arrival_ns
        assert told["gen_ai.latency.time_in_queue"] == truth.queue_ns / 1e9
        assert told["gen_ai.latency.time_in_model_prefill"] == truth.prefill_ns / 1e9
        assert told["gen_ai.latency.time_in_model_decode"] == truth.decode_ns / 1e9
        assert told["gen_ai.latency.e2e"] == (truth.last_token_ns - truth.arrival_ns) / 1e9
        assert told["gen_ai.usage.completion_tokens"] == truth.output_tokens
        assert told["gen_ai.usage.prompt_tokens"] == truth.prompt_tokens
        assert told["gen_ai.request.id"] == truth.id


def test_what_was_not_answered_has_no_span(tmp_path):
    with over_http() as (endpoint, spans):
        with serving(tmp_path, otlp_traces_endpoint=endpoint) as sim:
            sim.post(headers={faults.HEADER: faults.ERROR_500})
            sim.post(streamed(), headers={faults.HEADER: faults.ERROR_IN_200})
            sim.post(chat(model="other"))
        assert spans == []


def test_a_collector_that_hangs_does_not_keep_the_engine_from_ending(monkeypatch):
    monkeypatch.setattr("profiler.engines.sim.otlp._CLOSE_LIMIT_S", 0.05)
    hold, others = threading.Event(), set(threading.enumerate())
    with over_http(hold) as (endpoint, _):
        spans = EngineSpans(endpoint, "vllm")
        spans._tracer.start_span("one").end()
        spans.close()
        hold.set()
        until_ended(others)


def until_ended(others):
    deadline = time.monotonic() + 120
    while any(thread.name.startswith("Otel") for thread in set(threading.enumerate()) - others):
        assert time.monotonic() < deadline
        time.sleep(0.01)
