"""Tables kept beside the spans hold for exactly these spans; whatever is wrong with them, they are as if not there."""

import json
import os
import stat
from dataclasses import replace

import pyarrow as pa
import pytest
from recorded import manifest, recorded_run, recording, span_line

from profiler.store import cache, reader
from profiler.store.cache import cache_path, key_of
from profiler.store.parallel import read_spans
from profiler.store.reader import load_run


@pytest.fixture(autouse=True)
def even_small_files_are_kept(monkeypatch):
    monkeypatch.setattr(cache, "LEAST_BYTES", 0)


@pytest.fixture
def reads(monkeypatch):
    """How often spans were read."""
    counted = []

    def counting(*args, **options):
        counted.append(args)
        return read_spans(*args, **options)

    monkeypatch.setattr(reader, "read_spans", counting)
    return counted


@pytest.fixture
def run(tmp_path):
    recorded_run(tmp_path)
    finish(tmp_path)
    return tmp_path


def finish(folder, status="finished"):
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": status}))


def same_tables(one, other):
    return all(getattr(one.tables, name).equals(getattr(other.tables, name)) for name in ("chains", "calls", "gaps"))


def test_the_second_time_spans_are_not_read(run, reads):
    first, second = load_run(run), load_run(run)
    assert len(reads) == 1
    assert same_tables(first, second)
    assert [trace.trace_id for trace in second.traces] == first.tables.chains["trace_id"].tolist()


def test_notes_are_kept_too(run, reads):
    spans = run / "spans.jsonl"
    spans.write_bytes(spans.read_bytes() + span_line(trace="a", parentSpanId="9").encode() + b'{"resourceSpans":[')
    first, second = load_run(run), load_run(run)
    assert len(reads) == 1
    assert first.notes == second.notes == [
        "the last line of spans.jsonl is cut off: left out",
        "1 trace has no root span: left out",
    ]  # fmt: skip


def test_a_file_of_somebody_else_is_kept_beside_it(tmp_path, reads):
    path = tmp_path / "theirs.jsonl"
    path.write_text(span_line())
    load_run(path)
    load_run(path)
    assert len(reads) == 1
    assert (tmp_path / ".theirs.jsonl.tables").exists()


def test_spans_of_the_same_size_and_time_but_other_content_are_read_again(run, reads):
    load_run(run)
    spans = run / "spans.jsonl"
    before = spans.stat()
    spans.write_bytes(spans.read_bytes().replace(b"root", b"toor"))
    import os

    os.utime(spans, ns=(before.st_atime_ns, before.st_mtime_ns))
    load_run(run)
    assert len(reads) == 2


def test_other_code_reads_again(run, reads, monkeypatch):
    load_run(run)
    monkeypatch.setattr(cache, "_code", lambda: "another version")
    load_run(run)
    assert len(reads) == 2


def test_without_the_cache_nothing_is_taken_or_kept(run, reads):
    load_run(run, use_cache=False)
    assert not cache_path(run / "spans.jsonl").exists()
    load_run(run)
    load_run(run, use_cache=False)
    assert len(reads) == 3


def test_a_run_that_is_being_written_is_not_kept(run):
    finish(run, "running")
    load_run(run)
    assert not cache_path(run / "spans.jsonl").exists()


def test_a_file_that_grows_while_it_is_read_is_not_kept(run, monkeypatch):
    def and_meanwhile(path, **options):
        content = read_spans(path, **options)
        with path.open("ab") as file:
            file.write(b"\n")
        return content

    monkeypatch.setattr(reader, "read_spans", and_meanwhile)
    load_run(run)
    assert not cache_path(run / "spans.jsonl").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1],
        lambda raw: raw + b"x",
        lambda raw: b"\x80\x04" + raw,
        lambda raw: raw.split(b"\n", 1)[0] + b"\n" + b"\xff" * 1000,
        lambda raw: raw.replace(b'"lengths": [', b'"lengths": [-', 1),
        lambda raw: raw.replace(b'"lengths": [', b'"lengths": [99999999999999999999,', 1),
        lambda raw: raw.replace(b'"lengths"', b'"length"', 1),
        lambda raw: b"[" * 60_000 + raw,
        lambda raw: b"null\n" + raw,
    ],
)
def test_a_spoilt_cache_is_ignored_and_written_anew(run, reads, spoil):
    first = load_run(run)
    path = cache_path(run / "spans.jsonl")
    good = path.read_bytes()
    path.write_bytes(spoil(good))
    second = load_run(run)
    assert len(reads) == 2
    assert same_tables(first, second)
    assert len(path.read_bytes()) == len(good)
    load_run(run)
    assert len(reads) == 2


def test_any_byte_that_changes_is_noticed(run, reads):
    load_run(run)
    path = cache_path(run / "spans.jsonl")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    load_run(run)
    assert len(reads) == 2


def test_a_pipe_in_its_place_is_not_waited_for(run, reads):
    os.mkfifo(cache_path(run / "spans.jsonl"))
    load_run(run)
    assert len(reads) == 1
    assert cache_path(run / "spans.jsonl").is_file()


def without_a_value(table, column):
    at = table.schema.get_field_index(column)
    values = table[column].to_pylist()
    return table.set_column(at, table.schema.field(at), pa.array([None, *values[1:]], table.schema.field(at).type))


def with_value(table, column, value):
    at = table.schema.get_field_index(column)
    values = table[column].to_pylist()
    return table.set_column(at, table.schema.field(at), pa.array([value, *values[1:]], table.schema.field(at).type))


@pytest.mark.parametrize(
    "change",
    [
        lambda tables, index: ({**tables, "chains": without_a_value(tables["chains"], "e2e_ns")}, index),
        lambda tables, index: ({**tables, "chains": without_a_value(tables["chains"], "task_id")}, index),
        lambda tables, index: ({**tables, "gaps": without_a_value(tables["gaps"], "warmup")}, index),
        lambda tables, index: ({**tables, "gaps": with_value(tables["gaps"], "trace_id", "nobody")}, index),
        lambda tables, index: ({**tables, "chains": pa.concat_tables([tables["chains"]] * 2)}, index),
        lambda tables, index: (tables, without_a_value(index, "offset")),
        lambda tables, index: (tables, with_value(index, "offset", -1)),
        lambda tables, index: (tables, with_value(index, "offset", 2**62)),
        lambda tables, index: (tables, with_value(index, "length", 2**63 - 1)),
        lambda tables, index: (tables, with_value(index, "length", 0)),
        lambda tables, index: (tables, index.slice(1)),
    ],
)
def test_tables_that_cannot_be_are_read_again_though_their_digest_is_right(run, reads, change):
    spans = run / "spans.jsonl"
    first = load_run(run)
    content = cache.load(spans)
    tables, index = change(content.tables, content.index)
    cache.save(spans, key_of(spans), replace(content, tables=tables, index=index))
    assert cache.load(spans) is None
    assert same_tables(first, load_run(run))
    assert len(reads) == 2


def test_where_nothing_can_be_written_there_is_no_cache_and_no_error(run, reads):
    cache_path(run / "spans.jsonl").mkdir()  # root may write into any folder: a folder in the way stops everybody
    load_run(run)
    load_run(run)
    assert len(reads) == 2
    assert sorted(path.name for path in run.iterdir()) == [".spans.jsonl.tables", "run.json", "spans.jsonl"]


def test_the_cache_may_be_read_by_whoever_may_read_the_spans(run):
    load_run(run)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (run / "spans.jsonl", cache_path(run / "spans.jsonl"))]
    assert modes[0] == modes[1]


def test_half_a_surrogate_pair_survives_the_cache(tmp_path, reads):
    with recording(tmp_path) as (recorder, writer):
        root = recorder.start_trace("root", {"profiler.task.id": "\ud800"}, 1_000)
        root.end(2_000)
        recorder.deliver(root.trace_id)
        writer.write_manifest(manifest(status="finished"))
    assert [load_run(tmp_path).tables.chains["task_id"].item() for _ in range(2)] == ["\\ud800"] * 2
    assert len(reads) == 1


def test_the_key_is_the_content(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"same")
    other.write_bytes(b"same")
    assert key_of(one) == key_of(other)
    other.write_bytes(b"sane")
    assert key_of(one) != key_of(other)
