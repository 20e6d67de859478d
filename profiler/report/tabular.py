"""Metric tables for other programs: CSV and Parquet. docs/tables.md describes the columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import parquet

from profiler.analysis.columns import Tables


def named(tables: Tables) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each table with its name, as files are named after it."""
    for field in fields(tables):
        yield field.name, getattr(tables, field.name)


def tables_to_csv(table: pd.DataFrame) -> str:
    """One table as CSV with a header. Texts are in quotes, a missing value is nothing at all, a flag true or false."""
    sink = pa.BufferOutputStream()
    arrow_csv.write_csv(_arrow(table), sink)
    return str(sink.getvalue().to_pybytes().decode())


def tables_to_parquet(table: pd.DataFrame) -> bytes:
    """One table as a Parquet file; pandas reads it back with the same types."""
    sink = pa.BufferOutputStream()
    parquet.write_table(_arrow(table), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _arrow(table: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(table, preserve_index=False)
