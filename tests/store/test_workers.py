"""Other processes read what this one would, and their end is told."""

import os
import signal
from pathlib import Path

import pytest
from recorded import rows_of, span_line, spread_file

from profiler.errors import DataError, StoreError
from profiler.store.parallel import read_spans
from profiler.store.worker import Worker


@pytest.fixture
def spread(tmp_path):
    path = tmp_path / "x.jsonl"
    spread_file(path, [0, 1, 2, 0, 3, 1, 4, 4, 0])
    return path


def test_processes_read_what_this_one_would(spread):
    assert rows_of(read_spans(spread, processes=2, range_bytes=200)) == rows_of(read_spans(spread, processes=1))


def test_a_bad_line_in_another_process_is_named(spread):
    with spread.open("a") as file:
        file.write("oops\n" + span_line())
    number = spread.read_text().count("\n", 0, spread.read_text().index("oops")) + 1
    with pytest.raises(DataError, match=f"line {number} is not OTLP JSON"):
        read_spans(spread, processes=2, range_bytes=200)


def test_processes_import_nothing_from_where_the_user_is(spread, monkeypatch):
    for name in ("json.py", "msgspec.py", "profiler.py"):
        (spread.parent / name).write_text("raise SystemExit('this was not to be run')")
    monkeypatch.chdir(spread.parent)
    assert len(rows_of(read_spans(spread, processes=2, range_bytes=200))["chains"]) == 5


def test_a_process_that_is_killed_is_an_error_that_says_so(spread):
    with Worker() as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
        with pytest.raises(StoreError, match="ended: signal SIGKILL"):
            worker.rows_of_range(spread, 0, 100)


def test_a_file_that_is_gone_is_an_error_that_says_so():
    with Worker() as worker, pytest.raises(StoreError, match="No such file"):
        worker.rows_of_range(Path("gone"), 0, 100)
