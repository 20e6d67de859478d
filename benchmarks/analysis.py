"""How long a report takes: from OTLP lines to the text in the terminal, first and from the cache.

    python benchmarks/analysis.py            10,000, 100,000 and 1,000,000 spans; 2 GB of disk for a minute or two
    python benchmarks/analysis.py --check    10,000 and 100,000, ratios only

Chains are recorded on the embedded engine and cloned (`clones.py`). Each figure is that of `profiler report` in a
process of its own, everything included: starting Python, reading, making tables, explaining, printing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil
from clones import clone_run
from results import circumstances, replace_section, table

from profiler.store.cache import cache_path
from profiler.store.manifest import SPANS_FILE

REPOSITORY = Path(__file__).parents[1]
SIZES = {10_000: 3, 100_000: 3, 1_000_000: 1}  # spans: rounds
CONSTANT = 1.3  # time per span at the larger size over that at the smaller, start-up apart
_SAMPLE_S = 0.05
_BUSY = 0.5
_LIBRARIES = ("pandas", "pyarrow", "msgspec", "numpy")


@dataclass(frozen=True)
class Report:
    """One run of `profiler report`."""

    wall_s: float
    cpu_s: float  # of all its processes
    peak_bytes: int  # resident, of all its processes together


@dataclass(frozen=True)
class Row:
    """What a size came to: medians of the rounds."""

    spans: int
    file_bytes: int
    cache_bytes: int
    first: Report
    again: Report


def report(run: Path, *options: str) -> Report:
    """`profiler report`, as a user gives it."""
    command = [sys.executable, "-m", "profiler", "report", str(run), *options]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
    peak = _Peak(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    peak_bytes = peak.stop()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return Report(wall_s, usage.ru_utime + usage.ru_stime, peak_bytes)


class _Peak:
    """The most memory that a process and those below it had at one moment, sampled in a thread."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            total = 0
            with suppress(psutil.Error):
                for process in (self._process, *self._process.children(recursive=True)):
                    with suppress(psutil.Error):
                        total += process.memory_info().rss
            self._most = max(self._most, total)


def measure(source: Path, folder: Path, spans: int, rounds: int) -> Row:
    """Clone a run to a size, report on it without and with the cache, remove it."""
    run = folder / str(spans)
    made = clone_run(source, run, spans)
    spans_path = run / SPANS_FILE
    cache = cache_path(spans_path)
    first, again = [], []
    for _ in range(rounds):
        cache.unlink(missing_ok=True)
        first.append(report(run))
        again.append(report(run))
    row = Row(
        made,
        spans_path.stat().st_size,
        cache.stat().st_size if cache.exists() else 0,
        _middle(first),
        _middle(again),
    )
    for path in (spans_path, cache):
        path.unlink(missing_ok=True)
    return row


def _middle(reports: Sequence[Report]) -> Report:
    return Report(
        median(each.wall_s for each in reports),
        median(each.cpu_s for each in reports),
        max(each.peak_bytes for each in reports),
    )


def record(folder: Path) -> Path:
    """Chains of the sample agent on the embedded engine."""
    run = folder / "source"
    command = [sys.executable, "-m", "profiler", "run", "agents/react.py", "--backend", "sim", "--out", str(run)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=300)
    return run


def per_span_us(row: Row, start: Report) -> float:
    """Processor time per span, without what any report takes."""
    return (row.first.cpu_s - start.cpu_s) / row.spans * 1e6


def results(rows: Sequence[Row], start: Report, busy: float) -> str:
    """The section of RESULTS.md; `busy` is how many other processes wanted a core when it began."""
    header = [
        "spans",
        "file",
        "wall",
        "CPU",
        "CPU per span",
        "peak memory",
        "again: wall",
        "CPU",
        "peak memory",
        "cache",
    ]
    lines = [
        [
            f"{row.spans:,}",
            f"{row.file_bytes / 1e6:,.0f} MB",
            f"{row.first.wall_s:.2f} s",
            f"{row.first.cpu_s:.2f} s",
            f"{per_span_us(row, start):.1f} µs",
            f"{row.first.peak_bytes / 1e6:,.0f} MB",
            f"{row.again.wall_s:.2f} s",
            f"{row.again.cpu_s:.2f} s",
            f"{row.again.peak_bytes / 1e6:,.0f} MB",
            f"{row.cache_bytes / 1e6:,.1f} MB" if row.cache_bytes else "none",
        ]
        for row in rows
    ]
    largest = rows[-1]
    memory = (largest.first.peak_bytes - start.peak_bytes) / largest.spans
    versions = {name: version(name) for name in _LIBRARIES}
    started = (
        f"Start-up, which is in all of them: {start.wall_s:.2f} s, {start.cpu_s:.2f} s of processor time, "
        f"{start.peak_bytes / 1e6:.0f} MB (a report on what was cloned). "
        f"Memory per span at the largest size: {memory:,.0f} bytes. "
        f"Bytes per span in the file: {largest.file_bytes / largest.spans:,.0f}."
    )
    others = (
        f"When it began, {busy:.1f} processes of others wanted a core (load average): wall times, and with shared "
        "caches processor times, are those of a busy machine."
        if busy >= _BUSY
        else "Nothing else wanted a core when it began."
    )
    anchor = (
        "For comparison: Uber's CRISP, on Jaeger spans of 465 bytes, took 12.5 s per million spans in its light mode "
        "and 16.5 s with reports, on two such cores."
    )
    return "\n\n".join(["## Analysis", circumstances(versions), table(header, lines), started, others, anchor])


def check(rows: Sequence[Row], start: Report) -> int:
    """Exit code by ratios within the run."""
    small, large = rows[0], rows[-1]
    growth = per_span_us(large, start) / per_span_us(small, start)
    cached = large.again.cpu_s / large.first.cpu_s
    print(f"processor time per span, {large.spans:,} over {small.spans:,} spans: {growth:.2f} (at most {CONSTANT})")
    print(f"processor time from the cache over reading the spans: {cached:.2f} (below 1)")
    return int(growth > CONSTANT or cached >= 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="a short version that writes nothing")
    short = parser.parse_args().check
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="profiler-analysis-") as scratch:
        folder = Path(scratch)
        source = record(folder)
        start = _middle([report(source) for _ in range(3)])
        sizes = dict.fromkeys(list(SIZES)[:2], 3) if short else SIZES
        rows = []
        for spans, rounds in sizes.items():
            rows.append(measure(source, folder, spans, rounds))
            print(f"{rows[-1].spans:,} spans: {rows[-1].first} again {rows[-1].again}", flush=True)
    if short:
        return check(rows, start)
    replace_section("analysis", results(rows, start, busy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
