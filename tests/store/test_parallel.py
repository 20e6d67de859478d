"""However a file is cut into ranges, and whoever reads them, the rows are those of the file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import recorded_run, rows_of, span_line, spread_file

from profiler.analysis.columns import TYPES
from profiler.errors import DataError
from profiler.store import arrow, lines
from profiler.store.parallel import read_spans


@settings(max_examples=25, deadline=None)
@given(places=st.lists(st.integers(0, 4), max_size=10), range_bytes=st.integers(90, 900))
def test_any_cut_into_ranges_gives_the_same_rows_of(tmp_path_factory, places, range_bytes):
    path = tmp_path_factory.mktemp("spans") / "x.jsonl"
    spread_file(path, places)
    whole = read_spans(path, processes=1)
    cut = read_spans(path, processes=1, range_bytes=range_bytes)
    assert rows_of(cut) == rows_of(whole)
    assert sorted(row["trace_id"] for row in rows_of(whole)["chains"]) == sorted({f"t{trace}" for trace in places})
    assert cut.index.equals(whole.index)
    assert rows_of(whole)["repairs"] == []


def test_chains_are_in_order_of_start_and_the_other_tables_follow(tmp_path):
    ids = recorded_run(tmp_path, chains=4)
    spans = tmp_path / "spans.jsonl"
    backwards = spans.read_bytes().splitlines(keepends=True)[::-1]
    spans.write_bytes(b"".join(backwards))
    content = read_spans(spans, range_bytes=150)
    assert content.tables["chains"]["trace_id"].to_pylist() == ids
    assert list(dict.fromkeys(content.tables["gaps"]["trace_id"].to_pylist())) == ids


def test_a_trace_without_a_root_is_counted_once_however_many_lines_it_has(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(
        "".join(span_line(span=str(number), parentSpanId="9") for number in range(3)) + span_line(trace="b")
    )
    assert [read_spans(path, range_bytes=size).rootless for size in (50, 10_000)] == [1, 1]


def test_a_bad_line_is_named_by_its_number_wherever_the_cuts_are(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("\n" + span_line() * 3 + "oops\n" + span_line() + "worse\n")
    for size in (50, 170, 10_000):
        with pytest.raises(DataError, match="line 5 is not OTLP JSON"):
            read_spans(path, range_bytes=size)


def test_a_line_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1_000)
    path = tmp_path / "x.jsonl"
    path.write_text(span_line() + span_line(name="x" * 1_000))
    with pytest.raises(DataError, match="line 2 is not OTLP JSON: it has more than 1000 bytes"):
        read_spans(path)


def test_no_rows_have_the_types_of_the_tables():
    tables = arrow.to_tables(arrow.no_rows())
    for name, types in TYPES.items():
        assert {column: str(dtype) for column, dtype in getattr(tables, name).dtypes.items()} == types
