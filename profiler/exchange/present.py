"""Traces as viewers want them, and back again.

What is exported differs from what was recorded in four things, each of which Jaeger's view needs. In brackets is the
attribute that undoes it:

- Phases of the engine are of a service of their own, named as the engine: one colour, one search per service
  (`profiler.export.service`, on the resource).
- A span ends 1 µs before the sibling that follows it. Jaeger counts in whole µs, and a sibling that ends in the µs in
  which the next begins is not on its critical path (`profiler.export.end_ns`).
- Times that are not known are those around them: a time of 0 sends Jaeger's view into a recursion without end
  (`profiler.export.start_ns`, `profiler.export.end_ns`).
- Phases stand below the engine's own span of the request, which is stretched to hold them: as siblings they would
  overlap it, and Jaeger would take it alone (`profiler.export.parent_id`, and the two for times).

    recorded   queue |---|prefill|------|decode|-----|
    exported   queue |--| prefill|-----| decode|-----|      1 µs between them

Only copies are changed. `restored` undoes all of it, to the nanosecond.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from profiler import semconv as sc
from profiler.exchange.documents import Item, Object, attribute, with_attributes

GAP_NS: Final = 1_000
_MARK: Final = "profiler.export."
_SERVER: Final = 2
_LATEST_NS: Final = 1 << 63
_SPAN_ID: Final = re.compile(r"[0-9a-f]{16}")


class _Times:
    """What is being changed of a trace's spans, by their place."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.starts = [item.start_ns for item in items]
        self.ends = [item.end_ns for item in items]
        place = {str(item.span["spanId"]): at for at, item in enumerate(items)}
        self.parents = [place.get(str(item.span.get("parentSpanId")), -1) for item in items]
        self.below: list[list[int]] = [[] for _ in items]
        self.tops: list[int] = []
        for at, parent in enumerate(self.parents):
            (self.below[parent] if parent >= 0 and parent != at else self.tops).append(at)

    def move(self, at: int, parent: int) -> None:
        """Put a span below another."""
        self.below[self.parents[at]].remove(at)
        self.parents[at] = parent
        self.below[parent].append(at)

    def order(self) -> list[int]:
        """Parents before their children; spans in a circle are left out."""
        order = list(self.tops)
        for at in order:  # grows while it is walked
            order += self.below[at]
        return order


def presented(items: Sequence[Item]) -> list[Item]:
    """One whole trace, as viewers want it."""
    times = _Times(items)
    order = times.order()
    _fill_in(times, order)
    _adopt(items, times)
    for at in times.tops, *times.below:
        _part(at, times)
    engines = _engines(items, times, order)
    made: dict[tuple[int, str], Object] = {}
    return [
        _changed(item, at, items, times)._replace(resource=_resource(item.resource, engines.get(at), made))
        for at, item in enumerate(items)
    ]


def _resource(resource: Object, engine: str | None, made: dict[tuple[int, str], Object]) -> Object:
    """One object for all phases of an engine, as all other spans share theirs."""
    service = attribute(resource, sc.SERVICE_NAME)
    if engine is None or engine == service:
        return resource
    key = id(resource), engine
    if key not in made:
        made[key] = with_attributes(resource, {sc.SERVICE_NAME: engine, sc.EXPORT_SERVICE: str(service or "")})
    return made[key]


def _fill_in(times: _Times, order: Sequence[int]) -> None:
    """Times that are not known, or impossible: from what is known below, else from the parent."""
    starts, ends = times.starts, times.ends
    for at in reversed(order):
        known = [starts[child] for child in times.below[at] if starts[child]]
        if not starts[at] and known:
            starts[at] = min(known)
        if ends[at] < starts[at]:
            ends[at] = max([starts[at], *(ends[child] for child in times.below[at])])
    for at in order:
        parent = times.parents[at]
        if not starts[at]:
            starts[at] = starts[parent] if parent >= 0 else 0
            ends[at] = max(ends[at], starts[at])


def _adopt(items: Sequence[Item], times: _Times) -> None:
    """Phases that stand beside the engine's own span of the request come below it."""
    for parent, siblings in enumerate([list(below) for below in times.below]):
        requests = [at for at in siblings if _is_request(items[at], items[parent])]
        phases = [at for at in siblings if attribute(items[at].span, sc.PHASE)]
        if len(requests) != 1 or not phases:
            continue
        request = requests[0]
        for at in phases:
            times.move(at, request)
            times.starts[request] = min(times.starts[request], times.starts[at])
            times.ends[request] = max(times.ends[request], times.ends[at])


def _is_request(item: Item, call: Item) -> bool:
    """Whether a span below a call is of the server that answered it."""
    service = attribute(item.resource, sc.SERVICE_NAME)
    return item.span.get("kind") == _SERVER and service != attribute(call.resource, sc.SERVICE_NAME)


def _part(siblings: Sequence[int], times: _Times) -> None:
    """Between a sibling's end and the start of the one that follows it there is a gap."""
    begun = sorted(times.starts[at] for at in siblings)
    for at in siblings:
        start, end = times.starts[at], times.ends[at]
        following = bisect_left(begun, end)
        if end > start and following < len(begun) and begun[following] - end < GAP_NS:
            times.ends[at] = max(start, begun[following] - GAP_NS)


def _engines(items: Sequence[Item], times: _Times, order: Sequence[int]) -> dict[int, str]:
    """Of each phase, the name of the engine that the call above it was made to."""
    provider: dict[int, str] = {}
    found = {}
    for at in order:
        parent = times.parents[at]
        provider[at] = str(attribute(items[at].span, sc.PROVIDER) or provider.get(parent, ""))
        if provider[at] and attribute(items[at].span, sc.PHASE):
            found[at] = provider[at]
    return found


def _changed(item: Item, at: int, items: Sequence[Item], times: _Times) -> Item:
    span = item.span
    notes: dict[str, int | str] = {}
    if times.starts[at] != item.start_ns:
        notes[sc.EXPORT_START_NS] = item.start_ns
    if times.ends[at] != item.end_ns:
        notes[sc.EXPORT_END_NS] = item.end_ns
    parent = times.parents[at]
    moved = parent >= 0 and items[parent].span["spanId"] != span.get("parentSpanId")
    if moved:
        notes[sc.EXPORT_PARENT] = str(span["parentSpanId"])
    if notes:
        span = with_attributes(span, notes)
        span["startTimeUnixNano"], span["endTimeUnixNano"] = str(times.starts[at]), str(times.ends[at])
        if moved:
            span["parentSpanId"] = items[parent].span["spanId"]
    return item._replace(span=span)


def _is_marked(of: Object) -> bool:
    return any(str(each.get("key")).startswith(_MARK) for each in of.get("attributes") or ())


def restored(item: Item) -> Item:
    """A span as it was recorded; one that was not changed stays as it is.

    Whoever wrote the notes: those that are no times or ids are left out, so that what was readable stays readable.
    """
    span, resource = item.span, item.resource
    if not (_is_marked(span) or _is_marked(resource)):
        return item
    notes = {name: attribute(span, name) for name in (sc.EXPORT_START_NS, sc.EXPORT_END_NS, sc.EXPORT_PARENT)}
    if any(value is not None for value in notes.values()):
        span = with_attributes(span, dict.fromkeys(notes))
        for name, member in ((sc.EXPORT_START_NS, "startTimeUnixNano"), (sc.EXPORT_END_NS, "endTimeUnixNano")):
            if type(notes[name]) is int and 0 <= notes[name] < _LATEST_NS:  # True is an int as well
                span[member] = str(notes[name])
        if isinstance(notes[sc.EXPORT_PARENT], str) and _SPAN_ID.fullmatch(notes[sc.EXPORT_PARENT]):
            span["parentSpanId"] = notes[sc.EXPORT_PARENT]
    service = attribute(resource, sc.EXPORT_SERVICE)
    if isinstance(service, str):
        resource = with_attributes(resource, {sc.SERVICE_NAME: service or None, sc.EXPORT_SERVICE: None})
    return item._replace(resource=resource, span=span)
