"""Baselines: a run's manifest and metric tables without its spans, small enough to commit.

traces/baselines/main/run.json            the manifest, as it was
                      chains.parquet …    a file per table (docs/tables.md)
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from profiler.analysis.columns import TYPES, Tables
from profiler.errors import DataError
from profiler.store import arrow
from profiler.store.locate import read_manifest
from profiler.store.manifest import MANIFEST_FILE, SPANS_FILE, Manifest

FOLDER: Final = Path("traces") / "baselines"
NAMES: Final = tuple(field.name for field in fields(Tables))


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
        missing = sorted(set(TYPES[name]) - set(tables[name].column_names))
        if missing:
            raise DataError(f"{file} lacks {', '.join(missing)}: another version kept it", remedy=_REMEDY)
    try:
        return manifest, arrow.to_tables(tables)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{path} has tables of other types: {error}", remedy=_REMEDY) from error


_REMEDY = "set it anew: profiler baseline set NAME RUN"
