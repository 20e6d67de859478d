"""`engine-metrics.jsonl`: how busy the engine was while a run went on, one line for each time that it was asked.

    {"format": "profiler-engine-metrics", "version": 1, "source": "vllm", "address": …, "period_s": 0.25, "names": {…}}
    {"time_ns": 1764115200000000000, "took_ns": 1200000, "running": 3, "waiting": 0, "kv_cache_usage": 0.12, …}

Written line by line, so that a run that is killed keeps what there was. It is no part of the spans: a run without it
lacks four columns' values, and nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from profiler.analysis.samples import FIELDS, Samples
from profiler.errors import StoreError

ENGINE_METRICS_FILE: Final = "engine-metrics.jsonl"
FORMAT: Final = "profiler-engine-metrics"
VERSION: Final = 1
_MOST_BYTES: Final = 1 << 30  # a month at four a second


class SampleWriter:
    """The open file of a run's samples; it is made with the first line."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        """Begin the file.

        Raises:
            StoreError: it cannot be written.
        """
        self._path = path
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        self._write({"format": FORMAT, "version": VERSION, **header})

    def write(self, time_ns: int, took_ns: int, values: Mapping[str, float]) -> None:
        """Append a sample.

        Args:
            time_ns: when the engine was asked, on the spans' clock.
            took_ns: until it had answered.
            values: by the names in `FIELDS`; what the engine does not tell is left out.

        Raises:
            StoreError: it cannot be written.
        """
        told = {name: int(value) if value == int(value) else value for name, value in values.items()}
        self._write({"time_ns": time_ns, "took_ns": took_ns, **told})

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_samples(folder: Path) -> Samples | None:
    """The samples of a run in the order of their times; None if there are none that can be read.

    A line that is cut off, or is none, is passed over: the file tells of a run and is not the run.
    """
    path = folder / ENGINE_METRICS_FILE
    rows: list[tuple[int, ...] | tuple[float, ...]] = []
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        with path.open("rb") as file:
            header = _object(file.readline())
            if header.get("format") != FORMAT or header.get("version") != VERSION:
                return None
            for line in file:
                row = _object(line)
                if _is_count(row.get("time_ns")):
                    rows.append((row["time_ns"], *(_figure(row.get(name)) for name in FIELDS)))
    except OSError:
        return None
    rows.sort(key=lambda row: row[0])
    times, *columns = zip(*rows, strict=True) if rows else ((),) * (1 + len(FIELDS))
    return Samples.of(times, dict(zip(FIELDS, columns, strict=True)))


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _figure(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if 0 <= value < 2**53 else math.nan
