"""Metric tables: a row per chain, call, step, tool and gap; typed, missing values missing.

Made in two halves, so that several processes can share the work: `columns_of` reads a batch of traces, `tables_of`
joins batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from profiler.analysis.columns import TYPES, Columns, Row, Tables, columns_from_rows, frame_of, tables_of
from profiler.analysis.model import Trace
from profiler.analysis.rows import ChainRows

__all__ = ["TYPES", "Columns", "Tables", "build_tables", "columns_of", "frame_of", "tables_of"]


def build_tables(traces: Sequence[Trace]) -> Tables:
    """Derive every table from the traces; nothing else is read."""
    return tables_of([columns_of(traces)])


def columns_of(traces: Iterable[Trace]) -> Columns:
    """The rows of a batch of traces, in their order, as plain columns."""
    rows: dict[str, list[Row]] = {table: [] for table in TYPES}
    for trace in traces:
        chain = ChainRows(trace)
        rows["chains"].append(chain.chain())
        rows["calls"] += chain.calls()
        rows["steps"] += chain.steps()
        rows["tools"] += chain.tools()
        rows["gaps"] += chain.gaps()
        rows["repairs"] += chain.repairs()
    return Columns(**{table: columns_from_rows(rows[table], types) for table, types in TYPES.items()})
