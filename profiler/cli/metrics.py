"""What a run does with metrics: serves its figures, sends them, keeps the engine's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.ending import note

if TYPE_CHECKING:
    from profiler.cli.session import Options
    from profiler.engines import Engine
    from profiler.metrics.feed import Feed
    from profiler.metrics.figures import Figures
    from profiler.metrics.otlp import OtlpMetrics
    from profiler.metrics.sampler import EngineSampler
    from profiler.metrics.scrape import ScrapeServer
    from profiler.record.live import LiveExport
    from profiler.record.recorder import Sink
    from profiler.store.manifest import Manifest

_LEFT_S = 1.0  # for chains that are not in the figures yet: microseconds each


class RunMetrics:
    """The metrics of one run: as much of it as was asked for."""

    def __init__(self, options: Options) -> None:
        """Take the port, if one is asked for: whether it can be had is known before anything starts.

        Raises:
            UsageError: it cannot.
        """
        self._period_s = options.engine_metrics
        self._figures: Figures | None = None
        self._feed: Feed | None = None
        self._server: ScrapeServer | None = None
        self._otlp: OtlpMetrics | None = None
        self._sampler: EngineSampler | None = None
        self._endpoint = self._endpoint_of(options)
        if self._endpoint or options.prometheus is not None:
            from profiler.metrics.figures import Figures

            self._figures = Figures()
        if self._figures and options.prometheus is not None:
            from profiler.metrics.scrape import ScrapeServer

            self._server = ScrapeServer(options.prometheus, self._figures, {"service.name": "agent"})
            note(f"metrics to scrape, while the run goes on: {self._server.url}")

    @staticmethod
    def _endpoint_of(options: Options) -> str | None:
        if not options.otlp_endpoint and not any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
            return None
        from profiler.exchange.address import check_variables
        from profiler.metrics.otlp import metrics_endpoint

        check_variables()
        return metrics_endpoint(options.otlp_endpoint)

    def sinks(self, resource: Mapping[str, str]) -> list[Sink]:
        """What takes finished chains, and whose they are."""
        if self._figures is None:
            return []
        from profiler.metrics.feed import Feed

        # The name of a folder need not be UTF-8, which both ways want.
        resource = {key: value.encode("utf-8", "backslashreplace").decode() for key, value in resource.items()}
        if self._server:
            self._server.page.resource = resource
        if self._endpoint:
            from profiler.metrics.otlp import OtlpMetrics

            self._otlp = OtlpMetrics(self._endpoint, self._figures, resource)
        self._feed = Feed(self._figures)
        return [self._feed.offer]

    def watch(self, engine: Engine, folder: Path, now_ns: Callable[[], int]) -> None:
        """Begin to sample the engine, on the spans' clock."""
        if self._period_s:
            from profiler.metrics.sampler import EngineSampler

            self._sampler = EngineSampler(engine.info.base_url, folder, now_ns, period_s=self._period_s)

    def conclude(self, manifest: Manifest, live: LiveExport | None, wait_s: float | None = None) -> None:
        """Send what is left, spans and figures at the same time, and write into the manifest what became of it all.

        Args:
            manifest: is written into.
            live: the spans' export.
            wait_s: for collectors; None is as long as each is worth. May be called again with less.
        """
        if self._sampler is not None:
            manifest.engine_metrics = self._sampler.close()
        if self._feed is not None:
            self._feed.close(_LEFT_S)
            if self._feed.left_out:
                note(f"{self._feed.left_out} chains are not in the metrics: they came too fast, or could not be read")
        with ThreadPoolExecutor(1, thread_name_prefix="metrics-end") as beside:
            sending = beside.submit(self._otlp.close, wait_s) if self._otlp else None
            manifest.export = live.close(wait_s) if live else None
            manifest.metrics_export = sending.result() if sending else None

    def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()


@contextmanager
def run_metrics(options: Options) -> Iterator[RunMetrics]:
    """The metrics of a run for the length of a with block."""
    metrics = RunMetrics(options)
    try:
        yield metrics
    finally:
        metrics.close()


def show_metrics(manifest: Manifest) -> None:
    """Tell what became of the figures that were to be sent."""
    export = manifest.metrics_export
    if export is None:
        return
    from profiler.metrics.otlp import NO_METRICS

    if not export.not_sent:
        note(f"{export.sent} measurements sent to {export.endpoint} as metrics")
    elif not export.sent and export.error and export.error.startswith(NO_METRICS):
        note(f"no metrics were sent to {export.endpoint}: {export.error} (--prometheus PORT serves them)")
    else:
        note(
            f"{export.not_sent} of {export.sent + export.not_sent} measurements were not taken as metrics by "
            f"{export.endpoint} ({export.protocol}): {export.error}"
        )
