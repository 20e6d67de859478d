"""What every computation on a trace needs to know of each span, found once, from the root down.

Spans are spoken of by their position in `trace.spans`. A span's *window* is the part of it that lies inside of its
parent's window: what can be waited for. A child that outlives its parent counts as ending with it; one that is
wholly outside has a window that ends before it begins, and so has everything below it.
"""

from __future__ import annotations

from collections.abc import Sequence

from profiler import semconv as sc
from profiler.analysis.model import Span, Trace

OTHER, STEP, TOOL, CALL = range(4)  # kinds of span; the others are of other libraries, or engine phases
NOBODY = -1

_KINDS: dict[str | None, int] = {sc.OP_CHAT: CALL, sc.OP_TEXT_COMPLETION: CALL, sc.OP_EXECUTE_TOOL: TOOL}


class Layout:
    """Windows, kinds and owners of a trace's spans; lists with an entry for each span.

    Attributes:
        low: where its window begins, in nanoseconds.
        high: where its window ends; below `low` if there is none.
        kind: CALL, TOOL, STEP or OTHER; a span that claims to be several is the first of these.
        nearest: the call, tool or step that it is part of, which may be itself; NOBODY if there is none.
        outermost: the call, tool or step nearest to the root at or above it.
        step: the outermost step at or above it.
        call: the nearest call at or above it.
        calls, tools: positions of the calls and of the tools, by start.
        steps: positions of the steps.
        clipped: whether any span lies outside of its parent in part.
    """

    __slots__ = (
        "below", "call", "calls", "clipped", "high", "kind", "low", "nearest", "order", "outermost", "parents", "spans",
        "step", "steps", "tools", "trace",
    )  # fmt: skip

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.spans: Sequence[Span] = trace.spans
        self.parents, self.below, self.order = trace.parents, trace.below, trace.order
        count = len(trace.spans)
        self.low, self.high = [0] * count, [0] * count
        self.kind = [OTHER] * count
        self.nearest, self.outermost = [NOBODY] * count, [NOBODY] * count
        self.step, self.call = [NOBODY] * count, [NOBODY] * count
        self.steps: list[int] = []
        self.clipped = False
        self._descend()
        kinds = list(enumerate(self.kind))
        self.calls = [at for at, kind in kinds if kind == CALL]
        self.tools = [at for at, kind in kinds if kind == TOOL]
        self._leave_out_what_phases_tell()

    def _descend(self) -> None:
        # One loop with everything in it: this is done for every span of a million.
        low, high, kinds, parents, spans = self.low, self.high, self.kind, self.parents, self.spans
        nearest, outermost, step, call = self.nearest, self.outermost, self.step, self.call
        for at in self.order:
            parent = parents[at]
            _, _, _, _, start, end, attributes, *_ = spans[at]
            if parent >= 0:
                if start < low[parent]:
                    start, self.clipped = low[parent], True
                if end > high[parent]:
                    end, self.clipped = high[parent], True
                nearest[at], outermost[at] = nearest[parent], outermost[parent]
                step[at], call[at] = step[parent], call[parent]
            low[at], high[at] = start, end
            if not attributes:
                continue
            kind = _KINDS.get(attributes.get(sc.OPERATION), OTHER)
            is_step = sc.STEP_NODE in attributes
            if is_step:
                kind = kind or STEP
                self.steps.append(at)
                if step[at] < 0:
                    step[at] = at
            if kind:
                kinds[at] = kind
                nearest[at] = at
                if outermost[at] < 0:
                    outermost[at] = at
                if kind == CALL:
                    call[at] = at

    def _leave_out_what_phases_tell(self) -> None:
        """Take the window of the engine's own span in a call that has spans for the engine's phases.

        call    |--------------------------|
        phases     |queue| prefill |decode|
        request   |-----------------------|      the same time once more: nobody waits for both
        """
        spans, kinds = self.spans, self.kind
        for call in self.calls:
            children = self.below[call]
            others = [at for at in children if not kinds[at] and sc.PHASE not in spans[at].attributes]
            if not others or not any(spans[at].phase is not None for at in children):
                continue
            # What the client recorded itself is another matter: that it may have waited for.
            taken = [at for at in others if spans[at].service not in ("", spans[call].service)]
            for at in taken:  # grows while it is walked
                self.clipped = True
                self.high[at] = self.low[at] - 1
                taken += self.below[at]

    def ordered(self, at: int) -> list[int]:
        """Children by the end of their windows, the last to end last; of equals, the one that began first is last."""
        high, spans = self.high, self.spans
        children = self.below[at]
        if len(children) < 2:  # noqa: PLR2004
            return list(children)
        ends = [high[child] for child in children]
        if ends == sorted(set(ends)):  # nearly always: one after the other
            return list(children)
        return sorted(children, key=lambda child: (high[child], -spans[child].start_ns))
