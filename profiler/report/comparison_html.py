"""A comparison as one HTML file that loads nothing: figures, explanations, and a chain of each run on one scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.analysis.phases import PHASES
from profiler.analysis.tables import Tables
from profiler.compare.comparison import Comparison, StepRow
from profiler.compare.figures import DURATION, Figure
from profiler.compare.sides import Side, sides
from profiler.report.comparison_words import (
    CHANCE,
    OPEN,
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
from profiler.report.html import PHASE_WORDS, Pictures, cleaned, embedded, page_of
from profiler.report.picture import FACTS, KINDS
from profiler.report.text import duration, safe

SCRIPTS = ("dom.js", "waterfall.js", "comparison.js")


@dataclass(frozen=True, slots=True)
class Pair:
    """The median chain of a task in each run."""

    task: str
    ids: tuple[str, str]
    e2e_ns: tuple[int, int]


def pairs_of(base: Tables, candidate: Tables) -> list[Pair]:
    """Of each task that both have, by how many times longer the candidate takes."""
    told = [_medians(side) for side in sides(base, candidate)]
    found = [Pair(task, (told[0][task][0], told[1][task][0]), (told[0][task][1], told[1][task][1])) for task in told[0]]
    return sorted(found, key=lambda pair: -pair.e2e_ns[1] / max(pair.e2e_ns[0], 1))


def _medians(side: Side) -> dict[str, tuple[str, int]]:
    chains = side.measured.chains
    found = {}
    for task in dict.fromkeys(side.tasks):
        own = np.flatnonzero(side.tasks == task)
        order = own[np.argsort(side.measured.e2e_ns[own], kind="stable")]
        middle = order[(len(order) - 1) // 2]
        found[str(task)] = str(chains["trace_id"].iloc[middle]), int(chains["e2e_ns"].iloc[middle])
    return found


def render_comparison_html(
    comparison: Comparison,
    remarks: Sequence[str],
    pairs: Sequence[Pair],
    *,
    title: str,
    pictures: Pictures,
    verdict: str = "",
) -> str:
    """The whole page.

    Args:
        comparison: what it shows.
        remarks: one sentence each.
        pairs: chains side by side; those without pictures are left out.
        title: which agent against what.
        pictures: trace id -> packed picture of chains of both runs, and the names in them.
        verdict: what a measurement in turns came to, above the headline.
    """
    drawn, names = pictures
    rows = [*shown_figures(comparison.figures), *shown_phases(comparison.phases)]
    data = {
        "title": safe(title, 300),
        "base": safe(comparison.base, 300),
        "candidate": safe(comparison.candidate, 300),
        "tasks": comparison.tasks,
        "chains": list(comparison.chains),
        "verdict": safe(verdict, 4000),
        "headline": headline(comparison),
        "certainty": certainty(comparison.chain_time),
        "sources": sources_words(comparison) or "",
        "identity": identity_words(comparison) or "",
        "blame": [[line.removesuffix(CHANCE), line.endswith(CHANCE)] for line in cleaned(blame_lines(comparison))],
        "changes": cleaned(list(change_lines(comparison))),
        "figures": [[safe(each.name, 60), *_cells(each)] for each in rows],
        "steps": [[row_words(each.row), _chains(each), *_cells(each)] for each in comparison.steps],
        "remarks": [safe(each, 600) for each in remarks],
        "pairs": list(_shown(pairs, drawn)),
        "phases": [{"name": phase, "words": PHASE_WORDS[phase]} for phase in PHASES],
        "kinds": KINDS,
        "facts": FACTS,
        "names": list(names),
        "pictures": drawn,
    }
    return page_of(data["title"], embedded(data), template="comparison.html", scripts=SCRIPTS)


def _shown(pairs: Iterable[Pair], drawn: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for pair in pairs:
        if all(trace_id in drawn for trace_id in pair.ids):
            base, candidate = (
                {"id": trace_id, "e2e": e2e} for trace_id, e2e in zip(pair.ids, pair.e2e_ns, strict=True)
            )
            words = f"{duration(pair.e2e_ns[0])} → {duration(pair.e2e_ns[1])}"
            yield {"task": safe(pair.task, 120), "words": words, "base": base, "candidate": candidate}


def _cells(figure: Figure | StepRow) -> list[str]:
    unit = figure.unit if isinstance(figure, Figure) else DURATION
    shift = figure.shift
    return [
        amount(shift.base, unit),
        amount(shift.candidate, unit),
        shift_words(shift, unit),
        ratio_words(figure.ratio),
        certainty(figure.ratio) if unit == DURATION else OPEN,
    ]


def _chains(row: StepRow) -> str:
    return str(row.chains[0]) if row.chains[0] == row.chains[1] else f"{row.chains[0]} → {row.chains[1]}"
