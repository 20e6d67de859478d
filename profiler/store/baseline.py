"""Baselines: a run's manifest and metric tables without its spans, small enough to commit.

traces/baselines/main/run.json            the manifest, without paths of the machine
                      chains.parquet …    a file per table (docs/tables.md)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from profiler.analysis.columns import TYPES, Tables
from profiler.analysis.phases import PHASES
from profiler.errors import DataError
from profiler.store import arrow
from profiler.store.locate import read_manifest
from profiler.store.manifest import MANIFEST_FILE, SPANS_FILE, Manifest

FOLDER: Final = Path("traces") / "baselines"
_LONGEST_NS: Final = 2**53  # 104 days: what a float still tells to the nanosecond
_DURATIONS: Final = frozenset({"e2e_ns", "call_e2e_ns", "duration_ns", "path_ns", "ttft_ns", "tpot_ns"})
_OF_PHASES: Final = frozenset(f"{phase}_ns" for phase in PHASES)
NAMES: Final = tuple(field.name for field in fields(Tables))
_ADDED: Final[Mapping[str, tuple[str, ...]]] = {"chains": ("task_tags",)}  # since the first version: may lack


def is_baseline(path: Path) -> bool:
    """Whether a folder is a baseline and no run."""
    return (path / MANIFEST_FILE).is_file() and (path / "chains.parquet").is_file() and not (path / SPANS_FILE).exists()


def load_baseline(path: Path) -> tuple[Manifest, Tables]:
    """Read one.

    Raises:
        DataError: it is not whole, of a newer format, or its tables have other columns than this profiler's.
    """
    manifest = read_manifest(path / MANIFEST_FILE)
    tables: dict[str, pa.Table] = {}
    for name in NAMES:
        file = path / f"{name}.parquet"
        try:
            tables[name] = parquet.ParquetFile(file).read()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot read {file} of a baseline: {error}", remedy=_REMEDY) from error
        for column in _ADDED.get(name, ()):
            if column not in tables[name].column_names:
                none = pa.nulls(len(tables[name]), arrow.SCHEMAS[name].field(column).type)
                tables[name] = tables[name].append_column(column, none)
        missing = sorted(set(TYPES[name]) - set(tables[name].column_names))
        if missing:
            raise DataError(f"{file} lacks {', '.join(missing)}: another version kept it", remedy=_REMEDY)
    try:
        found = arrow.to_tables(tables)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{path} has tables of other types: {error}", remedy=_REMEDY) from error
    for wrong in _contradictions(found):
        raise DataError(f"{path} contradicts itself: {wrong}", remedy=_REMEDY)
    return manifest, found


def portable(manifest: Manifest, here: Path) -> Manifest:
    """The manifest without paths of this machine: what is committed is read elsewhere, by others.

    Files below `here` stay, relative to it; of others the name is left. What runs are compared by has no such path.
    """
    command = [str(word) for word in manifest.engine.get("command") or ()]
    flags_at = next((at for at, word in enumerate(command) if word.startswith("-")), len(command))
    truth_at = {at + 1 for at, word in enumerate(command) if word == "--truth"}
    shown = [
        _shown(word, here) if at < flags_at or at in truth_at else word  # its program, its log; flags are compared
        for at, word in enumerate(command)
    ]
    tables = {name: dict(getattr(manifest, name) or {}) for name in _PATHS}
    for name, keys in _PATHS.items():
        tables[name].update({key: _shown(tables[name][key], here) for key in keys if tables[name].get(key)})
    if command:
        tables["engine"]["command"] = shown
    return manifest.model_copy(update={name: table for name, table in tables.items() if table})


def _shown(path: str, here: Path) -> str:
    if not Path(path).is_absolute():
        return path
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else Path(path).name


def _contradictions(tables: Tables) -> Iterator[str]:
    """What the tables of no run can hold: such a baseline was changed by hand, or put together from several."""
    chains = tables.chains
    if chains["trace_id"].duplicated().any():
        yield "chains.parquet has a chain twice"
    known = set(chains["trace_id"])
    for name in NAMES:
        table = getattr(tables, name)
        if not set(table["trace_id"]) <= known:
            yield f"{name}.parquet has rows of chains that chains.parquet lacks"
        if "span_id" in table.columns and table.duplicated(["trace_id", "span_id"]).any():
            yield f"{name}.parquet has a span twice"
        for column in table.columns:
            if column in _DURATIONS or (name == "chains" and column in _OF_PHASES):
                values = table[column].dropna()
                if not values.between(0, _LONGEST_NS).all():
                    yield f"{name}.parquet has {column} below 0 or above 104 days"
    if not (chains["e2e_ns"][~chains["failed"]] > 0).all():
        yield "chains.parquet has a chain without duration"


_PATHS: Final[Mapping[str, tuple[str, ...]]] = {  # of the manifest's tables
    "agent": ("path",),
    "engine": ("python",),
    "script": ("path",),
    "flags": ("agent", "out", "tasks_path", "script_path", "record_script", "vllm_python"),
}
_REMEDY = "set it anew: profiler baseline set NAME RUN"
