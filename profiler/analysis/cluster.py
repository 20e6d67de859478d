"""Children of one span that overlap in time, and what becomes of them all if one of them is shorter or longer.

    A     |----------|                   a cluster: B reaches over from A to C
    B        |-------------|
    C                |--------|
    D                            |---|   another: it begins when the first has ended as a whole

A member starts a fixed lag after the last of those that had ended before it started; where there is none in the
cluster, after the cluster's entry. So a change can be worked out inside of the cluster alone: all that comes after
moves with its end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from heapq import heappop, heappush


class Cluster:
    """One cluster. Members are spoken of by their number, by start.

    Attributes:
        entry: the end of the cluster before, or the parent's start, in nanoseconds.
        end: when the last member ends.
        members: positions of the spans.
        lasts: how long each member is.
        lags: how long after what it waited for each member starts: the parent's own work.
        by_end: numbers in the order of ends.
        waits: how many of `by_end` each member waits for; never fewer than the one before it.
    """

    def __init__(self, members: Sequence[int], entry: int, low: Sequence[int], high: Sequence[int]) -> None:
        self.entry = entry
        self.members = members
        self.ends = [high[at] for at in members]
        self.lasts = [high[at] - low[at] for at in members]
        self.waits, self.lags = [0] * len(members), [low[members[0]] - entry] * len(members)
        if len(members) == 1:  # nearly all
            self.end, self.by_end = self.ends[0], [0]
            return
        self.end = max(self.ends)
        self.by_end = sorted(range(len(members)), key=lambda number: (self.ends[number], number))
        ended = 0
        for number, at in enumerate(members):
            # Of members that last no time at the same moment the earlier one comes first: none waits for itself.
            while self.by_end[ended] < number and self.ends[self.by_end[ended]] <= low[at]:
                ended += 1
            self.waits[number] = ended
            self.lags[number] = low[at] - (self.ends[self.by_end[ended - 1]] if ended else entry)

    def length(self, lasts: Sequence[int], lags: Sequence[int]) -> int:
        """From the entry to the last member's end, if the members last this long and start these lags later."""
        finish: list[int] = []
        ended = done = 0
        for lag, last, waits in zip(lags, lasts, self.waits, strict=True):
            while done < waits:
                ended = max(ended, finish[self.by_end[done]])
                done += 1
            finish.append(ended + lag + last)
        return max(finish)

    @cached_property
    def _late(self) -> tuple[list[int], list[int]]:
        """Of each member, its latest end; and by when all must have ended that it, or one after it, waits for.

        The backward pass of the critical path method, from the cluster's end.
        """
        count = len(self.members)
        rank = [0] * count
        for place, number in enumerate(self.by_end):
            rank[number] = place
        late = [self.end] * count
        due = [self.end] * (count + 1)
        for number in reversed(range(count)):
            late[number] = due[bisect_right(self.waits, rank[number])]
            due[number] = min(due[number + 1], late[number] - self.lasts[number] - self.lags[number])
        return late, due

    @cached_property
    def floats(self) -> list[int]:
        """How much later each member may end while the cluster ends when it does."""
        return [latest - end for latest, end in zip(self._late[0], self.ends, strict=True)]

    @cached_property
    def limits(self) -> list[int]:
        """How much the cluster can gain at most by each member: what ran beside it takes over.

        Every way through the cluster that avoids a member X passes, at the moment when X starts, through one that is
        running, or from what had ended by then to one that starts after X. When X gets shorter these stay as long as
        they are; the least float among them is the limit (Devaux's rule for drag, with lags).
        """
        due, floats = self._late[1], self.floats
        rank = {number: place for place, number in enumerate(self.by_end)}
        running: list[tuple[int, int]] = []  # (float, place by end) of those that have started; some have ended
        limits = []
        for number, waits in enumerate(self.waits):
            while running and running[0][1] < waits:
                heappop(running)
            ended = self.ends[number] - self.lasts[number] - self.lags[number]
            after = due[number + 1] - ended
            limits.append(min(running[0][0], after) if running else after)
            heappush(running, (floats[number], rank[number]))
        return limits

    def gain(self, number: int, shorter: int) -> int:
        """How much sooner the cluster ends if one member is shorter by so much."""
        return min(self.limits[number], shorter + self.floats[number])


def clusters_of(children: Sequence[int], start: int, low: Sequence[int], high: Sequence[int]) -> list[Cluster]:
    """The clusters of a span's children, in order of time.

    Args:
        children: their positions.
        start: the span's start.
        low: of each span, where its window begins.
        high: where it ends; a child without a window is in no cluster.
    """
    inside = sorted((child for child in children if low[child] <= high[child]), key=lambda at: (low[at], high[at]))
    clusters: list[Cluster] = []
    members: list[int] = []
    entry = end = start
    for child in inside:
        if members and low[child] >= end:
            clusters.append(Cluster(members, entry, low, high))
            entry, members = end, []
        members.append(child)
        end = max(end, high[child])
    if members:
        clusters.append(Cluster(members, entry, low, high))
    return clusters
