"""How an engine that is started is told to send spans of its own: where, over what, how soon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from profiler.engines.model import EngineOptions, Progress

if TYPE_CHECKING:
    from profiler.engines.vllm import Installation

SPANS_FLAG = "--otlp-traces-endpoint"
PROTOCOL_VARIABLE = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
SPAN_PROTOCOLS = ("http/protobuf", "grpc")
SPAN_DELAY_MS = 100  # from the end of a request until its span is sent; OpenTelemetry's default is 5 s


def spans_endpoint(options: EngineOptions, installation: Installation, progress: Progress) -> str | None:
    """Where the engine is to send its spans; None if nowhere, or where its own arguments say."""
    endpoint = options.spans_endpoint
    if endpoint is None:
        return None
    if not installation.spans:
        progress(f"no spans of the engine: {installation.python} lacks opentelemetry-sdk or its OTLP exporters")
        return None
    if any(argument.partition("=")[0] == SPANS_FLAG for argument in options.extra_args):
        progress(f"the engine's spans go where {SPANS_FLAG} among its arguments says, and not into the run")
        return None
    return endpoint


def without_tracing(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables but those that say where spans go, which are sampled, and what trace the process is part of."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("OTEL_") and name.lower() not in ("traceparent", "tracestate")
    }


def spans_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Variables for an engine that sends spans to this machine: over what the user prefers, HTTP otherwise."""
    wanted = base.get(PROTOCOL_VARIABLE, "")
    here = "127.0.0.1,localhost,::1"
    proxies = {name: f"{base[name]},{here}" if base.get(name) else here for name in ("NO_PROXY", "no_proxy")}
    return {
        PROTOCOL_VARIABLE: wanted if wanted in SPAN_PROTOCOLS else SPAN_PROTOCOLS[0],
        "OTEL_BSP_SCHEDULE_DELAY": str(SPAN_DELAY_MS),
        "OTEL_SERVICE_NAME": "vllm",
        **proxies,
    }
