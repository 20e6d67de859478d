"""Metric tables: one row per chain, per call, per step; typed, missing values missing.

Columns and units are described in docs/metrics.md. Durations are integer nanoseconds (`_ns`); where a value may be
missing the column is the nullable `Int64`, or `Float64` for a rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from profiler import semconv as sc
from profiler.analysis import critical_path, phases
from profiler.analysis.model import Span, Trace
from profiler.analysis.phases import PHASES, PhaseSection
from profiler.analysis.streaming import tpot, ttft_ns

_CHAIN_TYPES = {
    "trace_id": "string",
    "task_id": "string",
    "repeat": "Int64",
    "warmup": "bool",
    "failed": "bool",
    "error_type": "string",
    "start_ns": "int64",
    "e2e_ns": "int64",
    "steps": "int64",
    "calls": "int64",
    "failed_calls": "int64",
    "tools": "int64",
    "failed_tools": "int64",
    "path_calls": "int64",
    "path_decode_tokens": "Int64",
    "unused_script_calls": "int64",
    **{f"{phase}_ns": "int64" for phase in PHASES},
}
_CALL_TYPES = {
    "trace_id": "string",
    "span_id": "string",
    "task_id": "string",
    "warmup": "bool",
    "chain_failed": "bool",
    "index": "int64",
    "position": "int64",
    "step": "string",
    "node": "string",
    "place": "string",
    "model": "string",
    "attempt": "int64",
    "failed": "bool",
    "error_type": "string",
    "stream": "bool",
    "truncated": "bool",
    "start_ns": "int64",
    "call_e2e_ns": "int64",
    "sent_ns": "Int64",
    "ttft_ns": "Int64",
    "tpot_ns": "Float64",
    "tpot_source": "string",
    "input_tokens": "Int64",
    "cached_tokens": "Int64",
    "output_tokens": "Int64",
    "chunks": "int64",
    "queue_ns": "Int64",
    "prefill_ns": "Int64",
    "decode_ns": "Int64",
    "timing_source": "string",
    "path_ns": "int64",
}
_STEP_TYPES = {
    "trace_id": "string",
    "warmup": "bool",
    "chain_failed": "bool",
    "position": "int64",
    "node": "string",
    "kind": "string",
    "start_ns": "int64",
    "end_ns": "int64",
    "path_ns": "int64",
    "cumulative_ns": "int64",
}


@dataclass(frozen=True)
class Tables:
    """All figures of a run."""

    chains: pd.DataFrame
    calls: pd.DataFrame
    steps: pd.DataFrame


def build_tables(traces: Sequence[Trace]) -> Tables:
    """Derive every table from the traces; nothing else is read."""
    chains: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for trace in traces:
        path = phases.classify(trace, critical_path.critical_path(trace))
        rows = _ChainRows(trace, path)
        chains.append(rows.chain())
        calls += rows.calls()
        steps += rows.steps()
    return Tables(_frame(chains, _CHAIN_TYPES), _frame(calls, _CALL_TYPES), _frame(steps, _STEP_TYPES))


def _frame(rows: list[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in types.items()})


class _ChainRows:
    """The rows of one chain."""

    def __init__(self, trace: Trace, path: Sequence[PhaseSection]) -> None:
        self.trace = trace
        self.path = path
        self.parents = trace.parent_of()
        self.root = trace.root
        self.warmup = bool(self.root.attributes.get(sc.WARMUP, False))
        self.call_spans = [span for span in trace.spans if span.is_call]
        self.tool_spans = [span for span in trace.spans if span.is_tool]
        self.path_ns = self._path_time()
        self.units = self._units()
        self.unit_of = {span_id: unit for unit in self.units for span_id in unit.span_ids}
        self.with_calls = {id(self._unit(span)) for span in self.call_spans}

    def _path_time(self) -> dict[str, int]:
        """Time on the critical path of each span with everything below it."""
        total: dict[str, int] = {}
        for section in self.path:
            at: Span | None = section.span
            while at is not None:
                total[at.span_id] = total.get(at.span_id, 0) + section.duration_ns
                at = self.parents.get(at.span_id)
        return total

    def _units(self) -> list[_Unit]:
        """What the report shows as rows: groups of calls or tools that a chain makes one after the other.

        With a graph, a unit is a node in a superstep in which it calls or uses tools: parallel nodes share a
        position and are told apart. Without one, each call is a unit.
        """
        groups: dict[tuple[object, ...], list[Span]] = {}
        positions: dict[tuple[object, ...], int] = {}
        position_of: dict[tuple[object, ...], int] = {}
        for span in sorted([*self.call_spans, *self.tool_spans], key=lambda span: span.start_ns):
            owner = self._outermost(span)
            if owner.is_step:
                invocation = owner.parent_id, owner.attributes.get(sc.STEP_GRAPH)
                moment: tuple[object, ...] = ("step", *invocation, owner.attributes.get(sc.STEP_NUMBER))
                unit: tuple[object, ...] = (*moment, owner.attributes.get(sc.STEP_NODE))
            elif owner is span:
                place, ordinal = span.attributes.get(sc.CALL_PLACE), span.attributes.get(sc.CALL_ORDINAL)
                attempts = span.is_call and ordinal is not None  # a call that another program recorded has none
                unit = moment = ("call", place, ordinal) if attempts else ("span", span.span_id)
            else:
                continue  # what a call or tool calls in its turn is part of its row
            groups.setdefault(unit, []).append(owner)
            positions.setdefault(moment, len(positions) + 1)
            position_of[unit] = positions[moment]
        return [_Unit(position_of[unit], spans) for unit, spans in groups.items()]

    def _outermost(self, span: Span) -> Span:
        """The step, call or tool nearest to the root that the span is in: itself if there is none above."""
        found = span
        at = self.parents.get(span.span_id)
        while at is not None:
            found = at if at.is_step or at.is_call or at.is_tool else found
            at = self.parents.get(at.span_id)
        return found

    def _outermost_step(self, span: Span) -> Span | None:
        found = None
        at: Span | None = span
        while at is not None:
            found = at if at.is_step else found
            at = self.parents.get(at.span_id)
        return found

    def chain(self) -> dict[str, Any]:
        by_phase = dict.fromkeys(PHASES, 0)
        for section in self.path:
            by_phase[section.phase] += section.duration_ns
        on_path = [span for span in self.call_spans if not span.failed and self.path_ns.get(span.span_id)]
        tokens = [_tokens_in_a_row(span) for span in on_path]
        after_first = [max(value - 1, 0) for value in tokens if value is not None]
        attributes = self.root.attributes
        return {
            "trace_id": self.trace.trace_id,
            "task_id": attributes.get(sc.TASK_ID, ""),
            "repeat": attributes.get(sc.REPEAT),
            "warmup": self.warmup,
            "failed": self.root.failed,
            "error_type": attributes.get(sc.ERROR_TYPE) if self.root.failed else None,
            "start_ns": self.root.start_ns,
            "e2e_ns": self.root.duration_ns,
            "steps": sum(span.is_step for span in self.trace.spans),
            "calls": len(self.call_spans),
            "failed_calls": sum(span.failed for span in self.call_spans),
            "tools": len(self.tool_spans),
            "failed_tools": sum(span.failed for span in self.tool_spans),
            "path_calls": len(on_path),
            "path_decode_tokens": sum(after_first) if len(after_first) == len(tokens) else None,
            "unused_script_calls": attributes.get(sc.UNUSED_SCRIPT_CALLS, 0),
            **{f"{phase}_ns": value for phase, value in by_phase.items()},
        }

    def calls(self) -> list[dict[str, Any]]:
        return [self._call(index, span) for index, span in enumerate(self.call_spans, start=1)]

    def _call(self, index: int, span: Span) -> dict[str, Any]:
        get = span.attributes.get
        times_us = get(sc.CHUNK_TIMES_US) or ()
        output_tokens = get(sc.OUTPUT_TOKENS)
        pace = None
        if get(sc.REQUEST_CHOICES, 1) == 1:
            unseen = 0 if get(sc.REASONING_CHUNKS) else get(sc.REASONING_TOKENS) or 0
            pace = tpot(times_us, output_tokens, unseen_tokens=unseen, decode_ns=get(sc.ENGINE_DECODE_NS))
        step, unit = self._outermost_step(span), self._unit(span)
        return {
            "trace_id": self.trace.trace_id,
            "span_id": span.span_id,
            "task_id": self.root.attributes.get(sc.TASK_ID, ""),
            "warmup": self.warmup,
            "chain_failed": self.root.failed,
            "index": index,
            "position": unit.position if unit else 0,
            "step": unit.label if unit else "",
            "node": step.attributes[sc.STEP_NODE] if step else "",
            "place": get(sc.CALL_PLACE, ""),
            "model": get(sc.RESPONSE_MODEL) or get(sc.REQUEST_MODEL, ""),
            "attempt": get(sc.CALL_ATTEMPT, 1),
            "failed": span.failed,
            "error_type": get(sc.ERROR_TYPE),
            "stream": bool(get(sc.REQUEST_STREAM, False)),
            "truncated": bool(get(sc.CALL_TRUNCATED, False)),
            "start_ns": span.start_ns,
            "call_e2e_ns": span.duration_ns,
            "sent_ns": get(sc.SENT_NS),
            "ttft_ns": ttft_ns(times_us),
            "tpot_ns": pace.ns if pace else None,
            "tpot_source": pace.source if pace else None,
            "input_tokens": get(sc.INPUT_TOKENS),
            "cached_tokens": get(sc.CACHED_TOKENS),
            "output_tokens": output_tokens,
            "chunks": len(times_us),
            "queue_ns": get(sc.ENGINE_QUEUE_NS),
            "prefill_ns": get(sc.ENGINE_PREFILL_NS),
            "decode_ns": get(sc.ENGINE_DECODE_NS),
            "timing_source": get(sc.ENGINE_SOURCE),
            "path_ns": self.path_ns.get(span.span_id, 0),
        }

    def _unit(self, span: Span) -> _Unit | None:
        at: Span | None = span
        while at is not None:
            if at.span_id in self.unit_of:
                return self.unit_of[at.span_id]
            at = self.parents.get(at.span_id)
        return None

    def steps(self) -> list[dict[str, Any]]:
        rows = []
        for unit in self.units:
            start, end = unit.start_ns, unit.end_ns
            rows.append(
                {
                    "trace_id": self.trace.trace_id,
                    "warmup": self.warmup,
                    "chain_failed": self.root.failed,
                    "position": unit.position,
                    "node": unit.label,
                    "kind": self._kind(unit),
                    "start_ns": start,
                    "end_ns": end,
                    "path_ns": sum(self.path_ns.get(span_id, 0) for span_id in unit.span_ids),
                    "cumulative_ns": max(0, min(end, self.root.end_ns) - self.root.start_ns),
                }
            )
        return rows

    def _kind(self, unit: _Unit) -> str:
        return "call" if id(unit) in self.with_calls else "tool"


class _Unit:
    """Spans that make up one row of the report."""

    def __init__(self, position: int, spans: Sequence[Span]) -> None:
        unique = {span.span_id: span for span in spans}
        self.position = position
        self.span_ids = set(unique)
        self.start_ns = min(span.start_ns for span in unique.values())
        self.end_ns = max(span.end_ns for span in unique.values())
        first = next(iter(unique.values()))
        self.label = str(first.attributes.get(sc.STEP_NODE) or first.attributes.get(sc.TOOL_NAME) or "call")


def _tokens_in_a_row(span: Span) -> int | None:
    """Output tokens that wait for each other: choices of one call are generated side by side."""
    tokens = span.attributes.get(sc.OUTPUT_TOKENS)
    return None if tokens is None else int(-(-tokens // max(span.attributes.get(sc.REQUEST_CHOICES, 1), 1)))
