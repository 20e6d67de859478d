"""Reading a run, or any file of OTLP JSON lines: the tables first, single traces when they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from profiler.analysis.columns import Tables
from profiler.analysis.load import with_load
from profiler.analysis.model import Trace
from profiler.analysis.provenance import CLOCK, is_of_adoption, provenance, without_strangers, without_twins
from profiler.errors import DataError
from profiler.store import arrow, cache
from profiler.store.engine_metrics import read_samples
from profiler.store.lines import gathered
from profiler.store.locate import locate
from profiler.store.manifest import Manifest
from profiler.store.parallel import Content, read_spans
from profiler.store.parse import MALFORMED


@dataclass(frozen=True)
class LoadedRun:
    """A run as it lies on disk."""

    path: Path
    manifest: Manifest | None  # None for a file of spans from elsewhere
    spans_path: Path
    tables: Tables
    index: pa.Table  # of `arrow.INDEX`: on which lines each trace is
    notes: list[str] = field(default_factory=list)  # what was wrong with the file, in words

    @cached_property
    def traces(self) -> list[Trace]:
        """All chains in the order of their start, read again: much memory for a large run."""
        return self.read_traces(self.tables.chains["trace_id"].tolist())

    def read_traces(self, trace_ids: Collection[str]) -> list[Trace]:
        """Single chains, in the order in which they are asked for.

        Raises:
            DataError: there is no such chain, or the file has changed since.
        """
        if not trace_ids:
            return []
        rows = self.index.filter(pc.is_in(self.index["trace_id"], pa.array(list(trace_ids), pa.string())))
        lines = list(zip(rows["offset"].to_pylist(), rows["length"].to_pylist(), strict=True))
        changed = _changed(self.spans_path)
        try:
            with _readable(self.spans_path):
                found = gathered(self.spans_path, lines, rows["trace_id"].to_pylist())
                by_id = {trace.trace_id: trace for trace in found if trace is not None}
        except MALFORMED as error:
            raise changed from error
        missing = [trace_id for trace_id in trace_ids if trace_id not in by_id]
        if missing and missing[0] in self.index["trace_id"].to_pylist():
            raise changed
        if missing:
            raise DataError(f"{self.path} has no finished chain {missing[0]}")
        return [by_id[trace_id] for trace_id in trace_ids]


def load_run(path: Path, *, use_cache: bool = True, processes: int | None = None) -> LoadedRun:
    """Read a run's folder, or a file of OTLP JSON lines.

    A truncated last line (a run that was killed while writing) is left out and noted. The tables of a large run are
    kept beside its spans for the next time, unless it is still being written.

    Args:
        path: the folder, or a file in it.
        use_cache: whether tables from an earlier time may be taken, and kept for a later one.
        processes: how many read; as many as there are cores if None.

    Raises:
        DataError: no such run, not a run, a newer format, or a line that is not of spans.
        StoreError: a process that was reading ended.
    """
    with _readable(path):
        manifest, spans = locate(path)
    with _readable(spans):
        caching = use_cache and (manifest is None or manifest.status != "running")
        content = _kept(spans, processes) if caching else _read(spans, processes)
    tables, strangers = without_strangers(arrow.to_tables(content.tables))
    tables, twins = without_twins(tables)
    samples = None if manifest is None else read_samples(spans.parent)
    tables = replace(tables, calls=with_load(tables.calls, samples))
    notes = list(_notes(spans, content, tables))
    if twins:
        notes.append(f"{twins} traces are single calls that another chain's spans record, too: counted once, there")
    if strangers:
        notes.append(f"traces in which nothing is recognised are left out: {strangers}")
    return LoadedRun(path, manifest, spans, tables, content.index, notes)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _kept(spans: Path, processes: int | None) -> Content:
    """From the cache, or read and then kept there."""
    before = spans.stat()
    if before.st_size < cache.LEAST_BYTES:
        return _read(spans, processes)
    kept = cache.load(spans)
    if kept is not None:
        return kept
    with ThreadPoolExecutor(1) as beside:  # reading leaves a core now and then
        hashing = beside.submit(cache.key_of, spans)
        content = _read(spans, processes)
        key = hashing.result()
    after = spans.stat()
    if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
        cache.save(spans, key, content)
    return content


def _read(spans: Path, processes: int | None) -> Content:
    """All of it; what does not fit together because the file was written anew meanwhile is not put down to the file."""
    before = spans.stat()
    try:
        content = read_spans(spans, processes=processes)
    except DataError as error:
        after = spans.stat()
        if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
            raise _changed(spans) from error
        raise
    after = spans.stat()
    grown = after.st_ino == before.st_ino and after.st_size > before.st_size  # by whole chains, as a run does
    if not grown and (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
        raise _changed(spans)
    return content


def _changed(spans: Path) -> DataError:
    return DataError(f"{spans} has changed while it was read", remedy="give the command again")


def _notes(spans: Path, content: Content, tables: Tables) -> Iterator[str]:
    if content.cut_off:
        yield f"the last line of {spans.name} is cut off: left out"
    foreign = list(provenance(tables.repairs))
    yield from foreign
    kinds = tables.repairs["kind"]
    repairs = tables.repairs[~is_of_adoption(kinds) & (kinds != CLOCK)]  # a clock that is off is so in every trace
    for trace_id, count, detail in zip(repairs["trace_id"], repairs["count"], repairs["detail"], strict=True):
        more = "" if count == 1 else f" ({count - 1} more such in this trace)"
        yield f"trace {trace_id}: {detail}{more}"
    if content.rootless:
        have = "trace has" if content.rootless == 1 else "traces have"
        what = "no root span, or nothing of a run in it" if foreign else "no root span"
        yield f"{content.rootless} {have} {what}: left out"
