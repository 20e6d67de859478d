"""Units: what a report shows as rows, the groups of calls or tools that a chain makes one after the other.

With a graph, a unit is a node in a superstep in which it calls or uses tools: parallel nodes share a position and are
told apart. Without one, each call is a unit, with all its attempts. What a call or tool calls in its turn is part
of its unit.
"""

from __future__ import annotations

from profiler import semconv as sc
from profiler.analysis.layout import CALL, Layout
from profiler.analysis.model import Span


class Unit:
    """Spans that make up one row of the report."""

    __slots__ = ("end_ns", "kind", "label", "members", "position", "start_ns")

    def __init__(self, position: int, first: int, span: Span) -> None:
        attributes = span.attributes
        self.position = position
        self.members = [first]
        self.kind = "tool"
        self.start_ns, self.end_ns = span.start_ns, span.end_ns
        self.label = str(attributes.get(sc.STEP_NODE) or attributes.get(sc.TOOL_NAME) or "call")

    def add(self, member: int, span: Span) -> None:
        """One more span of the same unit."""
        self.members.append(member)
        self.start_ns, self.end_ns = min(self.start_ns, span.start_ns), max(self.end_ns, span.end_ns)


class Units:
    """The units of a chain, and which of them each span is in."""

    __slots__ = ("all", "of")

    def __init__(self, layout: Layout) -> None:
        units: dict[tuple[object, ...], Unit] = {}
        positions: dict[tuple[object, ...], int] = {}
        by_member: dict[int, Unit] = {}
        spans, kinds = layout.spans, layout.kind
        for at in sorted([*layout.calls, *layout.tools]):
            owner = layout.outermost[at]
            if owner not in by_member:
                moment, unit = _names(layout, owner)
                if unit in units:
                    units[unit].add(owner, spans[owner])
                else:
                    position = positions.setdefault(moment, len(positions) + 1)
                    units[unit] = Unit(position, owner, spans[owner])
                by_member[owner] = units[unit]
            if kinds[at] == CALL:
                by_member[owner].kind = "call"
        self.all = list(units.values())
        self.of: list[Unit | None] = [by_member.get(owner) for owner in layout.outermost]


def _names(layout: Layout, owner: int) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """What the spans at one position have in common, and what those of one unit have."""
    get = layout.spans[owner].attributes.get
    node = get(sc.STEP_NODE)
    if node is not None:
        moment = "step", layout.parents[owner], get(sc.STEP_GRAPH), get(sc.STEP_NUMBER)
        return moment, (*moment, node)
    ordinal = get(sc.CALL_ORDINAL) if layout.kind[owner] == CALL else None  # another program's calls have none
    name = ("span", owner) if ordinal is None else ("call", get(sc.CALL_PLACE), ordinal)
    return name, name
