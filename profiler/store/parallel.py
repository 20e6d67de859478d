"""A file of spans to rows, on all cores.

The file is cut into ranges of bytes; each worker takes the next when it has finished one, and reads the lines that
begin in it. Small files are read in this process: starting others would take longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from profiler.errors import DataError
from profiler.store import arrow, lines
from profiler.store.lines import BadLine, Part
from profiler.store.worker import Worker

RANGE_BYTES: Final = 8 << 20  # small enough that no core waits long for the last one
_ALONE_BYTES: Final = 12 << 20
_MOST_WORKERS: Final = 16
_BLOCK_BYTES: Final = 1 << 20

T = TypeVar("T")
Reader = Worker | ModuleType  # the module `lines`, which does the same in this process
Job = Callable[[Reader], T]


@dataclass(frozen=True)
class Content:
    """A file of spans, as rows."""

    tables: arrow.ArrowTables
    index: pa.Table  # of `arrow.INDEX`, in order of the offsets
    cut_off: bool  # its last line has no end: left out
    rootless: int  # traces without a root: left out


def read_spans(path: Path, *, processes: int | None = None, range_bytes: int = RANGE_BYTES) -> Content:
    """Read a whole file.

    Args:
        path: OTLP JSON lines.
        processes: how many to start; as many as there are cores if None, and none for a small file.
        range_bytes: what a process takes at a time.

    Raises:
        DataError: a line is not OTLP JSON, with its number.
        StoreError: a process that was reading ended.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    bounds = [(at, min(at + range_bytes, size)) for at in range(0, max(size, 1), range_bytes)]
    wanted = _suitable(size) if processes is None else processes
    with _readers(min(wanted, len(bounds))) as do:
        parts = do([_range_job(path, start, end) for start, end in bounds], lambda part: part.bad is not None)
        cut_off = _judge(path, parts)
        index = pa.concat_tables([part.index for part in parts])
        tables = arrow.joined([part.tables for part in parts])
        spread = _spread(index)
        rootless = {trace_id for part in parts for trace_id in part.rootless}
        if len(spread):
            again = do(_spread_jobs(path, index, spread, range_bytes), lambda _: False)
            joined = arrow.joined(again)
            rootless = (rootless | set(spread.to_pylist())) - set(joined["chains"]["trace_id"].to_pylist())
            tables = arrow.joined([arrow.without(tables, spread), joined])
    return Content(arrow.by_start(tables), index, cut_off, len(rootless))


def _suitable(size: int) -> int:
    if size <= _ALONE_BYTES:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)


def _range_job(path: Path, start: int, end: int) -> Job[Part]:
    return lambda reader: reader.rows_of_range(path, start, end)


@contextmanager
def _readers(processes: int) -> Iterator[Callable[[Sequence[Job[T]], Callable[[T], bool]], list[T]]]:
    """What does jobs in order and gives their results; after one that is `last`, those that have not begun are left."""
    if processes <= 1:
        yield _do_alone
        return
    workers = [Worker() for _ in range(processes)]
    threads = ThreadPoolExecutor(processes, thread_name_prefix="reader")

    def do(jobs: Sequence[Job[T]], is_last: Callable[[T], bool]) -> list[T]:
        return _do(threads, workers, jobs, is_last)

    try:
        yield do
    finally:
        for worker in workers:
            worker.stop()
        threads.shutdown()


def _do_alone(jobs: Sequence[Job[T]], is_last: Callable[[T], bool]) -> list[T]:
    results: list[T] = []
    for job in jobs:
        results.append(job(lines))
        if is_last(results[-1]):
            break
    return results


def _do(
    threads: ThreadPoolExecutor, workers: Sequence[Worker], jobs: Sequence[Job[T]], is_last: Callable[[T], bool]
) -> list[T]:
    waiting = iter(enumerate(jobs))  # one thread at a time takes from it: the interpreter's lock sees to that
    results: dict[int, T] = {}
    over = False

    def work(worker: Worker) -> None:
        nonlocal over
        try:
            for number, job in waiting:
                results[number] = job(worker)
                over = over or is_last(results[number])
                if over:
                    return
        except BaseException:
            over = True
            raise

    for each in [threads.submit(work, worker) for worker in workers]:
        each.result()
    return [results[number] for number in sorted(results)]


def _judge(path: Path, parts: Sequence[Part]) -> bool:
    """Whether the last line is cut off, as when a run was killed while writing.

    Raises:
        DataError: another line is bad, or the file was never one of spans.
    """
    bad = next((part.bad for part in parts if part.bad is not None), None)
    if bad is None:
        return False
    if bad.cut_off and (bad.begins_well or any(part.lines for part in parts)):
        return True
    raise DataError(
        f"{path}: line {_number(path, bad)} is not OTLP JSON: {bad.reason}",
        remedy='spans come as lines of {"resourceSpans": […]}; jq -c . makes one line of a document',
    )


def _number(path: Path, bad: BadLine) -> int:
    number, left = 1, bad.offset
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
            number += block.count(b"\n")
            left -= len(block)
    return number


def _spread(index: pa.Table) -> pa.Array:
    """Traces that are on several lines."""
    counts = pc.value_counts(index["trace_id"])
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _spread_jobs(path: Path, index: pa.Table, spread: pa.Array, range_bytes: int) -> list[Job[arrow.ArrowTables]]:
    """Traces are taken together that begin near each other: so they share lines, and few are read twice."""
    rows = index.filter(pc.is_in(index["trace_id"], spread))
    offsets, lengths = rows["offset"].to_pylist(), rows["length"].to_pylist()
    group_of: dict[str, int] = {}
    groups: dict[int, tuple[list[tuple[int, int]], list[str]]] = {}
    for offset, length, trace_id in zip(offsets, lengths, rows["trace_id"].to_pylist(), strict=True):
        group = group_of.setdefault(trace_id, offset // range_bytes)
        where, ids = groups.setdefault(group, ([], []))
        where.append((offset, length))
        ids.append(trace_id)
    return [_traces_job(path, where, ids) for where, ids in groups.values()]


def _traces_job(path: Path, where: list[tuple[int, int]], ids: list[str]) -> Job[arrow.ArrowTables]:
    return lambda reader: reader.rows_of_traces(path, where, ids)
