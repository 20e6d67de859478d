"""Clocks of other machines: a service's spans are moved by as little as makes them fit into their parents.

    client   |-------- call --------|
    engine                |----- request -----|      clock ahead: outside of its parent
    moved         <- |----- request -----|           by the smallest amount that makes it fit

Jaeger's clock skew adjuster moves such a child to the middle of its parent, each child by itself. A middle invents
two network delays of equal length, and children moved one by one lose the order that they had on their own clock.
So here, in one trace, all spans of one service below another service are moved by one amount: the smallest that
makes all of them fit. If none does (the clock was stepped, or a child really is outside), each is moved by its own
smallest amount. As in Jaeger, a child that lasts longer than its parent is only kept from starting before it. What
is below a span moves with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_Link = tuple[str, str]


def shifts(
    services: Sequence[str], parents: Sequence[int], order: Sequence[int], starts: Sequence[int], ends: Sequence[int]
) -> Mapping[int, tuple[int, bool]]:
    """Of each span that has to be moved: by how many nanoseconds, and whether it is the outermost one that is.

    Args:
        services: of each span, "" if unknown: such spans are on the clock of whatever they are in.
        parents: of each span, the position of its parent; -1 for the root.
        order: positions, parents first.
        starts: nanoseconds, each on its own clock.
        ends: likewise.
    """
    room: dict[int, tuple[int, int | None]] = {}
    links: dict[_Link, list[int]] = {}
    for at in order:
        parent = parents[at]
        if parent < 0 or not services[at] or not services[parent] or services[at] == services[parent]:
            continue
        latest = ends[parent] - ends[at]
        earliest = starts[parent] - starts[at]
        room[at] = earliest, latest if latest >= earliest else None
        links.setdefault((services[parent], services[at]), []).append(at)
    own: dict[int, int] = {}
    for children in links.values():
        own.update(_of_one_link(children, room))
    moved: dict[int, tuple[int, bool]] = {}
    for at in order:
        inherited = moved.get(parents[at], (0, False))[0]
        shift = inherited + own.get(at, 0)
        if shift:
            moved[at] = shift, bool(own.get(at))
    return moved


def _of_one_link(children: Sequence[int], room: Mapping[int, tuple[int, int | None]]) -> Mapping[int, int]:
    earliest = max(room[at][0] for at in children)
    latest = min((late for at in children if (late := room[at][1]) is not None), default=None)
    if latest is None or earliest <= latest:
        return dict.fromkeys(children, _smallest(earliest, latest))
    return {at: _smallest(*room[at]) for at in children}


def _smallest(earliest: int, latest: int | None) -> int:
    """The amount nearest to 0 in a range."""
    if earliest > 0:
        return earliest
    return latest if latest is not None and latest < 0 else 0
