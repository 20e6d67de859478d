"""A history in words, the same for every format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from profiler.compare.sameness import differences
from profiler.report.comparison_words import amount, difference_words
from profiler.report.terminal import title
from profiler.report.text import plural, safe
from profiler.stats.level import FEWEST, MOST, Change
from profiler.trend.changes import Event, Figure, Trend, in_unit
from profiler.trend.figures import Metric
from profiler.trend.history import Run, Series

_BLOCKS = "▁▂▃▄▅▆▇█"
_LEAST_RANGE = 0.1  # of a sparkline, in log units or shares: noise of a percent looks like a percent
_RESEMBLING = 0.6
_TINY = 0.001
_SHORT = 9  # digits of a commit
_MANY = 12  # times, beyond which a ratio is no percentage


def series_title(trend: Trend) -> str:
    """What ran against what, how often."""
    runs = plural(len(trend.series.runs), "run")
    return f"{title(trend.series.runs[0].manifest, 'runs')} ({runs} of {plural(len(trend.series.tasks), 'task')})"


def difference_lines(trend: Trend) -> Iterator[str]:
    """What makes a series another one than the first of its agent."""
    for each in trend.series.differs:
        yield difference_words(each)


def sparkline(figure: Figure, most: int = 60) -> str:
    """The newest points as blocks; a range below 10% does not fill their height."""
    points = figure.points[-most:]
    least, highest = min(points), max(points)
    spread = max(highest - least, _LEAST_RANGE)
    start = (least + highest - spread) / 2
    last = len(_BLOCKS) - 1
    return "".join(_BLOCKS[min(last, int((point - start) / spread * len(_BLOCKS)))] for point in points)


def size_words(metric: Metric, size: float) -> str:
    """`+12%`, or of a share `-4.2 points`."""
    if not metric.relative:
        return f"{size * 100:+.1f} points"
    ratio = math.exp(size)
    if ratio >= _MANY:
        return f"×{ratio:.0f}"
    share = (ratio - 1) * 100
    return f"{share:+.0f}%" if abs(share) >= 9.5 else f"{share:+.1f}%"  # noqa: PLR2004


def change_words(figure: Figure, change: Change) -> str:
    """`chain time +38% (+31% to +45%), 1.70 s → 2.35 s`."""
    metric = figure.metric
    before, after = (amount(in_unit(metric, level), metric.unit) for level in (change.before, change.after))
    words = f"{metric.words} {size_words(metric, change.size)}"
    if change.low < change.high:
        words += f" ({size_words(metric, change.low)} to {size_words(metric, change.high)})"
    return f"{words}, {before} → {after}"


def p_words(p_value: float) -> str:
    """`p 0.012`; below what was simulated, `p < 0.001`."""
    return f"p < {_TINY}" if p_value < _TINY else f"p {p_value:.3f}"


def event_words(event: Event) -> str:
    """The change, where it is, and how sure."""
    return (
        f"{change_words(event.figure, event.change)}, from run {event.number} on; {_between(event)}; "
        f"{p_words(event.change.p_value)}"
    )


def is_worse(figure: Figure, change: Change) -> bool:
    """Whether it is one for the worse."""
    return change.size * figure.metric.worse > 0


def _between(event: Event) -> str:
    before, after = event.last_before, event.first_after
    if before.commit is None or after.commit is None:
        return "the commit of " + ("either run" if before.commit is after.commit else "one of the runs") + " is unknown"
    if before.commit == after.commit and not before.dirty and not after.dirty:
        return f"both at commit {commit_words(before)}"
    return f"between {commit_words(before)} and {commit_words(after)}"


def commit_words(run: Run) -> str:
    """`1f0c2ab`, with a plus if there were changes that were not committed."""
    if run.commit is None:
        return "—"
    return f"{safe(run.commit[:_SHORT])}{'+' if run.dirty else ''}"


def commit_range(series: Series, event: Event) -> tuple[str | None, str | None]:
    """The commits between which the change is: of the last run that is surely before it and the first surely after."""
    return series.runs[max(event.earliest - 2, 0)].commit, series.runs[event.latest - 1].commit


def event_details(series: Series, event: Event) -> Iterator[str]:
    """What goes with a change, and what to do next."""
    if event.others:
        yield "also there: " + "; ".join(_other_words(event, *other) for other in event.others)
    if event.earliest < event.latest:
        yield f"it may have begun at any of the runs {event.earliest} to {event.latest} (95%)"
    before, after = event.last_before, event.first_after
    told = [
        difference_words(each)
        for each in differences(before.manifest, after.manifest, (series.tasks, series.tasks))
        if not each.blocking and each.what != "commit"
    ]
    if told:
        yield f"also different since the run before: {'; '.join(told)}"
    begin, end = commit_range(series, event)
    if begin is None or end is None:
        return
    if begin == end:
        if not any(run.dirty for run in series.runs[event.earliest - 2 : event.latest]):
            yield "no commit lies between: the machine, the engine or something installed changed, not the agent's code"
        return
    yield f"git log --oneline {begin[:_SHORT]}..{end[:_SHORT]}"
    path = safe(after.manifest.agent.get("path") or after.manifest.agent.get("name", "AGENT"), 200)
    yield f'profiler ab {path} --a "--rev {begin[:_SHORT]}" --b "--rev {end[:_SHORT]}"'


def _other_words(event: Event, figure: Figure, change: Change) -> str:
    """Another metric's change; where its place is surer than the event's, its run."""
    surer = change.earliest == change.latest and event.earliest < event.latest
    return change_words(figure, change) + (f", at run {figure.runs[change.at] + 1} and no other" if surer else "")


def no_change(trend: Trend) -> str:
    """What can be said where nothing was found."""
    if not trend.searched:
        return f"Too few runs to look for a change of level: it takes {FEWEST}"
    primary = next((figure for figure in trend.figures if figure.primary), None)
    if primary is None or primary.levels.detectable is None:
        return "No change of level found"
    size = size_words(primary.metric, abs(primary.levels.detectable)).lstrip("+")
    return (
        f"No change of level found; one of {primary.metric.words} by {size} in the middle would be found in 4 of 5 "
        "such histories"
    )


def remarks(trend: Trend) -> Iterator[str]:
    """What a reader must know before believing it."""
    series, runs = trend.series, trend.series.runs
    if trend.events:
        yield (
            "runs were measured one after the other: a change of the machine looks like one of the code; profiler ab "
            "measures both in turns"
        )
    primary = trend.figures[0] if trend.figures else None
    if primary is not None and (primary.levels.lag_one or 0) > _RESEMBLING and not primary.levels.changes:
        yield "neighbouring runs resemble each other, as under a machine that drifts: only large changes can be told"
    if series.tasks_left_out:
        yield f"{plural(series.tasks_left_out, 'task')} that not all of these runs have (or ask alike) are left out"
    if len(runs) > MOST:
        yield f"changes were looked for in the newest {MOST} runs"
    failed = sum(run.failed for run in runs)
    if failed:
        chains = sum(run.failed + run.chains for run in runs)
        yield f"{failed} of {chains} chains failed and are in no figure"
    yield from _of_runs(runs)
    if any(run.manifest.engine.get("simulated") for run in runs):
        yield "the engine's times are simulated: they follow a time model"


def _of_runs(runs: Sequence[Run]) -> Iterator[str]:
    for words, which in (
        ("of unknown commit", [number for number, run in enumerate(runs, 1) if run.commit is None]),
        ("measured with changes that were not committed (+)", [n for n, run in enumerate(runs, 1) if run.dirty]),
        ("whose times may be inexact (~)", [n for n, run in enumerate(runs, 1) if run.manifest.suspect]),
    ):
        if which:
            some = ", ".join(map(str, which[:6])) + (" …" if len(which) > 6 else "")  # noqa: PLR2004
            yield f"{plural(len(which), 'run')} {words}: {some}"
