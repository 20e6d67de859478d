"""The schedule model by its definition: siblings are asked one by one, own time is counted in single moments.

Slow; shares no code with `profiler.analysis.schedule`. Times have to be small integers.
"""

from dataclasses import dataclass, field


@dataclass
class What:
    """What is changed: moments of own time that take none, time added at a span's end, spans that vanish."""

    without: dict[str, set[int]] = field(default_factory=dict)
    longer: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


class SlowSchedule:
    """Windows by name, and lengths worked out anew each time."""

    def __init__(self, trace):
        self.trace = trace
        self.low, self.high = {}, {}
        self._place(trace.root, trace.root.start_ns, trace.root.end_ns)

    def _place(self, span, low, high):
        self.low[span.span_id], self.high[span.span_id] = max(span.start_ns, low), min(span.end_ns, high)
        for child in self.trace.children.get(span.span_id, ()):
            self._place(child, self.low[span.span_id], self.high[span.span_id])

    def children(self, name):
        return [
            child.span_id
            for child in self.trace.children.get(name, ())
            if self.low[child.span_id] <= self.high[child.span_id]
        ]

    def waited_for(self, name):
        """The siblings that a span waited for, among all children of its parent, in order."""
        siblings = self.children(self.trace.parent_of()[name].span_id)
        key = {each: (self.low[each], self.high[each], number) for number, each in enumerate(siblings)}
        return [each for each in siblings if self.high[each] <= self.low[name] and key[each] < key[name]]

    def lag(self, name):
        """The parent's own moments before a child."""
        parent = self.trace.parent_of()[name].span_id
        since = max((self.high[each] for each in self.waited_for(name)), default=self.low[parent])
        return set(range(since, self.low[name]))

    def tail(self, name):
        """A span's own moments after its last child."""
        since = max((self.high[child] for child in self.children(name)), default=self.low[name])
        return set(range(since, self.high[name]))

    def own(self, name):
        """All moments in which a span was busy itself."""
        return self.tail(name).union(*(self.lag(child) for child in self.children(name)))

    def length(self, what, name="root"):
        """How long a span lasts."""
        if name in what.gone:
            return 0
        left_out = what.without.get(name, set())
        finish = {}
        for child in sorted(self.children(name), key=lambda each: (self.low[each], self.high[each])):
            ready = max((finish[each] for each in self.waited_for(child)), default=0)
            finish[child] = ready + len(self.lag(child) - left_out) + self.length(what, child)
        return max(finish.values(), default=0) + len(self.tail(name) - left_out) + what.longer.get(name, 0)
