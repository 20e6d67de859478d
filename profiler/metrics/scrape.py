"""The figures as a page for Prometheus, on this machine alone, for as long as the run goes on.

Names follow OpenTelemetry's rules for Prometheus, as a collector that stands in between would write them:
`gen_ai.client.operation.duration` in seconds is `gen_ai_client_operation_duration_seconds`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from profiler.errors import UsageError
from profiler.metrics.figures import Figures, Series
from profiler.metrics.histogram import Histogram
from profiler.metrics.instruments import ALL, Instrument

HOST = "127.0.0.1"
_ODD = re.compile(r"[^a-zA-Z0-9_]+")
_UNITS = {"s": "seconds"}  # those in braces, such as {token}, are none in Prometheus


class Page(Collector):
    """What prometheus_client asks for each time that somebody scrapes."""

    def __init__(self, figures: Figures, resource: Mapping[str, str]) -> None:
        self._figures = figures
        self.resource = resource

    def collect(self) -> Iterator[Metric]:
        """The families, with whose they are first."""
        labels = {_name(key): value for key, value in self.resource.items()}
        info = InfoMetricFamily("target", "Target metadata", labels=list(labels))
        info.add_metric(list(labels.values()), labels)
        yield info
        series = self._figures.copy()
        for instrument in ALL:
            here = [each for each in series if each.instrument is instrument]
            if here:
                yield _family(instrument, here)


class ScrapeServer:
    """The page's server, with threads of its own."""

    def __init__(self, port: int, figures: Figures, resource: Mapping[str, str]) -> None:
        """Serve at once.

        Args:
            port: on 127.0.0.1; 0 takes a free one.
            figures: what is told.
            resource: whose they are; more may be known later (`page.resource`).

        Raises:
            UsageError: the port cannot be had.
        """
        self.page = Page(figures, resource)
        registry = CollectorRegistry()
        registry.register(self.page)
        try:
            server, thread = start_http_server(port, HOST, registry)
        except OSError as error:
            raise UsageError(
                f"--prometheus {port}: {HOST}:{port} cannot be listened on: {error.strerror}",
                remedy="stop what listens there, or name another port (0 takes a free one)",
            ) from error
        self._server: WSGIServer = server
        self._thread: threading.Thread = thread

    @property
    def url(self) -> str:
        """Where to scrape."""
        return f"http://{HOST}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _family(instrument: Instrument, series: Sequence[Series]) -> HistogramMetricFamily:
    unit = _UNITS.get(instrument.unit, "")
    # A family's samples have one set of labels: an empty one is as good as none.
    labels = list(dict.fromkeys(key for each in series for key, _ in each.labels))
    family = HistogramMetricFamily(
        _name(instrument.name), instrument.description, labels=list(map(_name, labels)), unit=unit
    )
    for each in series:
        values = dict(each.labels)
        family.add_metric([str(values.get(key, "")) for key in labels], _buckets(each.histogram), each.histogram.sum)
    return family


def _buckets(histogram: Histogram) -> list[Any]:
    found: list[Any] = []
    for at, count in enumerate(accumulate(histogram.counts)):
        bound = str(histogram.bounds[at]) if at < len(histogram.bounds) else "+Inf"  # "1.0", as OpenMetrics wants it
        example = histogram.examples.get(at)
        if example is None:
            found.append((bound, count))
        else:
            where = {"trace_id": f"{example.trace_id:032x}", "span_id": f"{example.span_id:016x}"}
            found.append((bound, count, Exemplar(where, example.value, example.time_ns / 1e9)))
    return found


def _name(name: str) -> str:
    return _ODD.sub("_", name)
