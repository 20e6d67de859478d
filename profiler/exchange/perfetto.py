"""Chrome's trace events, which ui.perfetto.dev and speedscope open.

A chain is a process, its spans are slices on the process's tracks. Slices of one track must nest (neither viewer draws
slices that overlap), so work that overlaps its siblings gets a track of its own:

    track 1   root |------------------------------------|
                step |------------||---------------|
                 search |-------|
    track 2           fetch |------|                        overlaps `search`: beside it

Times are microseconds with nanoseconds as decimals, from the run's first start: so small that no digit is lost. Every
event has a `ts`, the descriptions of tracks too: speedscope refuses a file otherwise. The format is Chromium's "Trace
Event Format"; Perfetto's page on other formats says what it takes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from profiler import semconv as sc
from profiler.exchange.documents import Item, Object, attributes

_US: Final = 1000
_LONGEST_TEXT: Final = 500
_ERROR: Final = 2
_CATEGORIES: Final = {sc.OP_CHAT: "call", sc.OP_TEXT_COMPLETION: "call", sc.OP_EXECUTE_TOOL: "tool"}


def events_of(items: Sequence[Item], process: int, origin_ns: int) -> Iterator[Object]:
    """The events of one trace, whose times are known (`present.presented` sees to that).

    Args:
        items: the trace.
        process: number of the process that it becomes, from 1.
        origin_ns: what times are counted from, epoch nanoseconds.
    """
    tracks = _Tracks(items)
    top = items[tracks.order[0]] if tracks.order else items[0]
    for kind, thread, name in [
        ("process_name", 1, _title(top)),
        *(("thread_name", number, _track_name(number)) for number in range(1, tracks.count + 1)),
    ]:
        yield {"ph": "M", "name": kind, "pid": process, "tid": thread, "ts": 0, "args": {"name": name}}
    for at in tracks.order:
        item = items[at]
        found = attributes(item.span)
        start, end = tracks.windows[at]
        yield {
            "ph": "X",
            "name": str(item.span.get("name", "")) or "span",
            "cat": _category(found),
            "pid": process,
            "tid": tracks.of[at],
            "ts": (start - origin_ns) / _US,
            "dur": (end - start) / _US,
            "args": {"span": item.span["spanId"], **_shown(item, found)},
        }


def _track_name(number: int) -> str:
    return "chain" if number == 1 else f"at the same time {number - 1}"


def _title(top: Item) -> str:
    found = attributes(top.span)
    task = found.get(sc.TASK_ID)
    repeat = f" #{found[sc.REPEAT]}" if found.get(sc.REPEAT, 1) != 1 else ""
    return f"{task}{repeat} {top.trace_id}" if task else f"{top.span.get('name', '')} {top.trace_id}"


def _category(found: dict[str, Any]) -> str:
    if sc.PHASE in found:
        return "engine"
    operation = _CATEGORIES.get(str(found.get(sc.OPERATION)))
    return operation or ("step" if sc.STEP_NODE in found else "span")


def _shown(item: Item, found: dict[str, Any]) -> dict[str, Any]:
    """Attributes that one can read: no arrays of arrival times."""
    shown: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, str):
            shown[name] = value[:_LONGEST_TEXT]
        elif isinstance(value, bool | int | float):
            shown[name] = value
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            shown[name] = ", ".join(value)[:_LONGEST_TEXT]
    status = item.span.get("status") or {}
    if status.get("code") == _ERROR:
        shown["error"] = str(status.get("message", ""))[:_LONGEST_TEXT] or True
    return shown


class _Tracks:
    """On which track each span is. A child is drawn within its parent, where it sticks out it is cut."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.windows = [(item.start_ns, max(item.end_ns, item.start_ns)) for item in items]
        place = {str(item.span["spanId"]): at for at, item in enumerate(items)}
        below: dict[int, list[int]] = {}
        for at, item in enumerate(items):
            parent = place.get(str(item.span.get("parentSpanId")), -1)
            below.setdefault(-1 if parent == at else parent, []).append(at)
        self.of: dict[int, int] = {}
        self.count = 0
        self.order: list[int] = []
        self._free: list[int] = []  # until when each track is taken by what was put beside
        waiting = [(at, -1) for at in reversed(self._by_start(below.get(-1, ())))]
        busy: dict[int, int] = {}  # of each parent, until when its own track is taken by children
        while waiting:
            at, parent = waiting.pop()
            self._place(at, parent, busy)
            self.order.append(at)
            waiting += [(child, at) for child in reversed(self._by_start(below.get(at, ())))]
        self.order.sort(key=lambda at: self.windows[at][0])  # stable: parents before their children

    def _by_start(self, spans: Sequence[int]) -> list[int]:
        return sorted(spans, key=lambda at: (self.windows[at][0], -self.windows[at][1]))

    def _place(self, at: int, parent: int, busy: dict[int, int]) -> None:
        start, end = self.windows[at]
        if parent >= 0:
            low, high = self.windows[parent]
            start, end = min(max(start, low), high), min(max(end, low), high)
            self.windows[at] = start, end
        if parent >= 0 and busy.get(parent, 0) <= start:
            self.of[at] = self.of[parent]
            busy[parent] = end
            return
        track = next((number for number, until in enumerate(self._free, 1) if until <= start), 0)
        if not track:
            self._free.append(0)
            track = self.count = len(self._free)
        self._free[track - 1] = end
        self.of[at] = track
