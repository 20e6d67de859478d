"""A comparison in Markdown, short enough for a comment under a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from profiler.compare.comparison import Comparison, StepRow
from profiler.compare.figures import DURATION, Figure
from profiler.report.comparison_words import (
    LONGER,
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
from profiler.report.markdown import folded, inert, table
from profiler.report.text import plural

MARK = "<!-- agent-chain-profiler comparison -->"  # by which a bot finds its own comment again
_FIRST = 5
_SIGNS = {LONGER: "🔴 ", SHORTER: "🟢 "}


def render_comparison_markdown(
    comparison: Comparison, remarks: Sequence[str], *, title: str, everything: bool = False
) -> str:
    """Headline, what explains it, figures; steps and remarks folded away. `everything`: all differences."""
    base, candidate = comparison.chains
    sign = _SIGNS.get(certainty(comparison.chain_time), "")
    lines = [MARK, f"### {inert(title, 300)}", "", f"{sign}**{inert(headline(comparison), 400)}**", ""]
    for line in (sources_words(comparison), identity_words(comparison)):
        lines += [f"{inert(line, 400)}  "] if line else []
    lines.append(
        f"Base {inert(comparison.base)}, candidate {inert(comparison.candidate)}: "
        f"{plural(comparison.tasks, 'task')} paired, {base} and {candidate} chains."
    )
    if comparison.tasks:
        lines += _listed("Where the difference comes from", _blame(comparison), everything=everything)
        changes = list(change_lines(comparison))
        lines += _listed("Changed trajectories", changes, everything=everything) if changes else []
        rows = [*shown_figures(comparison.figures), *shown_phases(comparison.phases)]
        lines += ["", *_figures("of a chain", [(each.name, each, ()) for each in rows])]
        steps = [(row_words(each.row), each, (_chains(each),)) for each in comparison.steps]
        lines += ["", *folded("Steps", _figures("step", steps, "chains"))]
    if remarks:
        lines += ["", *folded(f"Before you believe it ({len(remarks)})", [f"- {inert(each, 600)}" for each in remarks])]
    return "\n".join(lines).rstrip() + "\n"


def _blame(comparison: Comparison) -> list[str]:
    return blame_lines(comparison) or ["No step's phase differs by half a percent of a chain."]


def _listed(heading: str, found: Sequence[str], *, everything: bool) -> Iterable[str]:
    shown = found if everything else found[:_FIRST]
    yield from ("", f"**{heading}**", "")
    yield from (f"{rank}. {inert(each, 600)}" for rank, each in enumerate(shown, start=1))
    if len(shown) < len(found):
        yield f"\nand {len(found) - len(shown)} more (`--all`)"


def _figures(heading: str, rows: Iterable[tuple[str, Figure | StepRow, tuple[str, ...]]], *more: str) -> Iterable[str]:
    cells = []
    for name, figure, own in rows:
        unit = figure.unit if isinstance(figure, Figure) else DURATION
        sign = _SIGNS.get(certainty(figure.ratio), "") if unit == DURATION else ""
        shift = figure.shift
        values = (amount(shift.base, unit), amount(shift.candidate, unit), shift_words(shift, unit))
        cells.append((inert(name, 80), *own, *values, f"{sign}{ratio_words(figure.ratio)}"))
    return table((heading, *more, "base", "candidate", "difference (95%)", "ratio (95%)"), cells)


def _chains(row: StepRow) -> str:
    return str(row.chains[0]) if row.chains[0] == row.chains[1] else f"{row.chains[0]} → {row.chains[1]}"
