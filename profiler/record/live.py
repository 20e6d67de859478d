"""Live export over OTLP: a finished chain goes to a collector (such as Jaeger) while the run goes on.

A thread of its own sends; a collector that is down, slow or wrong costs the run nothing but that thread's waiting.
What could not be sent is counted and told at the end.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from profiler.errors import UsageError
from profiler.record.text import clean_message
from profiler.store.manifest import Export

QUEUE_CHAINS = 10_000  # memory is bounded: about 20 kB per waiting chain
SEND_TIMEOUT_S = 5.0
FLUSH_S = 5.0  # at the end, for a collector that has taken something before
LAST_TRY_S = 1.0  # for one that never has


def endpoint_from_env(environ: Mapping[str, str] = os.environ) -> str | None:
    """The collector that the standard variables name, if any."""
    general = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if general and urlsplit(general).path.strip("/") and protocol_of(general, environ) != "grpc":
        general = general.rstrip("/") + "/v1/traces"  # by the specification the general variable is a base
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or general


def protocol_of(endpoint: str, environ: Mapping[str, str] = os.environ, option: str = "--otlp-endpoint") -> str:
    """`grpc` or `http/protobuf`: as the standard variables say, otherwise by the usual ports.

    Raises:
        UsageError: not an address.
    """
    parts = urlsplit(endpoint)
    try:
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{option} {endpoint}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{option} {endpoint} is not an address",
            remedy="for Jaeger on this machine: http://127.0.0.1:4318 (HTTP) or http://127.0.0.1:4317 (gRPC)",
        )
    named = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if named in ("grpc", "http/protobuf"):
        return named
    return "grpc" if port == 4317 else "http/protobuf"  # noqa: PLR2004 - the port that OTLP/gRPC has by convention


def make_exporter(endpoint: str, protocol: str) -> SpanExporter:
    """The OpenTelemetry project's own exporter for the protocol."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=SEND_TIMEOUT_S)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    path = urlsplit(endpoint).path
    target = endpoint if path.strip("/") else endpoint.rstrip("/") + "/v1/traces"
    return Http(endpoint=target, timeout=SEND_TIMEOUT_S)


class LiveExport:
    """Sends chains in the background and keeps account of what arrived."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.protocol = protocol_of(endpoint)
        self._exporter = make_exporter(endpoint, self.protocol)
        self._queue: queue.Queue[Sequence[ReadableSpan] | None] = queue.Queue(QUEUE_CHAINS)
        self._offered = 0
        self._sent = 0
        self._log = _LastMessage()
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logger = logging.getLogger(name)
            logger.addHandler(self._log)
            logger.propagate = False
        self._thread = threading.Thread(target=self._send_all, name="otlp-export", daemon=True)
        self._thread.start()

    def offer(self, spans: Sequence[ReadableSpan]) -> None:
        """Take a chain to be sent. Never waits: with the queue full, the chain counts as not sent."""
        self._offered += len(spans)
        try:
            self._queue.put_nowait(spans)
        except queue.Full:
            self._log.text = self._log.text or "the collector is too slow"

    def _send_all(self) -> None:
        while (spans := self._queue.get()) is not None:
            try:
                result = self._exporter.export(spans)
            except Exception as error:  # noqa: BLE001 - a collector must never fail a run; it is counted and told
                self._log.text = f"{type(error).__name__}: {error}"
                continue
            if result is SpanExportResult.SUCCESS:
                self._sent += len(spans)

    def close(self, wait_s: float | None = None) -> Export:
        """Send what is waiting, for a bounded time, and tell what became of everything."""
        if wait_s is None:
            wait_s = FLUSH_S if self._sent else LAST_TRY_S
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            try:
                self._queue.put(None, timeout=0.05)
                break
            except queue.Full:
                continue
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._log.closing = True
        if self._thread.is_alive():  # interrupts a retry that is waiting
            threading.Thread(target=self._exporter.shutdown, name="otlp-shutdown", daemon=True).start()
        else:
            self._exporter.shutdown()
        not_sent = self._offered - self._sent
        error = clean_message(self._log.text or "no answer in time") if not_sent else None
        return Export(
            endpoint=_without_credentials(self.endpoint),
            protocol=self.protocol,
            sent=self._sent,
            not_sent=not_sent,
            error=error,
        )


class _LastMessage(logging.Handler):
    """The exporters report failures by logging alone: keep the last line instead of printing hundreds."""

    text: str | None = None
    closing = False  # what our own shutdown causes is no reason

    def emit(self, record: logging.LogRecord) -> None:
        if not self.closing:
            self.text = record.getMessage()


def _without_credentials(endpoint: str) -> str:
    parts: Any = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()  # type: ignore[no-any-return]
