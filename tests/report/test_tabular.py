"""Tables for other programs keep names, types and missing values."""

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from profiler.analysis.columns import TYPES, Columns, columns_from_rows, frame_of, tables_of
from profiler.analysis.load import LOADED
from profiler.report.tabular import named, tables_to_csv, tables_to_parquet

DOCS = Path(__file__).parents[2] / "docs" / "tables.md"
HOSTILE = 'a "quoted", text\nof\tlines </script>'


def repairs(*rows):
    types = TYPES["repairs"]
    return frame_of(columns_from_rows(rows, types), types)


def empty_tables():
    return tables_of([Columns(**{name: columns_from_rows((), types) for name, types in TYPES.items()})])


def documented():
    """Table -> column -> type, as docs/tables.md says."""
    found = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            columns = found[line[3:]] = {}
        elif row := re.match(r"\| `(\w+)` \| (\w+) \|", line):
            columns[row[1]] = row[2]
    return found


def test_every_column_is_documented_with_its_type_in_its_order():
    assert {name: list(columns.items()) for name, columns in documented().items()} == {
        name: list(types.items()) for name, types in LOADED.items()
    }


def test_a_column_of_nanoseconds_says_so_in_its_name_and_in_its_unit():
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if row := re.match(r"\| `(\w+)` \| \w+ \| ([^|]*) \|", line):
            assert row[1].endswith("_ns") == row[2].startswith("ns"), line


def test_csv_keeps_what_is_missing_apart_from_what_is_empty():
    text = tables_to_csv(repairs(("t", "", 1, None)))
    assert text == '"trace_id","kind","count","detail"\n"t","",1,\n'


def test_csv_keeps_any_text():
    text = tables_to_csv(repairs(("t", HOSTILE, 1, "")))
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == ["t", HOSTILE, "1", ""]


def test_parquet_keeps_any_text_and_what_is_missing():
    table = repairs(("t", HOSTILE, 1, None), ("t", "", 2**62 + 1, "x"))
    again = pd.read_parquet(io.BytesIO(tables_to_parquet(table)))
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize("name", TYPES)
def test_a_table_without_rows_has_its_columns(name):
    table = dict(named(empty_tables()))[name]
    header = next(csv.reader(io.StringIO(tables_to_csv(table))))
    assert header == list(TYPES[name])
    again = pd.read_parquet(io.BytesIO(tables_to_parquet(table)))
    assert {column: str(dtype) for column, dtype in again.dtypes.items()} == dict(TYPES[name])
