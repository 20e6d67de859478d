"""Metric tables made by hand: chains that do one thing after another, in milliseconds, with every column consistent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from profiler.analysis.columns import TYPES, Tables, frame_of
from profiler.analysis.context import context_of
from profiler.analysis.findings import findings_of
from profiler.analysis.measured import Measured
from profiler.analysis.phases import PHASES
from profiler.analysis.prefixes import Prompts

MS = 1_000_000
ENGINE = ("queue", "prefill", "decode")
_EMPTY = {"int64": 0, "bool": False, "string": None}


@dataclass
class Part:
    """Something that a chain does: a call, the tools of a step, or nothing (a gap)."""

    kind: str
    phases: dict[str, float] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, float] = field(default_factory=dict)
    serial: bool = False
    node: str = "model"


def call(node="model", *, client=0.0, queue=0.0, prefill=0.0, decode=0.0, delivery=0.0, unaccounted=0.0, **columns):
    """A call by its phases; with `timed=False` the engine tells none."""
    return Part(
        "call",
        {
            "client": client,
            "queue": queue,
            "prefill": prefill,
            "decode": decode,
            "delivery": delivery,
            "unaccounted": unaccounted,
        },
        columns,
        node=node,
    )


def failed_call(ms, node="model"):
    """An attempt that is repeated."""
    return Part("call", {"retry": ms}, {"failed": True, "error_type": "503"}, node=node)


def tools(node="tools", *, serial=False, **lasting):
    """Tools of one step, side by side or in series."""
    lasted = sum(lasting.values()) if serial else max(lasting.values())
    return Part("tool", {"tool": lasted}, tools=lasting, serial=serial, node=node)


def gap(ms, cause="node", owner="step model"):
    """Neither a call nor a tool."""
    return Part("gap", {"framework": ms}, {"cause": cause, "owner": owner})


def tables(*chains, repeat=1):
    """The tables of chains, each a list of parts, or a dictionary with `parts` and columns of its own."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TYPES}
    for number, chain in enumerate(chains):
        columns = dict(chain) if isinstance(chain, dict) else {"parts": chain}
        _add_chain(rows, columns.pop("parts"), {"trace_id": f"t{number:04}", "repeat": repeat, **columns})
    return Tables(**{name: _frame(found, TYPES[name]) for name, found in rows.items()})


def _frame(rows, types):
    values = {name: [row.get(name, _EMPTY.get(dtype)) for row in rows] for name, dtype in types.items()}
    unknown = {name for row in rows for name in row} - set(types)
    assert not unknown, unknown
    return frame_of(values, types)


def _add_chain(rows, parts, columns):
    times = dict.fromkeys(PHASES, 0)
    shared = {"trace_id": columns["trace_id"], "warmup": columns.get("warmup", False)}
    shared["chain_failed"] = columns.get("failed", False)
    at = start = columns.get("start_ns", 0)
    position = 0
    for part in parts:
        spent = {phase: round(ms * MS) for phase, ms in part.phases.items()}
        lasted = sum(spent.values())
        for phase, time in spent.items():
            times[phase] += time
        if part.kind == "gap":
            rows["gaps"].append(
                {
                    **shared,
                    "start_ns": at,
                    "duration_ns": lasted,
                    "position": position,
                    "after": "",
                    "before": "",
                    **part.columns,
                }
            )
        else:
            position += 1
            step = {
                **shared,
                "position": position,
                "node": part.node,
                "kind": part.kind,
                "start_ns": at,
                "end_ns": at + lasted,
            }
            step |= {"path_ns": lasted, "drag_ns": lasted, "on_path": True, "cumulative_ns": at + lasted - start}
            rows["steps"].append(step | {f"{phase}_ns": spent.get(phase, 0) for phase in PHASES})
            add = _add_call if part.kind == "call" else _add_tools
            add(rows, part, {**shared, "position": position, "step": part.node, "start_ns": at}, spent, lasted)
        at += lasted
    phases = {f"{phase}_ns": time for phase, time in times.items()}
    phases |= {f"gain_without_{phase}_ns": time for phase, time in times.items()}
    good = [row for row in rows["calls"] if row["trace_id"] == columns["trace_id"] and not row.get("failed")]
    counts = {"path_calls": len(good), "calls": len(good), "steps": position}
    known = all(row.get("output_tokens") is not None for row in good)
    counts["path_decode_tokens"] = sum(row["output_tokens"] - 1 for row in good) if known else None
    rows["chains"].append({"task_id": "task", "e2e_ns": at - start, **phases, **counts, **columns})


def _add_call(rows, part, shared, spent, lasted):
    columns = dict(part.columns)
    timed = columns.pop("timed", True) and not columns.get("failed")
    row = {
        **shared,
        "span_id": f"c{len(rows['calls']):04}",
        "call_e2e_ns": lasted,
        "path_ns": lasted,
        "drag_ns": lasted,
    }
    row |= {
        "index": len(rows["calls"]),
        "stream": True,
        "attempt": 1,
        "sent_ns": spent.get("client", 0),
        "place": part.node,
    }
    row |= {f"path_{phase}_ns": time for phase, time in spent.items()}
    if timed:
        row |= {f"{phase}_ns": spent[phase] for phase in ENGINE}
        row |= {"timing_source": "test", "first_late_ns": 0, "ttft_ns": spent["queue"] + spent["prefill"]}
        row |= {
            "last_chunk_ns": sum(spent[phase] for phase in ENGINE),
            "distinct_arrivals": columns.get("output_tokens") or 0,
        }
    rows["calls"].append(row | columns)


def _add_tools(rows, part, shared, spent, lasted):
    at = shared["start_ns"]
    longest = sorted(part.tools.values(), reverse=True)
    for name, ms in part.tools.items():
        time = round(ms * MS)
        row = {**shared, "span_id": f"x{len(rows['tools']):04}", "tool": name, "duration_ns": time, "start_ns": at}
        if part.serial:
            row |= {"path_ns": time, "drag_ns": time}
            at += time
        elif ms == longest[0] and longest.count(ms) == 1:
            second = longest[1] if len(longest) > 1 else 0
            row |= {"path_ns": time, "drag_ns": round((ms - second) * MS)}
        rows["tools"].append({"own_ns": row.get("path_ns", 0), **row})


def only(findings, kind):
    """The one finding of a kind."""
    (found,) = [finding for finding in findings if finding.kind == kind]
    return found


def kinds(findings):
    """The kinds, in order."""
    return [finding.kind for finding in findings]


def found_in(made):
    """The findings alone, without the rest of an explanation."""
    measured = Measured.of(made)
    prompts = Prompts.of(measured)
    return findings_of(measured, context_of(measured, prompts), prompts)
