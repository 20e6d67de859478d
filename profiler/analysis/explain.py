"""Why the chains are slow: everything that a report shows, from the metric tables alone."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from profiler.analysis.compounding import Compounding, compounding_in_full
from profiler.analysis.context import Context, context_of
from profiler.analysis.finding import Finding
from profiler.analysis.findings import findings_of
from profiler.analysis.measured import Measured
from profiler.analysis.provenance import is_of_adoption
from profiler.analysis.summary import Summary, summarise
from profiler.analysis.tables import Tables
from profiler.analysis.tails import Tails, tails_of
from profiler.analysis.variance import Variance, variance_of
from profiler.analysis.waterfall import Waterfall, waterfall_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the engine from elsewhere; None where it is not."""

    block_tokens: int | None = None  # of its prefix cache


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


def explain(tables: Tables, *, bounds: Facts | None = None) -> Explanation:
    """Compute a report's figures and findings; `bounds` is what the run's manifest knows of the engine."""
    measured = Measured.of(tables)
    context = context_of(measured, bounds.block_tokens if bounds is not None else None)
    return Explanation(
        summary=summarise(tables),
        findings=findings_of(measured, context),
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
    rows = _seldom_or_often(measured.steps, ["position", "node", "kind"])
    tools = measured.tools.assign(on_path=measured.tools["path_ns"] > 0, kind="one tool")
    kinds = tools.groupby(["position", "step"])["tool"].transform("nunique")
    rows += _seldom_or_often(tools[kinds > 1], ["position", "tool", "kind"])
    return sorted(rows, key=lambda row: (row.position, row.kind == "one tool", row.name))


def _seldom_or_often(table: pd.DataFrame, keys: list[str]) -> list[OnPath]:
    """One for each value of the keys (position, name, kind); by one grouping, for there may be thousands."""
    columns = [*keys, "chain", "on_path", "path_ns", "drag_ns", "slack_ns"]
    grouped = table[columns].groupby(keys, sort=True)
    found = grouped.agg(
        chains=("chain", "nunique"), path=("path_ns", "sum"), drag=("drag_ns", "sum"), slack=("slack_ns", "median")
    )
    waited = table[table["on_path"]].groupby(keys)["chain"].nunique().reindex(found.index, fill_value=0)
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
        for (position, name, kind), chains, path, drag, slack, there in zip(
            found.index, *(found[column] for column in found.columns), waited, strict=True
        )
    ]


def _gaps(measured: Measured) -> list[GapRow]:
    total = float(measured.e2e_ns.sum())
    rows = [
        GapRow(
            cause=str(cause),
            owner=str(owner),
            total_ns=int(lasted.sum()),
            share=float(lasted.sum()) / total if total else 0.0,
            gaps=len(lasted),
        )
        for (cause, owner), lasted in measured.gaps.groupby(["cause", "owner"], sort=True)["duration_ns"]
    ]
    return sorted(rows, key=lambda row: -row.total_ns)


def _repairs(repairs: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    repairs = repairs[~is_of_adoption(repairs["kind"])]
    counts = repairs.groupby("kind")["count"].sum().sort_values(ascending=False)
    return tuple((str(kind), int(count)) for kind, count in counts.items())
