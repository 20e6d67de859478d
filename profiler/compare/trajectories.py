"""What each chain did, step by step, and how one way compares with another.

The steps of two chains are laid side by side, so that what comes after a step that only one of them has is still
compared with itself:

    base        model   tools: search   model                            model   (4 steps)
    candidate   model   tools: search   model   tools: sql   model       model   (6)
                  1           2           3     (after 3)  (after 3)       4

What both begin with is the same, then what both end with; in between `difflib.SequenceMatcher` finds the longest
stretches in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from profiler.compare.sides import Side

MORE: Final = "more"
GONE: Final = "gone"
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a chain, without its time."""

    label: str  # nodes that run side by side are joined by " + "
    kind: str  # "call" or "tool"
    calls: int = 0  # that ended well
    tools: tuple[str, ...] = ()

    def words(self) -> str:
        """`tools (search, sql)`, `model`."""
        return f"{self.label} ({', '.join(self.tools)})" if self.tools else self.label


Way = tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a step stands in the base's order: at a step of the base, or added after one (0: at the start)."""

    position: int
    added: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A step that the candidate's chains of a task have more (`more`), less (`gone`), or do otherwise (`other`)."""

    task: str
    what: str
    position: int  # in the base; what is more has its own number in the candidate
    step: str
    detail: str = ""


def ways_of(side: Side) -> list[Way]:
    """Of each chain, its steps in order."""
    calls = side.measured.answered
    counted = Counter(zip(calls["chain"], calls["position"], strict=True))
    used: dict[tuple[int, int], list[str]] = {}
    tools = side.measured.tools
    for chain, position, tool in zip(tools["chain"], tools["position"], tools["tool"], strict=True):
        used.setdefault((chain, position), []).append(tool)
    steps = side.measured.steps
    there: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for chain, position, node, kind in zip(
        steps["chain"], steps["position"], steps["node"], steps["kind"], strict=True
    ):
        there.setdefault((chain, position), []).append((str(node), str(kind)))
    found: list[list[Stage]] = [[] for _ in range(side.chains)]
    for place in sorted(there):
        nodes = sorted(there[place])
        label = " + ".join(node for node, _ in nodes)
        kind = "call" if any(each == "call" for _, each in nodes) else "tool"
        found[place[0]].append(Stage(label, kind, counted[place], tuple(sorted(used.get(place, ())))))
    return [tuple(way) for way in found]


def usual(ways: Sequence[Way]) -> Way:
    """The way that most chains take; of several the first."""
    return Counter(ways).most_common(1)[0][0]


def slots(reference: Way, way: Way) -> list[Slot]:
    """Of each step of a way, its slot in the reference's order."""
    found: list[Slot] = []
    for tag, i1, i2, j1, j2 in _opcodes(reference, way):
        if tag == "equal":
            found += [Slot(i1 + number + 1) for number in range(j2 - j1)]
            continue
        paired = _pairs(reference[i1:i2], way[j1:j2])
        found += [Slot(i1 + number + 1) if number < paired else Slot(i2, added=True) for number in range(j2 - j1)]
    return found


def changes(task: str, reference: Way, way: Way) -> Iterator[Change]:
    """Step by step, how the way differs from the reference."""
    for tag, i1, i2, j1, j2 in _opcodes(reference, way):
        if tag == "equal":
            for number in range(j2 - j1):
                one, other = reference[i1 + number], way[j1 + number]
                if one.calls != other.calls:
                    yield Change(task, OTHER, i1 + number + 1, other.label, f"{one.calls} -> {other.calls} calls")
            continue
        paired = _pairs(reference[i1:i2], way[j1:j2])
        for number in range(paired):
            one, other = reference[i1 + number], way[j1 + number]
            detail = f"{', '.join(other.tools) or 'no tool'} instead of {', '.join(one.tools) or 'no tool'}"
            yield Change(task, OTHER, i1 + number + 1, other.label, detail)
        for number in range(i1 + paired, i2):
            yield Change(task, GONE, number + 1, reference[number].words())
        for number in range(j1 + paired, j2):
            yield Change(task, MORE, number + 1, way[number].words())


def _pairs(gone: Way, more: Way) -> int:
    """How many steps, from the first on, are the same ones with other tools."""
    number = 0
    for one, other in zip(gone, more, strict=False):
        if (one.label, one.kind) != (other.label, other.kind):
            break
        number += 1
    return number


def _opcodes(reference: Way, way: Way) -> list[tuple[str, int, int, int, int]]:
    here, there = ([(stage.label, stage.kind, stage.tools) for stage in each] for each in (reference, way))
    most = min(len(here), len(there))
    first = next((at for at in range(most) if here[at] != there[at]), most)
    last = next((at for at in range(most - first) if here[-1 - at] != there[-1 - at]), most - first)
    middle = SequenceMatcher(None, here[first : len(here) - last], there[first : len(there) - last], autojunk=False)
    found = [("equal", 0, first, 0, first)] if first else []
    found += [(tag, i1 + first, i2 + first, j1 + first, j2 + first) for tag, i1, i2, j1, j2 in middle.get_opcodes()]
    if last:
        found.append(("equal", len(here) - last, len(here), len(there) - last, len(there)))
    return found
