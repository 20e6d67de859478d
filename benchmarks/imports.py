"""How much memory an import takes: `profiler import` of a file, by the number of chains in it.

    python benchmarks/imports.py            1,000, 10,000 and 100,000 chains; 7 GB of disk for a while
    python benchmarks/imports.py --check    1,000 and 10,000, memory only

Chains are recorded on the embedded engine, exported once (`profiler export --format otlp`) and cloned (`clones.py`).
Each figure is that of the command in a process of its own. Memory is the peak of its resident size: what grows with
the number of chains is an index of where each is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from analysis import record
from clones import clone_run
from results import circumstances, replace_section, table

from profiler.store.manifest import SPANS_FILE

REPOSITORY = Path(__file__).parents[1]
SIZES = (1_000, 10_000, 100_000)  # chains
MOST_PER_CHAIN = 2_000  # bytes: a chain's line has fifteen times as much
_KIB = 1024


@dataclass(frozen=True)
class Row:
    """What a size came to."""

    chains: int
    spans: int
    file_bytes: int
    wall_s: float
    cpu_s: float
    peak_bytes: int


def command(*arguments: str | Path) -> tuple[float, float, int]:
    """Wall time, processor time and peak memory of the profiler's command."""
    program = [sys.executable, "-m", "profiler", *map(str, arguments)]
    began = time.perf_counter()
    process = subprocess.Popen(program, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(program)} ended with exit code {process.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _KIB


def measure(source: Path, folder: Path, chains: int) -> Row:
    """Clone to a size, import, remove both."""
    per_chain = source.joinpath(SPANS_FILE).read_bytes()
    lines = per_chain.count(b"\n")
    run = folder / "cloned"
    spans = clone_run(source, run, per_chain.count(b'"spanId"') * chains // lines)
    path = run / SPANS_FILE
    target = folder / "imported"
    wall_s, cpu_s, peak = command("import", path, "--out", target)
    row = Row(chains, spans, path.stat().st_size, wall_s, cpu_s, peak)
    imported = target / SPANS_FILE
    with imported.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines < chains * 99 // 100:
        raise SystemExit(f"{imported} does not have the {chains} chains that were imported")
    for each in (*run.iterdir(), *target.iterdir()):
        each.unlink()
    run.rmdir()
    target.rmdir()
    return row


def growth(rows: Sequence[Row]) -> float:
    """Bytes of memory per chain, from the smallest size to the largest."""
    return (rows[-1].peak_bytes - rows[0].peak_bytes) / (rows[-1].chains - rows[0].chains)


def results(rows: Sequence[Row]) -> str:
    """The section of RESULTS.md."""
    header = ["chains", "spans", "file", "wall", "CPU", "peak memory"]
    lines = [
        [
            f"{row.chains:,}",
            f"{row.spans:,}",
            f"{row.file_bytes / 1e6:,.0f} MB",
            f"{row.wall_s:.1f} s",
            f"{row.cpu_s:.1f} s",
            f"{row.peak_bytes / 1e6:,.0f} MB",
        ]
        for row in rows
    ]
    told = (
        f"Memory per chain, from the smallest size to the largest: {growth(rows):,.0f} bytes; a chain has "
        f"{rows[-1].file_bytes / rows[-1].chains:,.0f} in the file. "
        f"Load average when it ended: {os.getloadavg()[0]:.1f}."
    )
    versions = {"orjson": version("orjson")}
    return "\n\n".join(["## Imports", circumstances(versions), table(header, lines), told])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="a short version that writes nothing")
    short = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="profiler-imports-") as scratch:
        folder = Path(scratch)
        recorded = record(folder)
        source = folder / "exported"
        source.mkdir()
        command("export", recorded, "--format", "otlp", "-o", source / SPANS_FILE)
        (source / "run.json").write_bytes((recorded / "run.json").read_bytes())
        rows = []
        for chains in SIZES[:2] if short else SIZES:
            rows.append(measure(source, folder, chains))
            print(rows[-1], flush=True)
    if short:
        print(f"memory per chain: {growth(rows):,.0f} bytes (at most {MOST_PER_CHAIN:,})")
        return int(growth(rows) > MOST_PER_CHAIN)
    replace_section("imports", results(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
