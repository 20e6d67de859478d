"""The figures to a collector over OTLP, again and again while the run goes on.

A thread of its own sends; a collector that is down, slow or wrong costs the run nothing but that thread's waiting.
Each time all figures since the run's beginning are sent (or, for a backend that wants differences, all since the last
time that it took them), so that what one sending loses the next one brings.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from profiler import __version__
from profiler import semconv as sc
from profiler.exchange.address import protocol_of, without_credentials
from profiler.metrics.figures import Figures, Labels, Series
from profiler.metrics.histogram import Histogram
from profiler.metrics.instruments import ALL, Instrument
from profiler.record.text import clean_message
from profiler.store.manifest import Export

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricExporter, MetricsData

SEND_TIMEOUT_S = 5.0
EVERY_S = 5.0  # OTEL_METRIC_EXPORT_INTERVAL (in milliseconds) says otherwise
FLUSH_S = 5.0  # at the end, for a collector that has taken something before
LAST_TRY_S = 1.0  # for one that never has
NO_METRICS = "it takes no metrics"  # how an export's error begins of a collector that has no use for them
_PATH = "/v1/metrics"
_OF_TRACES = "/v1/traces"
_NOBODY = re.compile(r"Connection refused|UNAVAILABLE")
_NOT_TAKEN = re.compile(r"code: (404|405|501)\b|(UNIMPLEMENTED)")  # not now, and never


def metrics_endpoint(option: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Where metrics go: where the spans go, or where the standard variables say; None if nobody wants them."""
    if environ.get("OTEL_METRICS_EXPORTER", "").strip() == "none":
        return None
    base = option or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    own = None if option else environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    if own or not base:
        return own
    if protocol_of(base, environ) == "grpc" or not urlsplit(base).path.strip("/"):
        return base
    return base.rstrip("/").removesuffix(_OF_TRACES) + _PATH


def make_exporter(endpoint: str, protocol: str) -> MetricExporter:
    """The OpenTelemetry project's own exporter for the protocol."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        return Grpc(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=SEND_TIMEOUT_S)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

    target = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH
    from profiler.metrics.taken import Session

    return Http(endpoint=target, timeout=SEND_TIMEOUT_S, session=Session(SEND_TIMEOUT_S))


class OtlpMetrics:
    """Sends a run's figures in the background and keeps account of what was taken."""

    def __init__(
        self,
        endpoint: str,
        figures: Figures,
        resource: Mapping[str, str],
        *,
        every_s: float | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Begin to send.

        Args:
            endpoint: as `metrics_endpoint` tells it.
            figures: what is sent.
            resource: whose they are.
            every_s: seconds between two sendings.
            environ: the standard variables.
        """
        self.endpoint = endpoint
        self.protocol = protocol_of(endpoint, environ)
        self._exporter = make_exporter(endpoint, self.protocol)
        self._message = Messages()
        self._figures = figures
        self._encode = Encoder(resource, delta=_wants_differences(environ))
        self._every_s = _interval_s(environ) if every_s is None else every_s
        self._taken = 0
        self._refused: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="otlp-metrics", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self._message.listen()
        while not self._stop.wait(self._every_s):
            self._send()
        self._send()

    def _send(self) -> None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        series = self._figures.copy()
        measured = measurements(series)
        if measured == self._taken or self._refused is not None:
            return
        data = self._encode(series, time.time_ns())
        try:
            taken = self._exporter.export(data) is MetricExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - a collector must never fail a run; it is counted and told
            self._message.text, taken = f"{type(error).__name__}: {error}", False
        if taken:
            self._taken = measured
            self._encode.taken(series)
        elif found := _NOT_TAKEN.search(self._message.text or ""):
            self._refused = found[1] or found[2]

    def close(self, wait_s: float | None = None) -> Export:
        """Send the last figures, for a bounded time, and tell what became of everything, counted in measurements."""
        if wait_s is None:
            wait_s = FLUSH_S if self._taken else LAST_TRY_S
        self._stop.set()
        self._thread.join(wait_s)
        self._message.close()
        if self._thread.is_alive():  # interrupts a retry that is waiting
            threading.Thread(target=self._exporter.shutdown, name="otlp-shutdown", daemon=True).start()
        else:
            self._exporter.shutdown()
        not_sent = measurements(self._figures.copy()) - self._taken
        error = None
        if self._refused is not None:
            error = f"{NO_METRICS}: its answer was {self._refused}"
        elif not_sent:
            error = _in_words(self._message.text or "no answer in time")
        return Export(
            endpoint=without_credentials(self.endpoint),
            protocol=self.protocol,
            sent=self._taken,
            not_sent=not_sent,
            error=error,
        )


def measurements(series: Sequence[Series]) -> int:
    """How many values there are in all."""
    return sum(each.histogram.count for each in series)


class Encoder:
    """Figures as the SDK's own data, of all time or since they were last taken."""

    def __init__(self, resource: Mapping[str, str], *, delta: bool) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._resource = Resource(dict(resource), sc.SCHEMA_URL)
        self._scope = InstrumentationScope(sc.SCOPE, __version__, sc.SCHEMA_URL)
        self._delta = delta
        self._since_ns = self._encoded_ns = time.time_ns()
        self._before: dict[tuple[Instrument, Labels], Histogram] = {}

    def __call__(self, series: Sequence[Series], now_ns: int) -> MetricsData:
        """Encode."""
        from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics

        self._encoded_ns = now_ns
        metrics = [self._metric(instrument, series, now_ns) for instrument in ALL]
        scope = ScopeMetrics(self._scope, [each for each in metrics if each.data.data_points], sc.SCHEMA_URL)
        return MetricsData([ResourceMetrics(self._resource, [scope], sc.SCHEMA_URL)])

    def taken(self, series: Sequence[Series]) -> None:
        """What was encoded last has arrived: of differences the next ones begin there."""
        if self._delta:
            self._since_ns = self._encoded_ns
            self._before = {(each.instrument, each.labels): each.histogram for each in series}

    def _metric(self, instrument: Instrument, series: Sequence[Series], now_ns: int) -> Metric:
        from opentelemetry.sdk.metrics.export import AggregationTemporality, Metric
        from opentelemetry.sdk.metrics.export import Histogram as Data

        points = [self._point(each, now_ns) for each in series if each.instrument is instrument]
        kind = AggregationTemporality.DELTA if self._delta else AggregationTemporality.CUMULATIVE
        data = Data([point for point in points if point.count], kind)
        return Metric(instrument.name, instrument.description, instrument.unit, data)

    def _point(self, series: Series, now_ns: int) -> HistogramDataPoint:
        from opentelemetry.sdk.metrics import Exemplar
        from opentelemetry.sdk.metrics.export import HistogramDataPoint

        histogram = series.histogram.since(self._before.get((series.instrument, series.labels)))
        known = histogram.least <= histogram.most  # not of differences: None leaves the field out
        return HistogramDataPoint(
            attributes=dict(series.labels),
            start_time_unix_nano=self._since_ns,
            time_unix_nano=now_ns,
            count=histogram.count,
            sum=histogram.sum,
            bucket_counts=histogram.counts,
            explicit_bounds=histogram.bounds,
            min=histogram.least if known else None,  # type: ignore[arg-type]
            max=histogram.most if known else None,  # type: ignore[arg-type]
            exemplars=[
                Exemplar({}, float(each.value), each.time_ns, each.span_id, each.trace_id)
                for each in histogram.examples.values()
            ],
        )


class Messages(logging.Handler):
    """The exporters report failures by logging alone: keep one thread's last line instead of printing hundreds."""

    def __init__(self) -> None:
        super().__init__()
        self.text: str | None = None
        self._thread: int | None = None
        self._loggers = [logging.getLogger(name) for name in ("opentelemetry.exporter", "opentelemetry.sdk")]
        for logger in self._loggers:
            logger.addHandler(self)
            logger.propagate = False

    def listen(self) -> None:
        """To this thread: others send spans."""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        if record.thread == self._thread:
            self.text = record.getMessage()

    def close(self) -> None:
        """Listen no more: what our own shutdown causes is no reason."""
        self._thread = None
        super().close()


def _in_words(message: str) -> str:
    """An exporter's line without what its reader cannot use."""
    if _NOBODY.search(message):
        return "connection refused: is a collector running there?"
    return clean_message(message.rpartition("code: None, reason: ")[2])


def _wants_differences(environ: Mapping[str, str]) -> bool:
    named = environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
    return named in ("delta", "lowmemory")


def _interval_s(environ: Mapping[str, str]) -> float:
    try:
        told = float(environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")) / 1000
    except ValueError:
        return EVERY_S
    return max(told, 0.1) if told < float("inf") else EVERY_S
