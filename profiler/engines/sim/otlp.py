"""The spans that vLLM sends with `--otlp-traces-endpoint`: one `llm_request` per request, child of its `traceparent`.

Attribute names are vLLM's own (`gen_ai.latency.*`, seconds), which differ from the semantic conventions.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.propagators.textmap import default_getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from profiler.engines.sim.request import Ask
    from profiler.truth import Truth

_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_HTTP = "http/protobuf"
_CLOSE_LIMIT_S = 1.0  # a collector that is down must not keep the engine from ending


class EngineSpans:
    """Sends in the background, in batches, as the SDK does."""

    def __init__(self, endpoint: str, service: str) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(endpoint)))
        self._tracer = self._provider.get_tracer("vllm.llm_engine")
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    def send(self, truth: Truth, ask: Ask, headers: Mapping[str, str]) -> None:
        """Queue the span of a request that was answered."""
        if truth.last_token_ns is None or truth.first_token_ns is None:
            return
        carrier = {name.lower(): value for name, value in headers.items()}
        context = TraceContextTextMapPropagator().extract(carrier, getter=default_getter)
        prefill_s, decode_s = (truth.prefill_ns or 0) / 1e9, (truth.decode_ns or 0) / 1e9
        span = self._tracer.start_span(
            "llm_request",
            context,
            SpanKind.SERVER,
            {
                "gen_ai.response.model": ask.model,
                "gen_ai.request.id": truth.id,
                "gen_ai.request.max_tokens": ask.max_tokens or 0,
                "gen_ai.request.n": ask.n,
                "gen_ai.usage.prompt_tokens": truth.prompt_tokens or 0,
                "gen_ai.usage.completion_tokens": truth.output_tokens or 0,
                "gen_ai.latency.time_in_queue": (truth.queue_ns or 0) / 1e9,
                "gen_ai.latency.time_to_first_token": (truth.first_token_ns - truth.arrival_ns) / 1e9,
                "gen_ai.latency.e2e": (truth.last_token_ns - truth.arrival_ns) / 1e9,
                "gen_ai.latency.time_in_model_prefill": prefill_s,
                "gen_ai.latency.time_in_model_decode": decode_s,
                "gen_ai.latency.time_in_model_inference": prefill_s + decode_s,
            },
            start_time=truth.arrival_ns + self._epoch_ns,
        )
        span.end(truth.last_token_ns + self._epoch_ns)

    def close(self) -> None:
        """Send what is left, if the collector takes it soon."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_LIMIT_S)


def _exporter(endpoint: str) -> SpanExporter:
    """Over what the standard variable says; else, as in vLLM, over gRPC, unless the address has a path."""
    protocol = os.environ.get(_PROTOCOL) or (_HTTP if urlsplit(endpoint).path.strip("/") else "grpc")
    if protocol == _HTTP:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

        return OverHttp(endpoint=endpoint)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

    return OverGrpc(endpoint=endpoint, insecure=not endpoint.startswith("https"))
