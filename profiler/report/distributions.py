"""What the HTML report's charts show, from the metric tables: histograms, boxes, the mean chain by step and phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from profiler.analysis.groups import Groups
from profiler.analysis.measured import Measured, numbers
from profiler.analysis.phases import PHASES
from profiler.report.text import safe

_BINS = 30
_NICE = (1, 2, 2.5, 5, 10)
_FAR = 2.0  # times the 98th percentile: what lies beyond is counted in one last bin
_BOX = (0.05, 0.25, 0.50, 0.75, 0.95)
MOST_ROWS = 60  # of the steps: an agent that goes round for ever makes more


def histogram(values: Any) -> dict[str, Any] | None:
    """Counts in bins of one round width; None without values.

    Returns:
        `low`, `width` in nanoseconds, `counts`, and `beyond`: how many are above the last bin.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    usual = float(np.quantile(known, 0.98))
    high = min(high, max(_FAR * usual, low + 1))
    width = _nice((high - low) / _BINS) if high > low else max(1.0, _nice(high / _BINS))
    first = np.floor(low / width) * width
    bins = int((high - first) // width) + 1
    place = np.floor((known - first) / width).astype(int)
    return {
        "low": first,
        "width": width,
        "counts": np.bincount(place[place < bins], minlength=bins).tolist(),
        "beyond": int((place >= bins).sum()),
    }


def _nice(width: float) -> float:
    power = 10.0 ** np.floor(np.log10(width)) if width > 0 else 1.0
    return float(next(step * power for step in _NICE if step * power >= width * 0.999))


def boxes(measured: Measured) -> list[dict[str, Any]]:
    """The calls' durations by row of the steps: 5th, 25th, 50th, 75th and 95th percentile."""
    calls = measured.answered
    rows = Groups.of(calls["position"], calls["step"])
    lasted = numbers(calls["call_e2e_ns"])
    found = []
    for row, (position, node) in enumerate(zip(*rows.keys(calls["position"], calls["step"]), strict=True)):
        if row == MOST_ROWS:
            break
        here = lasted[rows.rows(row)]
        quantiles = np.quantile(here, _BOX).tolist()
        found.append({"name": row_name(int(position), node), "calls": len(here), "quantiles": quantiles})
    return found


def mean_chain(measured: Measured) -> dict[str, Any]:
    """The mean chain by row of the steps and phase: time on the critical path over all chains, so it adds up exactly.

    A step that a third of the chains get to counts a third. What is in no row is `between`.
    """
    chains = max(len(measured.chains), 1)
    columns = [f"{phase}_ns" for phase in PHASES]
    steps = measured.steps
    keys = steps["position"], steps["node"], steps["kind"]
    places = Groups.of(*keys)
    phases = np.transpose([places.sums(steps[column]) / chains for column in columns])
    rows = _folded(
        [
            {"name": row_name(int(position), node), "kind": kind, "chains": int(number), "phases": times.tolist()}
            for position, node, kind, number, times in zip(
                *places.keys(*keys), places.distinct(steps["chain"]), phases, strict=True
            )
        ]
    )
    whole = np.array([float(total) / chains for total in measured.chains[columns].sum()])
    inside = np.sum([row["phases"] for row in rows], axis=0) if rows else np.zeros(len(PHASES))
    return {
        "rows": rows,
        "between": [max(0.0, float(left)) for left in whole - inside],
        "mean": float(measured.e2e_ns.mean()) if len(measured.chains) else 0.0,
    }


def _folded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of very many rows the later ones are one."""
    if len(rows) <= MOST_ROWS:
        return rows
    kept, rest = rows[: MOST_ROWS - 1], rows[MOST_ROWS - 1 :]
    times = np.sum([row["phases"] for row in rest], axis=0).tolist()
    most = max(row["chains"] for row in rest)
    return [*kept, {"name": f"{len(rest)} later rows", "kind": "call", "chains": most, "phases": times}]


def row_name(position: int, node: str) -> str:
    """How a row of the steps is called in charts."""
    return f"{position} {safe(node, 60)}" if node else f"call {position}"


def charts(measured: Measured) -> dict[str, Any]:
    """Everything at once."""
    calls = measured.answered
    return {
        "mean_chain": mean_chain(measured),
        "chains": histogram(measured.e2e_ns),
        "calls": histogram(numbers(calls["call_e2e_ns"])),
        "ttft": histogram(numbers(calls["ttft_ns"])),
        "boxes": boxes(measured),
    }


def facts_of(calls: pd.DataFrame, tools: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Span id -> what is worth showing beside its bar; missing values are left out, durations are microseconds."""
    found: dict[str, dict[str, Any]] = {}
    for table, of_interest in ((calls, _OF_CALLS), (tools, _OF_TOOLS)):
        columns = [column for column in of_interest if column in table]  # the engine's load is there of a loaded run
        values = [table[column].astype(object).where(table[column].notna(), None).tolist() for column in columns]
        for span_id, *row in zip(table["span_id"].tolist(), *values, strict=True):
            known = zip(columns, row, strict=True)
            found[str(span_id)] = dict(_shown(name, value) for name, value in known if value is not None)
    return found


def _shown(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_ns"):
        return f"{name[:-3]}_us", round(value / 1000)
    return name, safe(value, 60) if isinstance(value, str) else value


_OF_TOOLS = ("slack_ns", "drag_ns")
_OF_CALLS = (
    *_OF_TOOLS, "input_tokens", "cached_tokens", "output_tokens", "ttft_ns", "tpot_ns", "finish_reason", "attempt",
    "engine_running", "engine_waiting",
)  # fmt: skip
