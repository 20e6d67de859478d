"""What all findings share: the rows they look at, and the rule of what is above the noise.

A gain is worked out chain by chain (0 where a chain has none of it) and averaged over all chains that count. It is told
if it is at least 2% of the mean chain, and if the lower end of its 95% interval over chains is above 0
(`stats/means.py`; of a single chain nothing tells the noise, and the 2% decide alone). Only time that the chain waited
for counts: time on the critical path, and where branches run in parallel no more of it than the schedule model says
would be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.context import Context
from profiler.analysis.finding import Evidence
from profiler.analysis.groups import Groups
from profiler.analysis.joint import Clusters
from profiler.analysis.measured import Measured, numbers
from profiler.analysis.prefixes import Prompts
from profiler.stats.means import mean_lower_bound

LEAST_SHARE = 0.02
_MOST_EVIDENCE = 5
_LONGEST_NAME = 60
_ABOUT = 1e-9  # of a sum of floats
_MANY, _FIRST = 10_000, 100


@dataclass(frozen=True, slots=True)
class Gain:
    """What the mean chain would gain."""

    ns: float
    share: float  # of the mean chain
    chains: float  # share of the chains that gain anything


@dataclass(frozen=True)
class Inquiry:
    """The chains that count, and what is known of their prompts."""

    measured: Measured
    context: Context | None
    prompts: Prompts

    @property
    def calls(self) -> pd.DataFrame:
        """Calls that ended well, with the columns of `with_prefixes`, by chain and order."""
        return self.prompts.calls

    @property
    def rows(self) -> Groups:
        """Of the calls, their rows of the steps."""
        return self.prompts.rows

    @cached_property
    def clusters(self) -> Clusters:
        """Of the calls."""
        return Clusters.of(self.calls, "call_e2e_ns")

    @cached_property
    def tool_clusters(self) -> Clusters:
        """Of the tools."""
        return Clusters.of(self.measured.tools, "duration_ns")

    @cached_property
    def waited_for(self) -> Any:
        """Which of these calls are on the critical path."""
        return numbers(self.calls["path_ns"]) > 0

    @cached_property
    def mean_ns(self) -> float:
        """The mean chain."""
        return float(self.measured.e2e_ns.mean())

    def per_chain(self, table: pd.DataFrame, values: Any, phase: str | None = None) -> Any:
        """Sums per chain; with a phase, cut down by as much as the schedule model cuts that phase's time.

        Cut down is what is known of no single row: of gaps. Of calls and tools the rows' drag tells it better.
        """
        sums = self.measured.per_chain(table, values)
        return sums if phase is None else sums * self._counts(phase)

    def _counts(self, phase: str) -> Any:
        """Of each chain, what part of a phase's time on the path is saved without it; 1 if nothing runs beside it."""
        chains = self.measured.chains
        time, gain = numbers(chains[f"{phase}_ns"]), numbers(chains[f"gain_without_{phase}_ns"])
        return np.divide(gain, time, out=np.ones(len(time)), where=time > 0)

    def may_gain(self, total_ns: float, phase: str) -> bool:
        """Whether so much time of a phase, over all chains, could come to a gain that is told."""
        most = float(self._counts(phase).max(initial=0.0))
        return total_ns * most >= LEAST_SHARE * (1 - _ABOUT) * float(self.measured.e2e_ns.sum())

    def sooner(self, less: Any, phase: str) -> Any:
        """Per call what a chain gains if calls take so much less of a phase, all of them at once.

        No more than the time of that phase that it waited for, and where calls run side by side no more than what the
        last of them ends earlier.
        """
        calls = self.calls
        gains = self.clusters.gain(less, numbers(calls[f"path_{phase}_ns"]))
        chain = calls["chain"].to_numpy()
        sums = np.bincount(chain, weights=gains, minlength=len(self.measured.chains))
        most = numbers(self.measured.chains[f"gain_without_{phase}_ns"]).clip(min=0)
        kept = np.divide(np.minimum(sums, most), sums, out=np.ones(len(sums)), where=sums > 0)
        return gains * kept[chain]

    def at_most(self, per_chain: Any, phase: str) -> Any:
        """Gains of chains, none above what it would gain if it had nothing of the phase at all."""
        return np.minimum(per_chain, numbers(self.measured.chains[f"gain_without_{phase}_ns"]).clip(min=0))

    def gain(self, per_chain: Any) -> Gain | None:
        """The mean gain; None if it is below the noise."""
        per_chain = np.minimum(per_chain, self.measured.e2e_ns)
        mean = float(per_chain.mean())
        share = mean / self.mean_ns if self.mean_ns else 0.0
        if share < LEAST_SHARE:
            return None
        low = mean_lower_bound(per_chain)
        if low is not None and low <= 0:
            return None
        return Gain(mean, share, float((per_chain > 0).mean()))


def evidence(rows: pd.DataFrame, by: Any, note: Callable[[int], str] | None = None) -> tuple[Evidence, ...]:
    """The rows with the largest values of `by`, at most five, and no two of one chain.

    Args:
        rows: with columns `trace_id` and, maybe, `span_id`.
        by: a value for each.
        note: words for the row at a position; put only for the rows that are taken, out of a million.
    """
    by = np.nan_to_num(np.asarray(by, dtype=float))
    traces, spans = rows["trace_id"], rows.get("span_id")
    found: dict[str, Evidence] = {}
    for at in _largest_first(by):
        if by[at] <= 0 or len(found) == _MOST_EVIDENCE:
            break
        trace_id = str(traces.iloc[at])
        if trace_id not in found:
            span_id = None if spans is None else str(spans.iloc[at])
            found[trace_id] = Evidence(trace_id, span_id, "" if note is None else note(at))
    return tuple(found.values())


def _largest_first(values: Any) -> Iterator[int]:
    """Positions by value; as a rule a few of many are asked for, and the others need not be sorted."""
    if len(values) > _MANY:
        least = np.partition(values, -_FIRST)[-_FIRST]
        first = np.flatnonzero(values > least)
        yield from first[np.argsort(-values[first], kind="stable")].tolist()
        rest = np.flatnonzero(values <= least)
        yield from rest[np.argsort(-values[rest], kind="stable")].tolist()
    else:
        yield from np.argsort(-values, kind="stable").tolist()


def where_of(position: int, name: str) -> str:
    """How a row of the steps is called."""
    return f"step {position} ({short(name)})" if name else f"call {position}"


def short(name: str) -> str:
    """A name that may be anything, cut to a length that fits into a sentence."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def concentrated(table: pd.DataFrame, values: Any, rows: Groups | None = None, *, least: float = 0.6) -> str:
    """The row of the steps that holds most of a value, if one does though there are several; else everywhere, ""."""
    rows = Groups.of(table["position"], table["step"]) if rows is None else rows
    sums = rows.sums(values)
    total = float(sums.sum())
    if len(sums) < 2 or total <= 0 or float(sums.max()) < least * total:  # noqa: PLR2004
        return ""
    at = rows.first[int(sums.argmax())]
    return where_of(int(table["position"].iloc[at]), str(table["step"].iloc[at]))
