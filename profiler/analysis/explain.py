"""Why the chains are slow: everything that a report shows, from the metric tables alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.compounding import Compounding, compounding_in_full
from profiler.analysis.context import Context, context_of
from profiler.analysis.facts import Facts
from profiler.analysis.finding import Finding
from profiler.analysis.findings import findings_of
from profiler.analysis.groups import Groups
from profiler.analysis.measured import Measured
from profiler.analysis.prefixes import Prompts
from profiler.analysis.provenance import is_of_adoption
from profiler.analysis.summary import Summary, summarise
from profiler.analysis.tables import Tables
from profiler.analysis.tails import Tails, tails_of
from profiler.analysis.variance import Variance, variance_of
from profiler.analysis.waterfall import Waterfall, waterfall_of


@dataclass(frozen=True, slots=True)
class OnPath:
    """How often something was what the chain waited for."""

    position: int
    name: str  # of the row of the steps, or of the tool
    kind: str  # "call" or "tool": a row of the steps; "one tool": a single one of a row that has several
    chains: int  # that have it
    share: float  # of those, in which it is on the critical path
    path_ns: float  # mean over those
    drag_ns: float  # mean: how much sooner a chain would end without it
    slack_ns: float  # median: how much longer it could take for free


@dataclass(frozen=True, slots=True)
class GapRow:
    """Time in which neither a call nor a tool was active, by cause and owner."""

    cause: str
    owner: str
    total_ns: int
    share: float  # of the time of all chains
    gaps: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it; a part is None where the tables do not bear it."""

    summary: Summary
    findings: tuple[Finding, ...] = ()  # by gain, the largest first; those without one last
    compounding: Compounding | None = None
    context: Context | None = None
    tails: Tails | None = None
    variance: Variance | None = None
    on_path: tuple[OnPath, ...] = ()
    gaps: tuple[GapRow, ...] = ()
    waterfall: Waterfall | None = None
    repairs: tuple[tuple[str, int], ...] = ()  # kind, how many


def explain(tables: Tables, *, facts: Facts | None = None) -> Explanation:
    """Compute a report's figures and findings; `facts` is what the run's manifest knows of the engine."""
    measured = Measured.of(tables)
    prompts = Prompts.of(measured, facts or Facts())
    context = context_of(measured, prompts)
    return Explanation(
        summary=summarise(tables, measured),
        findings=findings_of(measured, context, prompts),
        compounding=compounding_in_full(measured),
        context=context,
        tails=tails_of(measured),
        variance=variance_of(measured),
        on_path=tuple(_on_path(measured)),
        gaps=tuple(_gaps(measured)),
        waterfall=waterfall_of(measured),
        repairs=_repairs(tables.repairs),
    )


def _on_path(measured: Measured) -> list[OnPath]:
    """Rows of the steps, and single tools where a step has several kinds, by position."""
    steps, tools = measured.steps, measured.tools
    rows = _seldom_or_often(steps, "node", steps["on_path"], steps["kind"])
    places = Groups.of(tools["position"], tools["step"])
    several = tools[places.distinct(tools["tool"])[places.number] > 1]
    rows += _seldom_or_often(several, "tool", several["path_ns"] > 0)
    return sorted(rows, key=lambda row: (row.position, row.kind == "one tool", row.name))


def _seldom_or_often(table: pd.DataFrame, name: str, on_path: Any, kind: Any = None) -> list[OnPath]:
    """One for each position, name and kind; by one grouping, for there may be thousands."""
    rows = Groups.of(table["position"], table[name], *(() if kind is None else (kind,)))
    positions, names = rows.keys(table["position"], table[name])
    chains = rows.distinct(table["chain"])
    waited = on_path.to_numpy(dtype=bool)
    on_it = Groups.of(rows.number[waited], table["chain"].to_numpy()[waited])
    there = np.bincount(rows.number[waited][on_it.first], minlength=len(rows))
    return [
        OnPath(
            position=int(position),
            name=str(name),
            kind=str(kind),
            chains=int(chains),
            share=float(there / chains),
            path_ns=float(path / chains),
            drag_ns=float(drag / chains),
            slack_ns=float(slack),
        )
        for position, name, kind, chains, path, drag, slack, there in zip(
            positions,
            names,
            ["one tool"] * len(rows) if kind is None else rows.keys(kind)[0],
            chains,
            rows.sums(table["path_ns"]),
            rows.sums(table["drag_ns"]),
            rows.medians(table["slack_ns"]),
            there,
            strict=True,
        )
    ]


def _gaps(measured: Measured) -> list[GapRow]:
    total = float(measured.e2e_ns.sum())
    gaps = measured.gaps.groupby(["cause", "owner"])["duration_ns"].agg(["sum", "size"])
    rows = [
        GapRow(
            cause=str(cause),
            owner=str(owner),
            total_ns=int(lasted),
            share=float(lasted) / total if total else 0.0,
            gaps=int(number),
        )
        for (cause, owner), lasted, number in zip(gaps.index, gaps["sum"], gaps["size"], strict=True)
    ]
    return sorted(rows, key=lambda row: -row.total_ns)


def _repairs(repairs: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    repairs = repairs[~is_of_adoption(repairs["kind"])]
    counts = repairs.groupby("kind")["count"].sum().sort_values(ascending=False)
    return tuple((str(kind), int(count)) for kind, count in counts.items())
