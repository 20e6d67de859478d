"""Tables as Arrow: how rows travel from the processes that read a file, and how they lie in the cache.

pandas would make an object of each value on the way; Arrow's buffers are copied as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc

from profiler.analysis.columns import TYPES, Columns, Tables, encodable, may_miss

_ARROW: Final[Mapping[str, pa.DataType]] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "Int64": pa.int64(),
    "Float64": pa.float64(),
    "bool": pa.bool_(),
    "boolean": pa.bool_(),
}
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    table: pa.schema([pa.field(name, _ARROW[dtype]) for name, dtype in types.items()]) for table, types in TYPES.items()
}
# Where each trace lies in the file of spans: a row for each line that has spans of it.
INDEX: Final = pa.schema([("trace_id", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])

ArrowTables = dict[str, pa.Table]


def no_rows() -> ArrowTables:
    """Tables without rows."""
    return {table: schema.empty_table() for table, schema in SCHEMAS.items()}


def from_columns(columns: Columns) -> ArrowTables:
    """One batch of rows."""
    return {table: _table(getattr(columns, table), schema) for table, schema in SCHEMAS.items()}


def index_from(traces: Sequence[str], offsets: Sequence[int], lengths: Sequence[int]) -> pa.Table:
    """Where traces lie: an entry of each for each line."""
    return _table({"trace_id": traces, "offset": offsets, "length": lengths}, INDEX)


def _table(values: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([_array(values[field.name], field.type) for field in schema], schema=schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array(encodable(values), kind)


def joined(batches: Sequence[ArrowTables]) -> ArrowTables:
    """Batches after one another."""
    if not batches:
        return no_rows()
    return {table: pa.concat_tables([batch[table] for batch in batches]) for table in SCHEMAS}


def without(tables: ArrowTables, trace_ids: pa.Array) -> ArrowTables:
    """All rows but those of these traces."""
    return {name: table.filter(pc.invert(pc.is_in(table["trace_id"], trace_ids))) for name, table in tables.items()}


def by_start(tables: ArrowTables) -> ArrowTables:
    """Chains in the order of their start, and the rows of the other tables in that of their chains."""
    chains = tables["chains"]
    starts = chains["start_ns"].to_numpy()
    if (starts[1:] >= starts[:-1]).all():
        return tables
    chains = chains.take(pa.array(starts.argsort(kind="stable")))
    ids = chains["trace_id"].combine_chunks()
    ordered = {"chains": chains}
    for name, table in tables.items():
        if name != "chains":
            rank = pc.index_in(table["trace_id"], ids).to_numpy()
            ordered[name] = table.take(pa.array(rank.argsort(kind="stable")))
    return ordered


def stream_of(table: pa.Table, *, compression: str | None = None) -> pa.Buffer:
    """A table as an Arrow stream, in one piece."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def from_stream(stream: pa.Buffer | bytes) -> pa.Table:
    """The other way.

    Raises:
        pa.ArrowException: it is not an Arrow stream.
    """
    return pa.ipc.open_stream(stream).read_all()


def are_possible(tables: ArrowTables, index: pa.Table, size: int) -> bool:
    """Whether tables that come from a file can be of a file of spans of that size: what later steps rely on.

    Nothing is missing where nothing can be, each chain is there once, other rows are of chains that are there, and the
    index points into the file.
    """
    whole = all(
        table[name].null_count == 0
        for of, table in tables.items()
        for name, dtype in TYPES[of].items()
        if not may_miss(name, dtype)
    )
    if not whole or any(index[name].null_count for name in INDEX.names):
        return False
    ids = tables["chains"]["trace_id"].combine_chunks()
    if pc.count_distinct(ids).as_py() != len(ids):
        return False
    if not all(_all(pc.is_in(table["trace_id"], ids)) for table in tables.values()):
        return False
    offset, length = index["offset"], index["length"]
    inside = pc.and_(pc.greater_equal(offset, 0), pc.and_(pc.greater(length, 0), pc.less_equal(length, size)))
    return (
        _all(inside)
        and _all(pc.less_equal(offset, pc.subtract(size, length)))
        and _all(pc.is_in(ids, index["trace_id"].combine_chunks()))
    )


def _all(values: Any) -> bool:
    return bool(pc.all(values, min_count=0).as_py())


def to_tables(tables: ArrowTables) -> Tables:
    """As pandas, with the types that docs/tables.md promises."""
    return Tables(**{name: _frame(table, TYPES[name]) for name, table in tables.items()})


def _frame(table: pa.Table, types: Mapping[str, str]) -> Any:
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, dtype in types.items():
        values = table[name].combine_chunks()
        if dtype in ("int64", "bool"):
            columns[name] = values.to_numpy(zero_copy_only=False)
        else:
            columns[name] = cast("Any", pd.api.types.pandas_dtype(dtype)).__from_arrow__(values)
    return pd.DataFrame(columns, copy=False)
