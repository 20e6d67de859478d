"""Why the chains are slow: everything that a report shows, from the metric tables alone."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.analysis.compounding import Compounding
from profiler.analysis.context import Context
from profiler.analysis.finding import Finding
from profiler.analysis.summary import Summary, summarise
from profiler.analysis.tables import Tables
from profiler.analysis.tails import Tails
from profiler.analysis.variance import Variance
from profiler.analysis.waterfall import Waterfall


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the engine from elsewhere; None where it is not."""

    block_tokens: int | None = None  # of its prefix cache
    prefix_caching: bool | None = None


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


def explain(tables: Tables, *, bounds: Facts | None = None) -> Explanation:  # noqa: ARG001
    """Compute a report's figures and findings; `bounds` is what the run's manifest knows of the engine."""
    summary = summarise(tables)
    return Explanation(summary=summary, compounding=summary.compounding)
