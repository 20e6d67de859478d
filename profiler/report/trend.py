"""A history for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from profiler.report.comparison_words import amount
from profiler.report.markdown import folded, inert, table
from profiler.report.terminal import console_of, text_of
from profiler.report.text import plural, safe
from profiler.report.trend_words import (
    commit_words,
    difference_lines,
    event_details,
    event_words,
    is_worse,
    no_change,
    remarks,
    series_title,
    size_words,
    sparkline,
)
from profiler.trend.changes import Event, Figure, Opinion, Trend, in_unit

MARK = "<!-- agent-chain-profiler trend -->"
_NEWEST = 20  # runs in the table without `everything`
_LEAST_SHOWN = 5e-5
_FIGURES = ("of a chain", "first", "newest", "noise", "over time", "changes")


def render_trend(
    trends: Sequence[Trend],
    left_out: Sequence[str],
    opinions: Sequence[Sequence[Opinion]] | None = None,
    *,
    width: int = 110,
    color: bool = False,
    everything: bool = False,
) -> str:
    """All series as text: figures, changes, runs."""
    console = console_of(width, color=color)
    for number, trend in enumerate(trends):
        if number:
            console.print()
        _print_series(console, trend, several=len(trends) > 1, everything=everything)
        if opinions is not None:
            _print_opinions(console, opinions[number])
        for remark in remarks(trend):
            console.print(Text(f"! {remark}", style="yellow"))
    if left_out:
        console.print()
    for line in left_out:
        console.print(Text(f"! {safe(line, 400)}", style="yellow"))
    return text_of(console)


def _print_series(console: Console, trend: Trend, *, several: bool, everything: bool) -> None:
    number = f"Series {trend.series.number}: " if several else ""
    console.print(Text(f"{number}{safe(series_title(trend), 300)}", style="bold"))
    for line in difference_lines(trend):
        console.print(Text(f"  {line}"))
    console.print()
    figures = Table(box=None, pad_edge=False, header_style="dim")
    for name in _FIGURES:
        figures.add_column(name, justify="right" if name in ("first", "newest", "noise") else "left", no_wrap=True)
    for figure in trend.figures:
        figures.add_row(*_figure_cells(figure))
    console.print(figures)
    console.print()
    _print_events(console, trend)
    console.print()
    runs = Table(box=None, pad_edge=False, header_style="dim")
    for name in _run_heads(trend):
        runs.add_column(name, justify="right" if name in ("#", "chains", "failed") else "left", overflow="fold")
    rows = list(_run_rows(trend))
    shown = rows if everything else rows[-_NEWEST:]
    for row in shown:
        runs.add_row(*(escape(cell) for cell in row))
    console.print(runs)
    if len(shown) < len(rows):
        console.print(Text(f"and {plural(len(rows) - len(shown), 'earlier run')}: --all", style="dim"))


def _print_events(console: Console, trend: Trend) -> None:
    events = trend.events
    if not events:
        console.print(Text(no_change(trend), style="bold"))
        return
    console.print(Text("Changes of level", style="bold"))
    listed = Table(box=None, pad_edge=False, show_header=False)
    listed.add_column(justify="right", no_wrap=True)
    listed.add_column()
    for rank, event in enumerate(events, start=1):
        style = "red" if is_worse(event.figure, event.change) else "green"
        listed.add_row(str(rank), Text(event_words(event), style=style))
        for line in event_details(trend.series, event):
            listed.add_row("", Text(line))
    console.print(listed)


def _print_opinions(console: Console, opinions: Sequence[Opinion]) -> None:
    console.print()
    console.print(Text("Apache Otava, with its own settings", style="bold"))
    for line in opinion_lines(opinions):
        console.print(Text(line))


def opinion_lines(opinions: Sequence[Opinion]) -> Iterator[str]:
    """What Otava found, or that it found nothing."""
    if not opinions:
        yield "no change"
    for each in opinions:
        yield f"{safe(each.metric)} {each.percent:+.0f}% from run {each.number} on; its p {each.p_value:.2g}"


def _figure_cells(figure: Figure) -> list[str]:
    metric = figure.metric
    first, newest = (amount(in_unit(metric, point), metric.unit) for point in (figure.points[0], figure.points[-1]))
    noise = figure.levels.noise
    changes = ", ".join(
        f"{size_words(metric, change.size)} at {figure.runs[change.at] + 1}" for change in figure.levels.changes
    )
    spread = "" if noise is None else "none" if noise < _LEAST_SHOWN else f"{noise * 100:.1f}%"
    return [metric.words, first, newest, spread, sparkline(figure), changes]


def _run_heads(trend: Trend) -> list[str]:
    failed = ["failed"] if any(run.failed for run in trend.series.runs) else []
    primary = [trend.figures[0].metric.words] if trend.figures else []
    return ["#", "measured", "run", "commit", "chains", *failed, *primary, ""]


def _run_rows(trend: Trend) -> Iterator[list[str]]:
    figure = trend.figures[0] if trend.figures else None
    values = dict(zip(figure.runs, figure.shown, strict=True)) if figure is not None else {}
    begins: dict[int, list[Event]] = {}
    for event in trend.events:
        begins.setdefault(event.number, []).append(event)
    some_failed = any(run.failed for run in trend.series.runs)
    for number, run in enumerate(trend.series.runs, start=1):
        row = [
            str(number),
            safe(run.manifest.created[:16].replace("T", " ")),
            safe(PurePath(run.name).name + (" ~" if run.manifest.suspect else ""), 60),
            commit_words(run),
            str(run.chains),
        ]
        row += [str(run.failed) if run.failed else ""] if some_failed else []
        row += [amount(values.get(number - 1), figure.metric.unit)] if figure is not None else []
        told = [
            f"{each.figure.metric.words} {size_words(each.figure.metric, each.change.size)}"
            for each in begins.get(number, ())
        ]
        yield [*row, f"← {', '.join(told)}" if told else ""]


def render_trend_markdown(
    trends: Sequence[Trend],
    left_out: Sequence[str],
    opinions: Sequence[Sequence[Opinion]] | None = None,
    *,
    everything: bool = False,
) -> str:
    """All series, the runs folded away."""
    lines = [MARK]
    for number, trend in enumerate(trends):
        lines += [f"### {inert(series_title(trend), 300)}", ""]
        lines += [f"- {inert(line, 300)}" for line in difference_lines(trend)]
        for event in trend.events:
            sign = "🔴" if is_worse(event.figure, event.change) else "🟢"
            lines += [f"{sign} **{inert(event_words(event), 400)}**", ""]
            lines += [*(f"- {inert(line, 400)}" for line in event_details(trend.series, event)), ""]
        if not trend.events:
            lines += [f"{inert(no_change(trend), 300)}.", ""]
        cells = [[inert(cell) for cell in _figure_cells(figure)] for figure in trend.figures]
        lines += [*table(_FIGURES, cells), ""]
        if opinions is not None:
            lines += [f"Apache Otava: {inert('; '.join(opinion_lines(opinions[number])), 600)}.", ""]
        rows = [[inert(cell) for cell in row] for row in _run_rows(trend)]
        shown = rows if everything else rows[-_NEWEST:]
        heads = _run_heads(trend)
        several = f"The newest {len(shown)} of {len(rows)} runs"
        title = several if len(shown) < len(rows) else plural(len(rows), "run")
        lines += folded(title, table(heads, shown))
        lines += ["", *(f"- {inert(remark, 400)}" for remark in remarks(trend)), ""]
    lines += [f"- {inert(line, 400)}" for line in left_out]
    return "\n".join(lines).rstrip() + "\n"
