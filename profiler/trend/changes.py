"""Where the figures of a series changed their level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from profiler.stats.level import FEWEST, MOST, Change, Levels, levels
from profiler.trend.figures import METRICS, Metric
from profiler.trend.history import Run, Series

_ENOUGH = 0.5  # of the series' tasks: a run that tells a metric for fewer is left out of it
_STILL = 0.5  # of a worsening: if no more is left, it was undone


@dataclass(frozen=True)
class Figure:
    """One metric over a series."""

    metric: Metric
    runs: tuple[int, ...]  # indices of the series' runs that tell it
    points: tuple[float, ...]  # of each of these: logarithm of the geometric mean over tasks, or the plain mean
    tasks: int  # over so many, the same in all of them
    levels: Levels
    primary: bool

    @property
    def shown(self) -> tuple[float, ...]:
        """The points in the metric's unit."""
        return tuple(in_unit(self.metric, point) for point in self.points)

    @property
    def worsened(self) -> Change | None:
        """The change for the worse that the newest run still has more than half of, if there is one; the latest."""
        if not self.levels.changes:
            return None
        now = self.levels.changes[-1].after
        for change in reversed(self.levels.changes):
            worse = change.size * self.metric.worse
            if worse > 0 and (now - change.before) * self.metric.worse > _STILL * worse:
                return change
        return None


@dataclass(frozen=True)
class Event:
    """A change, with those of other metrics at the same place."""

    figure: Figure
    change: Change
    others: tuple[tuple[Figure, Change], ...]
    last_before: Run
    first_after: Run
    number: int  # of the first run of the new level in the series, from 1
    earliest: int  # likewise; it may be as early as this,
    latest: int  # or as late as this


@dataclass(frozen=True, slots=True)
class Opinion:
    """A change that another program found."""

    metric: str
    number: int  # of the first run of the new level in the series, from 1
    percent: float
    p_value: float


@dataclass(frozen=True)
class Trend:
    """A series with its figures, the primary one first."""

    series: Series
    figures: tuple[Figure, ...]

    @property
    def primary_worsened(self) -> Change | None:
        """The primary metric's change for the worse that the newest run still shows; see `Figure.worsened`."""
        return next((figure.worsened for figure in self.figures if figure.primary), None)

    @property
    def searched(self) -> bool:
        """Whether there were enough runs."""
        return len(self.series.runs) >= FEWEST

    @property
    def events(self) -> tuple[Event, ...]:
        """All changes by place; those of metrics that changed at one place are one event, the first metric's."""
        found: list[tuple[Figure, Change, list[tuple[Figure, Change]]]] = []
        for figure in self.figures:
            for change in figure.levels.changes:
                at = figure.runs[change.at]
                for first, known, others in found:
                    if first.runs[known.earliest] <= at <= first.runs[known.latest] or at == first.runs[known.at]:
                        others.append((figure, change))
                        break
                else:
                    found.append((figure, change, []))
        return tuple(
            _event(self.series, figure, change, others)
            for figure, change, others in sorted(found, key=lambda each: each[0].runs[each[1].at])
        )


def in_unit(metric: Metric, point: float) -> float:
    """A point in nanoseconds, tokens, a count or a share."""
    return math.exp(point) if metric.relative else point


def trend_of(series: Series, metrics: Sequence[Metric] = METRICS) -> Trend:
    """Look for changes of level.

    A run's value is the mean over the tasks that all runs have. The first metric is tested by itself, the others share
    its probability of a false alarm among those of them that vary at all.
    """
    points = [_points(series, metric) for metric in metrics]
    varying = sum(len(values) >= FEWEST and np.ptp(values) > 0 for _, values, _ in points[1:])
    figures = [
        Figure(metric, runs, values, tasks, levels(values, tests=1 if number == 0 else max(1, varying)), number == 0)
        for number, (metric, (runs, values, tasks)) in enumerate(zip(metrics, points, strict=True))
        if runs
    ]
    return Trend(series, tuple(figures))


def _points(series: Series, metric: Metric) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Which runs tell a metric, their values, and over how many tasks."""
    told = [{task: run.values.get(metric.name, {}).get(task) for task in series.tasks} for run in series.runs[-MOST:]]
    offset = len(series.runs) - len(told)
    kept = [
        number
        for number, values in enumerate(told)
        if sum(value is not None for value in values.values()) >= _ENOUGH * len(series.tasks)
    ]
    tasks = [task for task in series.tasks if all(told[number][task] is not None for number in kept)]
    if not kept or not tasks:
        return (), (), 0
    values = tuple(float(np.mean([told[number][task] for task in tasks])) for number in kept)
    return tuple(number + offset for number in kept), values, len(tasks)


def _event(series: Series, figure: Figure, change: Change, others: Sequence[tuple[Figure, Change]]) -> Event:
    at, earliest, latest = (figure.runs[index] for index in (change.at, change.earliest, change.latest))
    before = figure.runs[change.at - 1]
    return Event(figure, change, tuple(others), series.runs[before], series.runs[at], at + 1, earliest + 1, latest + 1)
