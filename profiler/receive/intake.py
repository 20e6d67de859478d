"""What becomes of each received span: kept with the run, told as the engine's loading, or counted.

    of a trace of the run       written to its spans.jsonl, after the chain's own spans
    ended before the run began  part of the engine's loading
    anything else               counted: other clients of the engine, health checks

A chain's spans are written when it ends, most of the engine's arrive before: they are held until then, so that a run
that is killed has none without their chain. Everything here happens in the receiver's thread, except `begin`,
`facts` and `loading`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from profiler.receive.documents import line_of, spans_of
from profiler.receive.forward import Forward
from profiler.store.manifest import EngineSpans, LoadingSpan

MOST_LOADING: Final = 500  # spans; vLLM sends a dozen for each of its processes
MOST_HELD_BYTES: Final = 64 << 20  # of chains that go on; more are dropped and counted

_TRACE_BYTES, _SPAN_BYTES = 16, 8
_LATEST_NS: Final = 1 << 63
_PROCESS: Final = ("vllm.process_name", "vllm.instrumenting_module_name", "service.name")
_OF_REQUESTS: Final = "gen_ai."


@dataclass(frozen=True, slots=True)
class Answered:
    """A chain that has been written, and its calls of which a span of the engine is to be expected."""

    trace_id: int
    calls: Sequence[int]  # their span ids


class Intake:
    """Sorts received spans, and keeps account of them."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        """`now_ns` is the time since the epoch."""
        self._now_ns = now_ns
        self._is_ours: Callable[[int], bool] = lambda trace_id: False  # noqa: ARG005 - there is no run yet
        self._write: Callable[[bytes], bool] = lambda line: False  # noqa: ARG005
        self.forward: Forward | None = None  # where what is kept goes as well
        self._began_ns: int | None = None
        self._written: set[int] = set()  # chains
        self._held: dict[int, list[tuple[bytes, int]]] = {}  # lines, with how many spans they have
        self._held_bytes = 0
        self._asked: set[int] = set()  # calls that no span has come for
        self._early: set[int] = set()  # parents of spans that came before their chain was written
        self._loading: list[tuple[Span, str]] = []
        self._counts = Counter[str]()
        self._refused = Counter[str]()
        self.complete = threading.Event()
        self.complete.set()

    def begin(self, is_ours: Callable[[int], bool], write: Callable[[bytes], bool]) -> None:
        """The run begins.

        Args:
            is_ours: whether a trace is one of the run's.
            write: appends a line to the run's spans, and says whether it could.
        """
        self._is_ours, self._write, self._began_ns = is_ours, write, self._now_ns()

    # --- in the receiver's thread ------------------------------------------------------------------------

    def take(self, request: ExportTraceServiceRequest, protocol: str) -> None:
        """Sort the spans of a request."""
        self._counts[f"over {protocol}"] += 1
        ours: dict[int, int] = {}
        for span, _, resource_spans in spans_of(request):
            self._counts["received"] += 1
            trace_id = int.from_bytes(span.trace_id)
            if not _is_whole(span):
                self._counts["malformed"] += 1
            elif self._is_ours(trace_id):
                ours[trace_id] = ours.get(trace_id, 0) + 1
                self._note_answer(span)
            elif self._is_loading(span):
                self._keep_loading(span, resource_spans.resource)
            else:
                self._counts["other"] += 1
        for trace_id, spans in ours.items():
            self._store(trace_id, line_of(request, partial(_is_of, trace_id)), spans)
        self._tell_whether_complete()

    def is_asked(self, span_id: int) -> bool:
        """Whether a call's span of the engine is still to come."""
        return span_id in self._asked

    def refuse(self, kind: str) -> None:
        """Count what was not taken."""
        self._refused[kind] += 1

    def answered(self, chain: Answered) -> None:
        """A chain has been written: so may be what the engine sent of it."""
        self._written.add(chain.trace_id)
        for span_id in chain.calls:
            self._counts["calls"] += 1
            if span_id in self._early:
                self._early.discard(span_id)
                self._counts["joined"] += 1
            else:
                self._asked.add(span_id)
        for line, spans in self._held.pop(chain.trace_id, ()):
            self._held_bytes -= len(line)
            self._append(chain.trace_id, line, spans)
        self._tell_whether_complete()

    def _note_answer(self, span: Span) -> None:
        parent = int.from_bytes(span.parent_span_id)
        if parent in self._asked:
            self._asked.discard(parent)
            self._counts["joined"] += 1
        elif int.from_bytes(span.trace_id) not in self._written:
            self._early.add(parent)

    def _store(self, trace_id: int, line: bytes, spans: int) -> None:
        if trace_id in self._written:
            self._append(trace_id, line, spans)
        elif self._held_bytes + len(line) > MOST_HELD_BYTES:
            self._counts["dropped"] += spans
        else:
            self._held.setdefault(trace_id, []).append((line, spans))
            self._held_bytes += len(line)

    def _append(self, trace_id: int, line: bytes, spans: int) -> None:
        self._counts["kept" if self._write(line) else "dropped"] += spans
        if self.forward is not None:
            self.forward.line(trace_id, line, spans)

    def _is_loading(self, span: Span) -> bool:
        before = self._began_ns is None or span.end_time_unix_nano <= self._began_ns
        return before and not any(pair.key.startswith(_OF_REQUESTS) for pair in span.attributes)

    def _keep_loading(self, span: Span, resource: Resource) -> None:
        if len(self._loading) >= MOST_LOADING:
            self._counts["other"] += 1
            return
        told = {pair.key: pair.value.string_value for pair in resource.attributes}
        process = next((told[name] for name in _PROCESS if told.get(name)), "")
        self._loading.append((span, process))

    def _tell_whether_complete(self) -> None:
        if self._asked:
            self.complete.clear()
        else:
            self.complete.set()

    # --- when the run is over ----------------------------------------------------------------------------

    def facts(self, endpoint: str, waited_s: float) -> EngineSpans:
        """The account, for the manifest; of chains that never ended nothing is kept."""
        counts = self._counts.copy()
        unended = sum(spans for lines in list(self._held.values()) for _, spans in lines)
        return EngineSpans(
            endpoint=endpoint,
            requests={name: counts[f"over {name}"] for name in ("grpc", "http") if counts[f"over {name}"]},
            received=counts["received"],
            kept=counts["kept"],
            other=counts["other"],
            malformed=counts["malformed"],
            dropped=counts["dropped"] + unended,
            refused=dict(self._refused.copy()),
            calls=counts["calls"],
            joined=counts["joined"],
            waited_s=round(waited_s, 3),
        )

    def loading(self) -> list[LoadingSpan]:
        """The engine's start, as far as it told of it, by time."""
        spans = sorted(
            self._loading.copy(), key=lambda each: (each[0].start_time_unix_nano, -each[0].end_time_unix_nano)
        )
        if not spans:
            return []
        first_ns = spans[0][0].start_time_unix_nano
        parents = {(span.trace_id, span.span_id): span.parent_span_id for span, _ in spans}
        return [
            LoadingSpan(
                name=span.name[:200],
                process=process[:200],
                start_s=(span.start_time_unix_nano - first_ns) / 1e9,
                seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                depth=_depth(span, parents),
            )
            for span, process in spans
        ]


def _is_of(trace_id: int, span: Span) -> bool:
    return int.from_bytes(span.trace_id) == trace_id and _is_whole(span)


def _is_whole(span: Span) -> bool:
    """Whether it can stand in a file of spans: one that has no times or ids would make the file unreadable."""
    ids = len(span.trace_id) == _TRACE_BYTES and len(span.span_id) == _SPAN_BYTES
    above = len(span.parent_span_id) in (0, _SPAN_BYTES)
    return ids and above and 0 < span.start_time_unix_nano <= span.end_time_unix_nano < _LATEST_NS


def _depth(span: Span, parents: dict[tuple[bytes, bytes], bytes]) -> int:
    """How many spans it is in; those that refer to each other in a circle are as deep as there are spans."""
    depth, above = 0, parents.get((span.trace_id, span.span_id), b"")
    while (span.trace_id, above) in parents and depth < len(parents):
        depth += 1
        above = parents[span.trace_id, above]
    return depth
