"""A comparison for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from profiler.analysis.wording import plural
from profiler.compare.comparison import Comparison, StepRow
from profiler.compare.figures import DURATION, Figure
from profiler.report.comparison_words import (
    CHANCE,
    LONGER,
    OPEN,
    SHORTER,
    amount,
    blame_lines,
    certainty,
    change_lines,
    headline,
    identity_words,
    ratio_words,
    row_words,
    shift_words,
    shown_figures,
    shown_phases,
    sources_words,
)
from profiler.report.terminal import console_of, text_of
from profiler.report.text import safe

FIRST = 8  # differences and trajectories that are shown without `everything`
_COLORS = {LONGER: "red", SHORTER: "green", OPEN: ""}


def render_comparison(
    comparison: Comparison,
    remarks: Sequence[str],
    *,
    title: str,
    width: int = 110,
    color: bool = False,
    everything: bool = False,
) -> str:
    """The whole comparison as text; all differences and trajectories if `everything`."""
    console = console_of(width, color=color)
    console.print(Text(safe(title, 300), style="bold"))
    base, candidate = comparison.chains
    tasks = plural(comparison.tasks, "task")
    for name, line in (
        ("Base", comparison.base),
        ("Candidate", comparison.candidate),
        ("Paired", f"{tasks}, by the {base} and {candidate} chains that ended well"),
    ):
        console.print(Text(f"{name:<12}{safe(line, 300)}"))
    console.print()
    console.print(Text(headline(comparison), style=f"bold {_COLORS[certainty(comparison.chain_time)]}".strip()))
    for told in (sources_words(comparison), identity_words(comparison)):
        if told:
            console.print(escape(told))
    if comparison.tasks:
        _print_body(console, comparison, everything=everything)
    if remarks:
        console.print()
        for remark in remarks:
            console.print(Text(f"! {remark}", style="yellow"))
    return text_of(console)


def _print_body(console: Console, comparison: Comparison, *, everything: bool) -> None:
    console.print()
    console.print(_figures("Per chain (differences and ratios are paired by task, with 95% intervals)", comparison))
    _print_list(
        console,
        "Where the difference comes from",
        blame_lines(comparison),
        everything=everything,
        nothing="no step's phase differs by half a percent of a chain",
    )
    changes = list(change_lines(comparison))
    if changes:
        _print_list(console, "Changed trajectories", changes, everything=everything)
    console.print()
    console.print(_steps(comparison))


def _print_list(console: Console, heading: str, lines: Sequence[str], *, everything: bool, nothing: str = "") -> None:
    console.print()
    console.print(Text(heading, style="bold"))
    shown = lines if everything else lines[:FIRST]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for rank, line in enumerate(shown, start=1):
        table.add_row(str(rank), escape(line), style="dim" if line.endswith(CHANCE) else None)
    console.print(table if lines else Text(nothing))
    if len(shown) < len(lines):
        console.print(Text(f"and {len(lines) - len(shown)} more: --all", style="dim"))


def _figures(heading: str, comparison: Comparison) -> Table:
    table = _table(heading, "")
    for figure in shown_figures(comparison.figures):
        _add(table, figure.name, figure)
    table.add_section()
    for figure in shown_phases(comparison.phases):
        _add(table, figure.name, figure, dim=certainty(figure.ratio) == OPEN)
    return table


def _steps(comparison: Comparison) -> Table:
    table = _table("Steps (time that the chain waited for, 0 where a chain does not get there)", "step", "chains")
    for row in comparison.steps:
        _add(table, row_words(row.row), row, _chains(row))
    return table


def _table(heading: str, *columns: str) -> Table:
    table = Table(title=heading, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in ("", "step") else "right", no_wrap=name != "step")
    for name in ("base", "candidate", "difference", "ratio"):
        table.add_column(name, justify="right")
    return table


def _add(table: Table, name: str, figure: Figure | StepRow, *more: str, dim: bool = False) -> None:
    shift = figure.shift
    unit = figure.unit if isinstance(figure, Figure) else DURATION
    cells: Iterable[str] = (amount(shift.base, unit), amount(shift.candidate, unit), shift_words(shift, unit))
    color = _COLORS[certainty(figure.ratio)] if unit == DURATION else ""
    ratio = Text(ratio_words(figure.ratio), style=color)
    table.add_row(escape(safe(name, 60)), *more, *cells, ratio, style="dim" if dim else None)


def _chains(row: StepRow) -> str:
    return str(row.chains[0]) if row.chains[0] == row.chains[1] else f"{row.chains[0]} → {row.chains[1]}"
