"""The rows of one chain, made from its spans; values stand in the order of the tables' columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from profiler import semconv as sc
from profiler.analysis.columns import CALL_PHASES, Row
from profiler.analysis.critical_path import pieces_of
from profiler.analysis.gains import gains_without_phases
from profiler.analysis.gaps import gaps_of
from profiler.analysis.layout import NOBODY, Layout
from profiler.analysis.model import Span, Trace
from profiler.analysis.parallel import runs_in_parallel
from profiler.analysis.phases import PHASES, Phases
from profiler.analysis.prompts import Prompts
from profiler.analysis.schedule import Schedule
from profiler.analysis.streaming import tpot, ttft_ns
from profiler.analysis.units import Unit, Units

_NO_TIME: dict[str, int] = dict.fromkeys(PHASES, 0)


class ChainRows:
    """The rows of one chain."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.layout = layout = Layout(trace)
        self.phases = Phases(layout)
        self.schedule = Schedule(layout)
        self.units = Units(layout)
        pieces = pieces_of(layout)
        self.on_path = {at for at, _, _ in pieces}
        self._mark_ancestors()
        self.path = self.phases.cut(pieces)
        self.by_phase = dict(_NO_TIME)
        self._by_unit: dict[Unit, dict[str, int]] = {}
        self._by_call: dict[int, dict[str, int]] = {}
        self._own_of_tool: dict[int, int] = {}
        self._sum_up()
        root = trace.root
        self.trace_id = root.trace_id
        self.task_id = root.attributes.get(sc.TASK_ID, "")
        self.warmup = bool(root.attributes.get(sc.WARMUP, False))
        self.failed = root.failed

    def _mark_ancestors(self) -> None:
        """A span that is covered by its children has no piece of its own, and is on the path all the same."""
        parents, on_path = self.layout.parents, self.on_path
        for at in tuple(on_path):
            above = parents[at]
            while above >= 0 and above not in on_path:
                on_path.add(above)
                above = parents[above]

    def _sum_up(self) -> None:
        """Time on the path by phase: of the chain, of each unit, of each call with all below it; each tool's own."""
        call, unit_of, nearest, own_of_tool = self.layout.call, self.units.of, self.layout.nearest, self._own_of_tool
        by_phase, by_unit, by_call = self.by_phase, self._by_unit, self._by_call
        for at, phase, start, end in self.path:
            time = end - start
            by_phase[phase] += time
            if phase == "tool":
                own_of_tool[nearest[at]] = own_of_tool.get(nearest[at], 0) + time
            unit = unit_of[at]
            if unit is not None:
                if unit not in by_unit:
                    by_unit[unit] = dict(_NO_TIME)
                by_unit[unit][phase] += time
            if call[at] >= 0:
                if call[at] not in by_call:
                    by_call[call[at]] = dict(_NO_TIME)
                by_call[call[at]][phase] += time
        for at in reversed(self.layout.calls):  # what a call calls in its turn is below it
            parent = self.layout.parents[at]
            above = call[parent] if parent >= 0 else NOBODY
            if above >= 0 and at in by_call:
                sums = by_call.setdefault(above, dict(_NO_TIME))
                for phase, time in by_call[at].items():
                    sums[phase] += time

    def _path_ns(self, at: int) -> int:
        """Time on the path of a span with all below it: if it is there, then with all that lies in its parents."""
        return self.layout.high[at] - self.layout.low[at] if at in self.on_path else 0

    def chain(self) -> Row:
        """The row of table chains."""
        layout, spans, by_phase = self.layout, self.layout.spans, self.by_phase
        on_path = [spans[at] for at in layout.calls if at in self.on_path and not spans[at].failed]
        tokens = [_tokens_in_a_row(span) for span in on_path]
        after_first = [max(value - 1, 0) for value in tokens if value is not None]
        root = self.trace.root
        get = root.attributes.get
        gains = by_phase if self.schedule.sequential else gains_without_phases(self.schedule, self.phases)
        return (
            self.trace_id,
            self.task_id,
            _names(get(sc.TASK_TAGS)),
            get(sc.REPEAT),
            self.warmup,
            self.failed,
            get(sc.ERROR_TYPE) if self.failed else None,
            root.start_ns,
            root.duration_ns,
            len(layout.steps),
            len(layout.calls),
            sum(spans[at].failed for at in layout.calls),
            len(layout.tools),
            sum(spans[at].failed for at in layout.tools),
            len(on_path),
            sum(after_first) if len(after_first) == len(tokens) else None,
            get(sc.UNUSED_SCRIPT_CALLS, 0),
            *by_phase.values(),
            (layout.clipped or not self.schedule.sequential) and runs_in_parallel(layout),
            *[gains.get(phase, 0) for phase in PHASES],
        )

    def calls(self) -> list[Row]:
        """The rows of table calls, in order of start."""
        prompts = Prompts()
        return [self._call(index, at, prompts) for index, at in enumerate(self.layout.calls, start=1)]

    def _call(self, index: int, at: int, prompts: Prompts) -> Row:
        span, unit, step = self.layout.spans[at], self.units.of[at], self.layout.step[at]
        get = span.attributes.get
        times_us: Sequence[int] = get(sc.CHUNK_TIMES_US) or ()
        output_tokens, first_ns = get(sc.OUTPUT_TOKENS), ttft_ns(times_us, get(sc.RESPONSE_TTFC))
        queue_ns, prefill_ns, decode_ns = get(sc.ENGINE_QUEUE_NS), get(sc.ENGINE_PREFILL_NS), get(sc.ENGINE_DECODE_NS)
        pace = None
        if get(sc.REQUEST_CHOICES, 1) == 1:
            unseen = 0 if get(sc.REASONING_CHUNKS) else get(sc.REASONING_TOKENS) or 0
            pace = tpot(times_us, output_tokens, unseen_tokens=unseen, decode_ns=decode_ns)
        explained = None if queue_ns is None or prefill_ns is None else queue_ns + prefill_ns
        by_phase = self._by_call.get(at, _NO_TIME)
        return (
            self.trace_id,
            span.span_id,
            self.task_id,
            self.warmup,
            self.failed,
            index,
            unit.position if unit else 0,
            unit.label if unit else "",
            self.layout.spans[step].attributes[sc.STEP_NODE] if step >= 0 else "",
            get(sc.CALL_PLACE, ""),
            get(sc.RESPONSE_MODEL) or get(sc.REQUEST_MODEL, ""),
            get(sc.CALL_ATTEMPT, 1),
            span.failed,
            get(sc.ERROR_TYPE),
            bool(get(sc.REQUEST_STREAM, False)),
            bool(get(sc.CALL_TRUNCATED, False)),
            span.start_ns,
            span.duration_ns,
            get(sc.SENT_NS),
            first_ns,
            pace.ns if pace else None,
            pace.source if pace else None,
            get(sc.INPUT_TOKENS),
            get(sc.CACHED_TOKENS),
            output_tokens,
            get(sc.REQUEST_MAX_TOKENS) if get(sc.CALL_SCRIPTED) else None,
            len(times_us),
            queue_ns,
            prefill_ns,
            decode_ns,
            get(sc.ENGINE_LOAD_NS),
            get(sc.ENGINE_INFERENCE_NS),
            get(sc.ENGINE_SOURCE),
            self._path_ns(at),
            *[by_phase[phase] for phase in CALL_PHASES],
            self.schedule.slacks()[at],
            self._drag(at),
            get(sc.POOL_WAIT_NS),
            get(sc.CONNECT_NS),
            get(sc.HEADERS_NS),
            get(sc.LOOP_LAG_MAX_NS),
            None if first_ns is None or explained is None else first_ns - explained,
            int(times_us[-1]) * 1000 if times_us else None,
            len(set(times_us)),
            _finish_reason(get(sc.RESPONSE_FINISH_REASONS)),
            _names(get(sc.CALL_ADAPTED)),
            bool(get(sc.CALL_HIDDEN, False)),
            *prompts.next(span.attributes),
        )

    def _drag(self, at: int) -> int:
        if self.schedule.sequential or at not in self.on_path:
            return self._path_ns(at)
        return self.schedule.drag([at])

    def steps(self) -> list[Row]:
        """The rows of table steps, by position."""
        root, slacks = self.trace.root, self.schedule.slacks()
        rows = []
        for unit in self.units.all:
            path_ns = sum(map(self._path_ns, unit.members))
            on_path = any(at in self.on_path for at in unit.members)
            sequential = self.schedule.sequential or not on_path
            rows.append(
                (
                    self.trace_id,
                    self.warmup,
                    self.failed,
                    unit.position,
                    unit.label,
                    unit.kind,
                    unit.start_ns,
                    unit.end_ns,
                    path_ns,
                    max(0, min(unit.end_ns, root.end_ns) - root.start_ns),
                    *self._by_unit.get(unit, _NO_TIME).values(),
                    min(slacks[at] for at in unit.members),
                    path_ns if sequential else self.schedule.drag(unit.members),
                    on_path,
                )
            )
        return rows

    def tools(self) -> list[Row]:
        """The rows of table tools, in order of start."""
        rows = []
        for at in self.layout.tools:
            span, unit = self.layout.spans[at], self.units.of[at]
            get = span.attributes.get
            rows.append(
                (
                    self.trace_id,
                    span.span_id,
                    self.task_id,
                    self.warmup,
                    self.failed,
                    unit.position if unit else 0,
                    unit.label if unit else "",
                    get(sc.TOOL_NAME, ""),
                    span.failed,
                    get(sc.ERROR_TYPE),
                    span.start_ns,
                    span.duration_ns,
                    self._path_ns(at),
                    self.schedule.slacks()[at],
                    self._drag(at),
                    self._own_of_tool.get(at, 0),
                )
            )
        return rows

    def gaps(self) -> list[Row]:
        """The rows of table gaps, in order of time."""
        chain = self.trace_id, self.warmup, self.failed
        return gaps_of(chain, self.layout, self.units, self.path, sequential=self.schedule.sequential)

    def repairs(self) -> list[Row]:
        """The rows of table repairs: one for each kind."""
        counts: dict[str, tuple[int, str]] = {}
        for repair in self.trace.repairs:
            count, example = counts.get(repair.kind, (0, str(repair)))
            counts[repair.kind] = count + 1, example
        return [(self.trace_id, kind, count, example) for kind, (count, example) in counts.items()]


def _finish_reason(value: Any) -> str | None:
    """Why generation ended; of several choices all that differ, in their order."""
    if isinstance(value, str):
        return value
    if not isinstance(value, tuple | list) or not value:
        return None
    return ",".join(dict.fromkeys(map(str, value)))


def _names(value: Any) -> str | None:
    """A list of names with commas; None for none."""
    return ",".join(map(str, value)) or None if isinstance(value, tuple | list) else None


def _tokens_in_a_row(span: Span) -> int | None:
    """Output tokens that wait for each other: choices of one call are generated side by side."""
    tokens = span.attributes.get(sc.OUTPUT_TOKENS)
    return None if tokens is None else int(-(-tokens // max(span.attributes.get(sc.REQUEST_CHOICES, 1), 1)))
