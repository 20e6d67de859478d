"""One chain as the HTML report draws it: rows of bars, cut by kind of work, and the critical path through them.

Times are microseconds after the chain's start. Plain values all along, because they end as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from profiler import semconv as sc
from profiler.analysis.critical_path import pieces_of
from profiler.analysis.layout import CALL, OTHER, STEP, TOOL, Layout
from profiler.analysis.model import Span, Trace
from profiler.analysis.phases import PHASES, Phases
from profiler.report.text import safe

MOST_ROWS = 400  # a picture of more is none
_SHORT = 200  # the part of a chain below which a step without calls is not drawn
_MOST_PATH = 4000  # pieces of the path
_INVISIBLE_NS = 1000  # the microsecond between an engine's phases, which trace viewers need
_LONGEST_NAME = 120
_LONGEST_TEXT = 600  # of an answer, or of an error's message
_NUMBER = {phase: number for number, phase in enumerate(PHASES)}
_Row = dict[str, Any]


def picture(trace: Trace, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Rows (steps, calls and tools with what is around them) and the path.

    Args:
        trace: the chain.
        facts: span id -> what the metric tables have on it that is worth showing.

    Returns:
        `rows`, each with `kind` (step, tool, call, other), `depth`, `name`, `start`, `lasts`, `failed`, `pieces`
        (phase number, start, duration, one after the other) and `facts`; `path`, likewise with the row's number
        first; `left_out`, spans without a row.
    """
    layout = Layout(trace)
    phases = Phases(layout)
    chosen, left_out = _chosen(layout)
    row_of = {at: number for number, at in enumerate(chosen)}
    rows = [_row(layout, phases, at, row_of, facts.get(layout.spans[at].span_id, {})) for at in chosen]
    path: list[int] = []
    origin = trace.root.start_ns
    for at, phase, start, end in phases.cut(pieces_of(layout))[:_MOST_PATH]:
        if end - start <= _INVISIBLE_NS:
            continue
        path += (_row_above(layout, at, row_of), _NUMBER[phase], *_micros(origin, start, end))
    return {"rows": rows, "path": path, "left_out": left_out}


def _chosen(layout: Layout) -> tuple[list[int], int]:
    """Spans that get a row, each below its parent, and how many others would deserve one.

    Engine phases and what is inside of a call are in the call's row. Short steps in which nothing is called have none.
    """
    order: list[int] = []
    short = layout.trace.root.duration_ns // _SHORT
    holds = _holds_work(layout)
    minor = 0
    waiting = list(reversed(layout.below[0]))
    while waiting:
        at = waiting.pop()
        if layout.kind[at] == OTHER and (layout.spans[at].phase or layout.call[at] >= 0):
            continue
        span = layout.spans[at]
        if holds[at] or span.failed or span.duration_ns >= short:
            order.append(at)
        else:
            minor += 1
        waiting += reversed(layout.below[at])
    if len(order) <= MOST_ROWS:
        return order, minor
    longest = sorted(order, key=lambda at: layout.spans[at].start_ns - layout.spans[at].end_ns)[:MOST_ROWS]
    kept = set(longest)
    return [at for at in order if at in kept], len(order) - MOST_ROWS + minor


def _holds_work(layout: Layout) -> list[bool]:
    """Whether there is a call or a tool at or below each span."""
    holds = [kind in (CALL, TOOL) for kind in layout.kind]
    for at in reversed(layout.order):
        if holds[at] and layout.parents[at] >= 0:
            holds[layout.parents[at]] = True
    return holds


def _row_above(layout: Layout, at: int, row_of: Mapping[int, int]) -> int:
    while at >= 0 and at not in row_of:
        at = layout.parents[at]
    return row_of[at] if at >= 0 else -1


def _row(layout: Layout, phases: Phases, at: int, row_of: Mapping[int, int], facts: Mapping[str, Any]) -> _Row:
    span = layout.spans[at]
    origin = layout.spans[0].start_ns
    row: _Row = {
        "kind": KINDS[(OTHER, STEP, TOOL, CALL).index(layout.kind[at])],
        "depth": min(_depth(layout, at, row_of), 12),
        "name": safe(_name(span, layout.kind[at]), _LONGEST_NAME),
        "start": (span.start_ns - origin) // 1000,
        "lasts": max(span.duration_ns, 0) // 1000,
        "pieces": _pieces(layout, phases, at, origin),
        "span": span.span_id,
    }
    if span.failed:
        row["failed"] = safe(span.message or str(span.attributes.get(sc.ERROR_TYPE) or "failed"), _LONGEST_TEXT)
    told = {**facts, **_said(span)}
    if told:
        row["facts"] = told
    return row


def _depth(layout: Layout, at: int, row_of: Mapping[int, int]) -> int:
    depth, above = 0, layout.parents[at]
    while above >= 0:
        depth += above in row_of
        above = layout.parents[above]
    return depth


def _name(span: Span, kind: int) -> str:
    attributes = span.attributes
    if kind == STEP:
        return str(attributes.get(sc.STEP_NODE) or span.name)
    if kind == TOOL:
        return str(attributes.get(sc.TOOL_NAME) or span.name)
    if kind == CALL:
        return str(attributes.get(sc.REQUEST_MODEL) or span.name)
    return span.name


def _pieces(layout: Layout, phases: Phases, at: int, origin: int) -> list[int]:
    """What kind of work a row's time is: a call's with the engine's phases inside, all others' all the same."""
    low, high = layout.low[at], layout.high[at]
    if high <= low:
        return []
    own = [(at, low, high)]
    if layout.kind[at] == CALL:
        own = []
        now = low
        for child in sorted(layout.below[at], key=lambda child: layout.low[child]):
            start, end = max(layout.low[child], now), layout.high[child]
            if layout.spans[child].phase is None or end <= start:
                continue
            own += [(at, now, start), (child, start, end)]
            now = end
        own.append((at, now, high))
    found: list[int] = []
    for _, phase, start, end in phases.cut(piece for piece in own if piece[2] > piece[1]):
        if end - start > _INVISIBLE_NS:
            found += (_NUMBER[phase], *_micros(origin, start, end))
    return found


def _micros(origin: int, start: int, end: int) -> tuple[int, int]:
    """Start and duration; both ends are rounded alike, so that pieces go on touching."""
    since = (start - origin) // 1000
    return since, (end - origin) // 1000 - since


class Packer:
    """Pictures with a third of the bytes: names once, rows and facts as lists in a fixed order."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """All names, by number."""
        return list(self._names)

    def pack(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """One picture; `chain.js` takes it apart again."""
        rows = []
        for row in drawn["rows"]:
            name = self._names.setdefault(row["name"], len(self._names))
            facts = row.get("facts", {})
            told = [facts.get(fact) for fact in FACTS]
            while told and told[-1] is None:
                told.pop()
            packed = [
                KINDS.index(row["kind"]),
                row["depth"],
                name,
                row["start"],
                row["lasts"],
                row["span"],
                row["pieces"],
            ]
            rows.append([*packed, told, row["failed"]] if "failed" in row else [*packed, told] if told else packed)
        return {"rows": rows, "path": drawn["path"], "left_out": drawn["left_out"]}


KINDS = ("other", "step", "tool", "call")
FACTS = (
    "slack_us", "drag_us", "input_tokens", "cached_tokens", "output_tokens", "ttft_us", "tpot_us", "finish_reason",
    "attempt", "engine_running", "engine_waiting", "said",
)  # fmt: skip


def _said(span: Span) -> dict[str, str]:
    """The answer, where content was captured; much of it is cut."""
    recorded = span.attributes.get(sc.OUTPUT_MESSAGES)
    if not isinstance(recorded, str):
        return {}
    try:
        messages = json.loads(recorded) if len(recorded) < 1_000_000 else recorded  # noqa: PLR2004
    except (ValueError, RecursionError):
        messages = recorded
    first = messages[0] if isinstance(messages, list) and messages and isinstance(messages[0], dict) else {}
    content = first.get("content") or first.get("tool_calls") or first.get("parts") or recorded
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    return {"said": safe(text[: 2 * _LONGEST_TEXT], _LONGEST_TEXT)}
