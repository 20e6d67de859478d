"""Whole decisions of `profiler check` on runs in virtual time: the very code of the command, from tables to verdicts.

    tables      of `virtual.py`'s chains: a step and a call for each of theirs, with its first token and its phases
    BUDGETS     a primary margin and ten secondary ones, as a project may have them
    decided     what `profiler check` says of them

One check takes about a second of processor time, most of it for the two quantiles.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from virtual import Measured, Side, World, measure

from profiler.analysis.columns import TYPES, Tables, frame_of
from profiler.cli.budget_file import Budgets
from profiler.cli.check import judge
from profiler.compare.budgets import Limit, Margin
from profiler.compare.comparison import Recorded
from profiler.report.check import Checked
from profiler.stats.paired import Verdict
from profiler.store.manifest import Manifest

_APART_NS = 10**12  # no two chains overlap
_FIRST_TOKEN, _VARYING = 0.2, 0.2  # of a call; lognormal sigma of that share
_PRIMARY = Margin("time_per_step", 0.05, primary=True)
_SECONDARY = (
    Margin("chain_time", 0.05),
    Margin("chain_time.p95", 0.2),
    Margin("chain_time.p50", 0.1),
    Margin("call_time", 0.05),
    Margin("ttft", 0.1),
    Margin("tpot", 0.1),
    Margin("prefill", 0.1),
    Margin("decode", 0.1),
    Margin("steps", 0.0),
    Margin("llm_calls", 0.0),
)
BUDGETS = Budgets(
    Path("profiler.toml"),
    (Limit("failed_chains", at_most=0.0),),
    (_PRIMARY, *_SECONDARY),
    against=None,
    cannot_tell="pass",
    drift=0.05,
    trajectory="fail",
)
_MANIFEST = Manifest(
    status="finished",
    created="2026-01-01T00:00:00Z",
    profiler="0",
    python="3",
    agent={"name": "virtual"},
    engine={"name": "virtual"},
    tasks={},
    flags={},
    host={},
)


def decided(measured: Measured, seed: int, *, turned: bool = False) -> Checked:
    """What the command says of the candidate, or of the base if they are `turned` round."""
    runs = recorded(measured, seed)
    base, candidate = runs[::-1] if turned else runs
    return judge(candidate, base, BUDGETS, BUDGETS.cannot_tell, frozenset())


def recorded(measured: Measured, seed: int) -> tuple[Recorded, Recorded]:
    """Both runs as the command reads them from disk; they took turns if the measurement has an order of turns."""
    starts = _starts(measured)
    base, candidate = (
        Recorded(name, _tables(side, begun, np.random.default_rng([seed, number]), name), _MANIFEST)
        for number, (name, side, begun) in enumerate(
            zip(("base", "candidate"), (measured.base, measured.candidate), starts, strict=True)
        )
    )
    return base, candidate


def _starts(measured: Measured) -> Any:
    """Sides x tasks x chains: when each began."""
    tasks, repeats = measured.base.chain.shape
    if not measured.in_turns:
        return _APART_NS * np.arange(2 * tasks * repeats).reshape(2, repeats, tasks).transpose(0, 2, 1)
    starts, seen = np.zeros((2, tasks, repeats), dtype=np.int64), [0] * tasks
    for index, turn in enumerate(measured.order):
        task = int(turn.task)
        for offset, side in enumerate((turn.first, turn.second)):
            starts["AB".index(side), task, seen[task]] = (2 * index + offset) * _APART_NS
        seen[task] += 1
    return starts


def _tables(side: Side, starts: Any, draw: Any, name: str) -> Tables:
    there = ~np.isnan(side.calls)
    shape = there.shape[:2]
    task, repeat, number = np.nonzero(there)
    took = np.rint(side.calls[there] * 1e9).astype(np.int64)
    first = np.rint(took * _FIRST_TOKEN * np.exp(_VARYING * draw.standard_normal(len(took)))).astype(np.int64)
    first = np.minimum(first, took)
    chain = np.ravel_multi_index((task, repeat), shape)
    count = shape[0] * shape[1]
    counts = np.bincount(chain, minlength=count)
    prefill, decode = (np.bincount(chain, weights=part, minlength=count) for part in (first, took - first))
    ids = np.array([f"{name}-{each:04}" for each in range(count)])
    chains = {
        "trace_id": ids,
        "task_id": [f"t{each // shape[1]}" for each in range(count)],
        "repeat": [1 + each % shape[1] for each in range(count)],
        "start_ns": starts.ravel(),
        "e2e_ns": (prefill + decode).astype(np.int64),
        "steps": counts,
        "calls": counts,
        "path_calls": counts,
        "prefill_ns": prefill.astype(np.int64),
        "decode_ns": decode.astype(np.int64),
    }
    tokens = 32
    shared = {"trace_id": ids[chain], "position": number + 1, "start_ns": starts.ravel()[chain]}
    calls = {
        **shared,
        "span_id": [f"{each:06}" for each in range(len(took))],
        "step": "model",
        "index": number + 1,
        "attempt": 1,
        "stream": True,
        "call_e2e_ns": took,
        "ttft_ns": first,
        "tpot_ns": (took - first) / (tokens - 1),
        "input_tokens": 1000,
        "cached_tokens": 900,
        "output_tokens": tokens,
        "queue_ns": 0,
        "prefill_ns": first,
        "decode_ns": took - first,
        "path_ns": took,
        "path_prefill_ns": first,
        "path_decode_ns": took - first,
    }
    steps = {
        **shared,
        "node": "model",
        "kind": "call",
        "path_ns": took,
        "prefill_ns": first,
        "decode_ns": took - first,
        "on_path": True,
    }
    made = {"chains": (chains, count), "calls": (calls, len(took)), "steps": (steps, len(took))}
    return Tables(**{table: _frame(table, *given) for table, given in made.items()})


_EMPTY = {"int64": 0, "bool": False, "string": ""}


def _frame(table: str, columns: dict[str, Any], rows: int) -> Any:
    """What is not given is 0, empty or missing; a single value is that of every row."""
    values = {}
    for name, dtype in TYPES[table].items():
        given = columns.get(name, _EMPTY.get(dtype))
        values[name] = [given] * rows if given is None or isinstance(given, str | int | bool) else list(given)
    return frame_of(values, TYPES[table])


@dataclass(frozen=True)
class Whole:
    """Checks of one kind, each decided as a whole."""

    name: str
    base: World
    candidate: World
    checks: int
    in_turns: bool = True
    promised: float = 0.0
    """In this share of the checks the primary margin is to be found broken, at least."""

    @property
    def alike(self) -> bool:
        """Nothing is to be found: either side may be taken for the slower one."""
        return self.base == self.candidate


@dataclass(frozen=True)
class Decisions:
    """How often the command said what."""

    whole: Whole
    decisions: int
    primary: int
    """Regressed by the primary margin."""
    secondary: int
    """Regressed by any other."""
    verdicts: Counter[Verdict]
    """Of the command."""


def decisions(whole: Whole, most: int | None = None) -> Decisions:
    """Let the command decide; where nothing is to be found, both ways round."""
    verdicts: Counter[Verdict] = Counter()
    primary = secondary = 0
    for seed in range(min(most or whole.checks, whole.checks)):
        measured = measure(seed, whole.base, whole.candidate, interleaved=whole.in_turns)
        for turned in (False, True) if whole.alike else (False,):
            checked = decided(measured, seed, turned=turned)
            broken = [each for each in checked.judged if each.verdict is Verdict.REGRESSED]
            primary += any(each.primary for each in broken)
            secondary += any(not each.primary for each in broken)
            verdicts[checked.verdict] += 1
    return Decisions(whole, verdicts.total(), primary, secondary, verdicts)
