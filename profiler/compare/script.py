"""Chains that did not keep to their script: a call that it lacks, or calls of it that were never made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from profiler.analysis.tables import Tables

LACKS: Final = "lacks"
UNUSED: Final = "unused"
MISMATCH: Final = "ScriptMismatch"  # error type of a chain that asked for a call which the script lacks


@dataclass(frozen=True, slots=True)
class OffScript:
    """One task of one run."""

    side: int  # 0 base, 1 candidate
    task: str
    what: str  # LACKS or UNUSED
    calls: int  # that the script lacks (1: there the chain ends), or that were not made
    chains: int  # of the task in which it is so
    after: int  # position of the last step that the chain made before; 0 for none; without steps its last call
    step: str  # that step's label; "" without steps


def off_script(base: Tables, candidate: Tables) -> tuple[OffScript, ...]:
    """By task, the candidate's first; warm-up is left out."""
    return tuple(found for side, tables in ((1, candidate), (0, base)) for found in _of(side, tables))


def off_script_of(tables: Tables) -> tuple[OffScript, ...]:
    """Of one run, as the candidate of `off_script`."""
    return tuple(_of(1, tables))


def _of(side: int, tables: Tables) -> Iterator[OffScript]:
    chains = tables.chains[~tables.chains["warmup"]]
    lacking = chains["error_type"].fillna("") == MISMATCH
    unused = ~lacking & ~chains["failed"] & (chains["unused_script_calls"] > 0)
    for what, which in ((LACKS, lacking), (UNUSED, unused)):
        for task, own in chains[which].groupby("task_id", sort=False):
            first = own.iloc[0]
            position, label = _last_step(tables, str(first["trace_id"]))
            calls = 1 if what == LACKS else int(first["unused_script_calls"])
            yield OffScript(side, str(task), what, calls, len(own), position, label)


def _last_step(tables: Tables, trace_id: str) -> tuple[int, str]:
    own = tables.steps[tables.steps["trace_id"] == trace_id]
    if own.empty:
        calls = tables.calls[tables.calls["trace_id"] == trace_id]
        return int((~calls["failed"].astype(bool)).sum()), ""
    position = int(own["position"].max())
    return position, " + ".join(sorted(own["node"][own["position"] == position].astype(str)))
