"""The spans of a part of a file, as rows: what one process does with one range of bytes.

A trace is made into rows as soon as its line is read, if all that it needs is there, so that no more than a few
traces are in memory. Whether another line has more of it is known only when the whole file has been seen: the index
says on which lines each trace is, and traces that are on several are read again, together (`rows_of_traces`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from profiler.analysis.foreign import trace_of
from profiler.analysis.model import Span, Trace
from profiler.analysis.tables import columns_of
from profiler.store import arrow
from profiler.store.dialects import NotSpans
from profiler.store.parse import MALFORMED, spans_of_line, what_is_wrong

MAX_LINE_BYTES: Final = 512 * 1024 * 1024
_LINE_BEGINS: Final = b'{"resourceSpans":'
_BATCH_SPANS: Final = 20_000  # so many are in memory before they become rows
_SKIP_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class BadLine:
    """A line that is not OTLP JSON."""

    offset: int
    reason: str
    cut_off: bool  # it has no end
    begins_well: bool  # as far as it goes


@dataclass(frozen=True)
class Part:
    """What a range of bytes holds."""

    tables: arrow.ArrowTables
    index: pa.Table  # of `arrow.INDEX`
    rootless: list[str]  # traces that have no root on their line
    lines: int  # with something in them
    bad: BadLine | None


@dataclass
class _Seen:
    traces: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    rootless: list[str] = field(default_factory=list)
    lines: int = 0
    bad: BadLine | None = None


def rows_of_range(path: Path, start: int, end: int) -> Part:
    """Read the lines that begin within a range of bytes, up to the first that is not OTLP JSON.

    Raises:
        OSError: the file cannot be read.
    """
    seen = _Seen()
    with path.open("rb") as file:
        tables = arrow.joined(list(_batches(_whole_traces(_lines(file, start, end), seen))))
    index = arrow.index_from(seen.traces, seen.offsets, seen.lengths)
    return Part(tables, index, seen.rootless, seen.lines, seen.bad)


def rows_of_traces(path: Path, lines: Sequence[tuple[int, int]], ids: Sequence[str]) -> arrow.ArrowTables:
    """Rows of traces that are spread over lines.

    Args:
        path: the file.
        lines: offset and length of every line that has spans of these traces, in order, once for each trace on it.
        ids: of each of these lines, the trace.

    Raises:
        OSError: the file cannot be read.
    """
    return arrow.joined(list(_batches(trace for trace in gathered(path, lines, ids) if trace is not None)))


def gathered(path: Path, lines: Sequence[tuple[int, int]], ids: Sequence[str]) -> Iterator[Trace | None]:
    """Traces that are spread over lines, each when its last line has been read; None for one without a root.

    Arguments are those of `rows_of_traces`.
    """
    left: dict[str, int] = {}
    for trace_id in ids:
        left[trace_id] = left.get(trace_id, 0) + 1
    waiting: dict[str, list[Span]] = {}
    at, found = -1, {}
    with path.open("rb") as file:
        for (offset, length), trace_id in zip(lines, ids, strict=True):
            if offset != at:
                file.seek(offset)
                at, found = offset, _by_trace(spans_of_line(file.read(length)))
            waiting.setdefault(trace_id, []).extend(found.get(trace_id, ()))
            left[trace_id] -= 1
            if not left[trace_id]:
                yield trace_of(waiting.pop(trace_id))


def _lines(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Offset and content; of a line that is too long, what is read of it is one byte too much."""
    file.seek(max(start - 1, 0))
    while start and not (skipped := file.readline(_SKIP_BYTES)).endswith(b"\n"):
        if not skipped:
            return
    at = file.tell()
    while at < end:
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        yield at, line
        at += len(line)


def _whole_traces(lines: Iterable[tuple[int, bytes]], seen: _Seen) -> Iterator[Trace]:
    for offset, line in lines:
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE_BYTES:
                raise NotSpans(f"it has more than {MAX_LINE_BYTES} bytes")
            spans = spans_of_line(line)
        except MALFORMED as error:
            begins_well = _LINE_BEGINS.startswith(line[: len(_LINE_BEGINS)])
            cut_off = len(line) <= MAX_LINE_BYTES and not line.endswith(b"\n")
            seen.bad = BadLine(offset, what_is_wrong(error), cut_off=cut_off, begins_well=begins_well)
            return
        seen.lines += 1
        for trace_id, group in _by_trace(spans).items():
            seen.traces.append(trace_id)
            seen.offsets.append(offset)
            seen.lengths.append(len(line))
            trace = trace_of(group)
            if trace is None:
                seen.rootless.append(trace_id)
            else:
                yield trace


def _by_trace(spans: Iterable[Span]) -> dict[str, list[Span]]:
    groups: dict[str, list[Span]] = {}
    for span in spans:
        groups.setdefault(span.trace_id, []).append(span)
    return groups


def _batches(traces: Iterable[Trace]) -> Iterator[arrow.ArrowTables]:
    batch: list[Trace] = []
    size = 0
    for trace in traces:
        batch.append(trace)
        size += len(trace.spans)
        if size >= _BATCH_SPANS:
            yield arrow.from_columns(columns_of(batch))
            batch, size = [], 0
    if batch:
        yield arrow.from_columns(columns_of(batch))
