"""What if a span took less time, or more: the chain as a schedule that can be worked out again.

Rule: what a span did is rebuilt from times alone. A child started a fixed lag after the last of its siblings that
had ended before it started, or, if there was none, after its parent's start: it is taken to have waited for all of
them. A parent ended a fixed lag after the last of its children. The lags are the parent's own work, and stay as
they are.

    parent   |--------------------------------|
    A          |----------|                        lag 2 after the parent's start
    B          |-----|                             likewise
    C                       |------|               lag 2 after A, the last of those that it waited for
    lags     2            2          ...  4        after C the parent's own 4

    B may take 5 longer before C is late: its slack. Without A, C starts 2 after B: A's drag is 5, although A lasted 10.

Subtracting the time that a span has on the critical path is the wrong answer wherever something ran beside it: when
A is gone, the chain does not wait for nothing, it waits for B. Self time is worse still: it does not know who
waited.

*Slack* is the total float of the critical path method (Kelley and Walker, 1959), *drag* Devaux's measure (Total
Project Control, 1999): how much a task on the critical path delays the end. A span on the path has slack 0, one off
the path drag 0.

It rests on two assumptions. That a later sibling needed all earlier ones is true of graph steps and of gathered
tasks, not of two independent threads: there gains come out too small, never too large. And lags stay the same under
another load. What lies outside of its parent is waited for by nobody: it constrains nothing, and may last until the
chain's end for free.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from heapq import heappop, heappush

from profiler.analysis.cluster import Cluster, clusters_of
from profiler.analysis.layout import Layout
from profiler.analysis.model import Trace


class Schedule:
    """A trace's schedule. Spans are named by their ids in the public part, by their positions elsewhere."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.forked = _forked(layout)  # spans whose children overlap
        self.sequential = not self.forked  # if so, slack is 0 and drag is the time on the path
        self._clusters: dict[int, Sequence[Cluster]] = {}
        self._slacks: list[int] | None = None
        self._shared: tuple[list[int], dict[int, tuple[Cluster, int]]] | None = None

    @classmethod
    def of(cls, trace: Trace) -> Schedule:
        """The schedule of a trace."""
        return cls(Layout(trace))

    # --- by ids -------------------------------------------------------------------------------------------

    def length_ns(self, shorter: Mapping[str, int]) -> int:
        """The root's duration if these spans' own time were shorter by so many nanoseconds, longer if negative.

        Own time is taken away from a span's end backwards, and no more than there is; more of it is added at the end.
        Exactly the real duration for an empty mapping.
        """
        place = {span.span_id: at for at, span in enumerate(self.layout.spans)}
        tails: dict[int, int] = {}
        lags: dict[int, int] = {}
        for name, amount in shorter.items():
            at = place[name]
            if not self.waited_for(at):
                continue
            if amount < 0:
                tails[at] = amount
            else:
                self._cut_own(at, amount, tails, lags)
        return self._duration(0) - self._gain(tails, lags, ())

    def slack_ns(self) -> dict[str, int]:
        """Of each span, how much longer it may get before the chain does."""
        return {span.span_id: slack for span, slack in zip(self.layout.spans, self.slacks(), strict=True)}

    def drag_ns(self, span_id: str) -> int:
        """How much the chain gains if this span and all below it took no time."""
        return self.drag([next(at for at, span in enumerate(self.layout.spans) if span.span_id == span_id)])

    # --- by positions -------------------------------------------------------------------------------------

    def waited_for(self, at: int) -> bool:
        """Whether any of it lies inside of its parents: what does not is in nobody's way."""
        return self.layout.low[at] <= self.layout.high[at]

    def slacks(self) -> list[int]:
        """Slack of each span, in nanoseconds."""
        if self._slacks is None:
            self._slacks = self._float()
        return self._slacks

    def drag(self, members: Collection[int]) -> int:
        """How much the chain gains if these spans and all below them took no time.

        One span's gain is handed upwards, from one ancestor that runs beside others to the next: all between them
        pass it on.
        """
        if len(members) > 1 and not self.sequential:
            return self._gain({}, {}, [at for at in members if self.waited_for(at)])
        if self.sequential:
            return sum(max(self._duration(at), 0) for at in members)
        (at,) = members
        gain = self._duration(at)
        if gain <= 0 or self.slacks()[at]:
            return 0
        shared, place_of = self._shared_ancestors()
        at = shared[at]
        while at >= 0 and gain > 0:
            cluster, number = place_of[at]
            gain = cluster.gain(number, gain)
            at = shared[self.layout.parents[at]]
        return gain

    def clusters(self, at: int) -> Sequence[Cluster]:
        """A span's children, in clusters by time."""
        if not self.layout.below[at]:
            return ()
        found = self._clusters.get(at)
        if found is None:
            low, high = self.layout.low, self.layout.high
            found = self._clusters[at] = clusters_of(self.layout.below[at], low[at], low, high)
        return found

    def tail(self, at: int) -> tuple[int, int]:
        """A span's own work after its last child, from when to when."""
        clusters = self.clusters(at)
        return (clusters[-1].end if clusters else self.layout.low[at]), self.layout.high[at]

    def _duration(self, at: int) -> int:
        return self.layout.high[at] - self.layout.low[at]

    def _float(self) -> list[int]:
        layout, end = self.layout, self.layout.high[0]
        slacks = [0] * len(layout.spans)
        for at in layout.order:
            if not self.waited_for(at):
                slacks[at] = max(0, end - layout.spans[at].end_ns)
            elif at in self.forked:
                for cluster in self.clusters(at):
                    if len(cluster.members) == 1:  # most are, and have none of their own
                        slacks[cluster.members[0]] = slacks[at]
                        continue
                    for member, slack in zip(cluster.members, cluster.floats, strict=True):
                        slacks[member] = slacks[at] + slack
            elif slacks[at]:
                for child in layout.below[at]:
                    slacks[child] = slacks[at]
        return slacks

    def _shared_ancestors(self) -> tuple[list[int], dict[int, tuple[Cluster, int]]]:
        """Of each span, the nearest at or above it that overlaps with a sibling; and the cluster of each of those."""
        if self._shared is None:
            place_of: dict[int, tuple[Cluster, int]] = {}
            shared = [-1] * len(self.layout.spans)
            for at in self.layout.order:
                if at in place_of:
                    shared[at] = at
                elif at:
                    shared[at] = shared[self.layout.parents[at]]
                for cluster in self.clusters(at) if at in self.forked else ():
                    if len(cluster.members) > 1:
                        place_of.update((member, (cluster, number)) for number, member in enumerate(cluster.members))
            self._shared = shared, place_of
        return self._shared

    @cached_property
    def _rank(self) -> Sequence[int]:
        """Of each span, its place among all, parents first."""
        order = self.layout.order
        if isinstance(order, range):
            return order
        rank = [0] * len(order)
        for number, at in enumerate(order):
            rank[at] = number
        return rank

    def _gain_of_cluster(self, cluster: Cluster, shorter: Mapping[int, int], lags: Mapping[int, int]) -> int:
        lasts = [last - shorter.get(at, 0) for last, at in zip(cluster.lasts, cluster.members, strict=True)]
        cut = [lag - lags.get(at, 0) for lag, at in zip(cluster.lags, cluster.members, strict=True)]
        return cluster.end - cluster.entry - cluster.length(lasts, cut)

    def _gain(self, tails: Mapping[int, int], lags: Mapping[int, int], gone: Collection[int]) -> int:
        """How much shorter the root gets: spans whose tail, or the lag before them, shrinks, and spans that vanish.

        From the spans that change up to the root, the deepest first; what does not change is not looked at.
        """
        layout = self.layout
        rank, (_, place_of) = self._rank, self._shared_ancestors()
        shorter = {at: self._duration(at) for at in gone}
        changed: dict[int, set[int]] = {}  # parent -> children that changed, or that start a shorter lag later
        waiting: list[tuple[int, int]] = []

        def look_at(at: int, child: int | None) -> None:
            if at not in changed:
                changed[at] = set()
                heappush(waiting, (-rank[at], at))
            if child is not None:
                changed[at].add(child)

        for at in (*gone, *lags):
            if at:
                look_at(layout.parents[at], at)
        for at in tails:
            look_at(at, None)
        while waiting:
            _, at = heappop(waiting)
            if at in shorter:  # it is gone, with all below it
                continue
            gain = tails.get(at, 0)
            touched: dict[int, Cluster] = {}
            for child in changed[at]:
                if child in place_of:
                    cluster = place_of[child][0]
                    touched[cluster.members[0]] = cluster
                else:  # nothing runs beside it
                    gain += shorter.get(child, 0) + lags.get(child, 0)
            gain += sum(self._gain_of_cluster(cluster, shorter, lags) for cluster in touched.values())
            shorter[at] = gain
            if gain and at:
                look_at(layout.parents[at], at)
        return shorter.get(0, 0)

    def _cut_own(self, at: int, amount: int, tails: dict[int, int], lags: dict[int, int]) -> None:
        """Take this much of a span's own time away, from its end backwards."""
        starts = [
            (self.layout.low[member], lag, member)
            for cluster in self.clusters(at)
            for member, lag in zip(cluster.members, cluster.lags, strict=True)
        ]
        since, until = self.tail(at)
        pieces = sorted([(until, until - since), *((low, lag) for low, lag, _ in starts)], reverse=True)
        cut, covered = until, until  # from `cut` on all own time is taken; it is known back to `covered`
        for stop, lag in pieces:
            begin, end = stop - lag, min(stop, covered)
            if begin >= end or amount <= 0:
                continue
            cut = max(begin, end - amount)
            amount -= end - cut
            covered = begin
        tails[at] = max(0, until - max(since, cut))
        for low, lag, member in starts:
            lags[member] = max(0, low - max(low - lag, cut))


def _forked(layout: Layout) -> set[int]:
    """Spans of whose children two overlap."""
    low, high = layout.low, layout.high
    forked: set[int] = set()
    for parent, children in enumerate(layout.below):
        if len(children) < 2:  # noqa: PLR2004
            continue
        ended = low[children[0]]
        for at in children:
            if low[at] > high[at]:
                continue
            if low[at] < ended:
                forked.add(parent)
                break
            ended = high[at]
    return forked
