"""A history as CSV: a row per run, for tables and for Apache Otava (`otava analyze`, test type `csv`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from profiler.trend.changes import Trend
from profiler.trend.figures import METRICS

COLUMNS = ("time", "series", "number", "run", "agent", "commit", "dirty", "chains", "failed")


def render_csv(trends: Sequence[Trend]) -> str:
    """All series, one after the other: times in nanoseconds, shares of 1; what a run does not tell is empty."""
    told = {figure.metric.name for trend in trends for figure in trend.figures}
    names = [metric.name for metric in METRICS if metric.name in told]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for trend in trends:
        values = {figure.metric.name: dict(zip(figure.runs, figure.shown, strict=True)) for figure in trend.figures}
        for index, run in enumerate(trend.series.runs):
            known = [values.get(name, {}).get(index) for name in names]
            row = [run.manifest.created, trend.series.number, index + 1, run.name, trend.series.agent, run.commit or ""]
            row += ["yes" if run.dirty else "no" if run.commit else "", run.chains, run.failed]
            writer.writerow([*row, *("" if value is None else f"{value:.10g}" for value in known)])
    return text.getvalue()
