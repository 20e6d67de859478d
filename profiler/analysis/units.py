"""Units: what a report shows as rows, the groups of calls or tools that a chain makes one after the other.

With a graph, a unit is a node in a superstep in which it calls or uses tools: parallel nodes share a position and are
told apart. Without one, each call is a unit, with all its attempts. What a call or tool calls in its turn is part
of its unit.
"""

from __future__ import annotations

from collections.abc import Sequence

from profiler import semconv as sc
from profiler.analysis.layout import CALL, NOBODY, Layout


class Unit:
    """Spans that make up one row of the report."""

    __slots__ = ("end_ns", "kind", "label", "members", "position", "start_ns")

    def __init__(self, position: int, members: Sequence[int], layout: Layout) -> None:
        spans = [layout.spans[at] for at in members]
        self.position = position
        self.members = members
        self.kind = "tool"
        self.start_ns = min(span.start_ns for span in spans)
        self.end_ns = max(span.end_ns for span in spans)
        attributes = spans[0].attributes
        self.label = str(attributes.get(sc.STEP_NODE) or attributes.get(sc.TOOL_NAME) or "call")


class Units:
    """The units of a chain, and which of them each span is in."""

    __slots__ = ("all", "of")

    def __init__(self, layout: Layout) -> None:
        groups: dict[tuple[object, ...], dict[int, None]] = {}
        positions: dict[tuple[object, ...], int] = {}
        position_of: dict[tuple[object, ...], int] = {}
        spans = layout.spans
        for at in sorted([*layout.calls, *layout.tools]):
            owner = layout.outermost[at]
            attributes = spans[owner].attributes
            unit: tuple[object, ...]
            if sc.STEP_NODE in attributes:
                moment: tuple[object, ...] = (
                    "step", layout.parents[owner], attributes.get(sc.STEP_GRAPH), attributes.get(sc.STEP_NUMBER)
                )  # fmt: skip
                unit = (*moment, attributes[sc.STEP_NODE])
            elif owner == at:
                place, ordinal = attributes.get(sc.CALL_PLACE), attributes.get(sc.CALL_ORDINAL)
                attempts = layout.kind[at] == CALL and ordinal is not None  # another program's calls have none
                unit = moment = ("call", place, ordinal) if attempts else ("span", at)
            else:
                continue
            groups.setdefault(unit, {})[owner] = None
            positions.setdefault(moment, len(positions) + 1)
            position_of[unit] = positions[moment]
        self.all = [Unit(position_of[unit], list(members), layout) for unit, members in groups.items()]
        by_member = {at: unit for unit in self.all for at in unit.members}
        self.of: list[Unit | None] = [by_member.get(owner) if owner != NOBODY else None for owner in layout.outermost]
        for at in layout.calls:
            unit_of_call = self.of[at]
            if unit_of_call is not None:
                unit_of_call.kind = "call"
