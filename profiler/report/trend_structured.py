"""A history for programs: JSON, in nanoseconds, counts and shares. docs/trend.md has the keys."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from profiler.report.structured import plain_values
from profiler.report.trend_words import commit_range, difference_lines, event_words, remarks, series_title
from profiler.stats.level import Change
from profiler.trend.changes import Event, Figure, Opinion, Trend, in_unit
from profiler.trend.figures import Metric
from profiler.trend.history import Run

FORMAT = "profiler-trend"
VERSION = 1


def render_trend_json(
    trends: Sequence[Trend], left_out: Sequence[str], opinions: Sequence[Sequence[Opinion]] | None = None
) -> str:
    """One JSON object with all series."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "series": [
            {**_series(trend), **({} if opinions is None else {"otava": [asdict(each) for each in opinions[number]]})}
            for number, trend in enumerate(trends)
        ],
        "left_out": list(left_out),
    }
    text = json.dumps(plain_values(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()


def _series(trend: Trend) -> dict[str, Any]:
    series = trend.series
    return {
        "number": series.number,
        "agent": series.agent,
        "title": series_title(trend),
        "differs": list(difference_lines(trend)),
        "tasks": list(series.tasks),
        "tasks_left_out": series.tasks_left_out,
        "searched": trend.searched,
        "runs": [{"number": number, **_run(run)} for number, run in enumerate(series.runs, start=1)],
        "figures": [_figure(figure) for figure in trend.figures],
        "events": [_event(trend, event) for event in trend.events],
        "worsened": trend.primary_worsened is not None,
        "remarks": list(remarks(trend)),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "run": run.name,
        "created": run.manifest.created,
        "commit": run.commit,
        "dirty": run.dirty if run.commit else None,
        "chains": run.chains,
        "failed": run.failed,
        "suspect": list(run.manifest.suspect),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    levels = figure.levels
    return {
        "metric": figure.metric.name,
        "unit": figure.metric.unit,
        "primary": figure.primary,
        "tasks": figure.tasks,
        "runs": [index + 1 for index in figure.runs],
        "values": list(figure.shown),
        "changes": [_change(figure, change) for change in levels.changes],
        "noise": levels.noise,  # of logarithms, or of shares
        "lag_one": levels.lag_one,
        "p_value": levels.p_value,
        "detectable": _size(figure.metric, levels.detectable),
        "worsened": figure.worsened is not None,
    }


def _change(figure: Figure, change: Change) -> dict[str, Any]:
    metric = figure.metric
    return {
        "run": figure.runs[change.at] + 1,
        "earliest": figure.runs[change.earliest] + 1,
        "latest": figure.runs[change.latest] + 1,
        "before": in_unit(metric, change.before),
        "after": in_unit(metric, change.after),
        "size": _size(metric, change.size),
        "low": _size(metric, change.low),
        "high": _size(metric, change.high),
        "p_value": change.p_value,
        "worse": change.size * metric.worse > 0,
    }


def _size(metric: Metric, size: float | None) -> float | None:
    """A ratio, or a difference of shares."""
    return None if size is None else math.exp(size) if metric.relative else size


def _event(trend: Trend, event: Event) -> dict[str, Any]:
    begin, end = commit_range(trend.series, event)
    return {
        "words": event_words(event),
        "run": event.number,
        "earliest": event.earliest,
        "latest": event.latest,
        "last_before": event.last_before.name,
        "first_after": event.first_after.name,
        "commits": None if begin is None or end is None else [begin, end],
        "metrics": [event.figure.metric.name, *(figure.metric.name for figure, _ in event.others)],
    }
