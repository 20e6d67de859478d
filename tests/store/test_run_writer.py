"""What is written is on disk at once and as a whole; what exists is never overwritten."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind
from recorded import manifest, record_chain, recorded_run, recording

from profiler import semconv as sc
from profiler.analysis.dialects import convention_of
from profiler.errors import StoreError, UsageError
from profiler.store.manifest import Manifest
from profiler.store.reader import load_run
from profiler.store.writer import RunWriter, create_run_folder

REPOSITORY = Path(__file__).parents[2]

TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
VALUES = st.one_of(
    TEXT,
    INTEGERS,
    FLOATS,
    st.booleans(),
    st.sampled_from(["", "\u2028", "\x85", "line\nbreak", "\0", "\ud800", 2**53 + 1, -0.0, 1e-300, float("inf")]),
    st.lists(INTEGERS, max_size=5).map(tuple),
    st.lists(TEXT, max_size=3).map(tuple),
    st.lists(FLOATS, max_size=3).map(tuple),
    st.lists(st.booleans(), max_size=3).map(tuple),
)
# Names whose type the reader checks, and names of other instrumentations' conventions, have tests of their own.
CHECKED = sc.INTEGERS | sc.INTEGER_LISTS | sc.TEXTS
KEYS = st.text(min_size=1, max_size=20).filter(lambda name: name not in CHECKED and convention_of({name: 1}) is None)


@settings(max_examples=36, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=3))
def test_any_attributes_survive_the_disk(tmp_path_factory, attributes_of_chains):
    folder = tmp_path_factory.mktemp("run")
    with recording(folder) as (recorder, _):
        ids = [record_chain(recorder, attributes=attributes) for attributes in attributes_of_chains]
    run = load_run(folder)
    assert run.notes == []
    read = {trace.trace_id: trace.root.attributes for trace in run.traces}
    for trace_id, attributes in zip(ids, attributes_of_chains, strict=True):
        assert read[trace_id] == attributes
        assert {key: type(value) for key, value in read[trace_id].items()} == {
            key: type(value) for key, value in attributes.items()
        }


def test_a_name_and_an_error_with_half_a_character_survive_the_disk(tmp_path):
    # An agent's error may hold a file name that is not UTF-8, which Python keeps as lone surrogates.
    with recording(tmp_path) as (recorder, writer):
        span = recorder.start_trace("caf\udce9", {}, 1)
        span.error = "no file caf\udce9"
        span.end(2)
        recorder.deliver(span.trace_id)
        assert writer.broken is None
    root = load_run(tmp_path).traces[0].root
    assert (root.name, root.message, root.failed) == ("caf\udce9", "no file caf\udce9", True)


def test_times_parents_and_ids_survive_the_disk(tmp_path):
    with recording(tmp_path) as (recorder, _):
        trace_id = record_chain(recorder, children=2, start=2**60 + 1)
    trace = load_run(tmp_path).traces[0]
    assert trace.trace_id == trace_id
    assert trace.root.service == "test"
    assert [(span.name, span.start_ns - 2**60, span.duration_ns) for span in trace.spans] == [
        ("root", 1, 25),
        ("child 0", 1, 10),
        ("child 1", 11, 10),
    ]
    assert {span.parent_id for span in trace.spans[1:]} == {trace.root.span_id}
    assert trace.root.parent_id is None


def test_a_chain_is_one_line_and_on_disk_when_it_has_been_written(tmp_path):
    with recording(tmp_path) as (recorder, writer):
        for number in (1, 2, 3):
            record_chain(recorder, attributes={"text": "two\nlines\u2028\x85"})
            raw = (tmp_path / "spans.jsonl").read_bytes()
            assert raw.count(b"\n") == number
            assert raw.endswith(b"\n")
            assert [json.loads(line) for line in raw.split(b"\n")[:-1]]
        assert writer.spans_written == recorder.spans_started == 6


def test_spans_that_were_started_and_not_ended_are_told_apart_from_those_written(tmp_path):
    with recording(tmp_path) as (recorder, writer):
        record_chain(recorder, children=3)
        recorder.start_trace("never ended", {}, 1)
    assert (recorder.spans_started, writer.spans_written) == (5, 4)


def test_spans_whose_root_never_ended_are_written_at_the_end_of_the_recording(tmp_path):
    with recording(tmp_path) as (recorder, writer):
        recorder.start_trace("root", {}, 1).child("child", SpanKind.INTERNAL, {}, 1).end(2)
        assert writer.spans_written == 0
    assert writer.spans_written == 1
    run = load_run(tmp_path)
    assert (run.traces, run.notes) == ([], ["1 trace has no root span: left out"])


# --- the folder ------------------------------------------------------------------------------------------


def test_a_new_folder_is_made_with_its_parents_and_claimed(tmp_path):
    folder = create_run_folder(tmp_path / "traces" / "run")
    assert folder.is_dir()
    assert [path.name for path in folder.iterdir()] == ["spans.jsonl"]
    with pytest.raises(UsageError):
        create_run_folder(folder)


def test_an_empty_folder_may_be_used(tmp_path):
    assert create_run_folder(tmp_path) == tmp_path


def test_a_folder_with_anything_in_it_is_refused_and_left_as_it_is(tmp_path):
    ids = recorded_run(tmp_path)
    before = (tmp_path / "spans.jsonl").read_bytes()
    with pytest.raises(UsageError, match="exists already") as caught:
        create_run_folder(tmp_path)
    assert "--out" in caught.value.remedy
    assert (tmp_path / "spans.jsonl").read_bytes() == before
    assert [trace.trace_id for trace in load_run(tmp_path).traces] == ids


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        create_run_folder(tmp_path / "run")
    with pytest.raises(UsageError, match="cannot write to"):
        create_run_folder(tmp_path / "run" / "below")
    assert (tmp_path / "run").read_text() == "mine"


# --- the manifest ----------------------------------------------------------------------------------------


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    written = manifest(
        status="failed",
        error="caf\u00e9\u2028",
        flags={"deep": {"list": [1, None, 2.5]}},
        failures=[{"task": "t", "repeat": 1, "type": "E", "message": "m", "trace_id": "a"}],
    )
    with recording(tmp_path) as (recorder, writer):
        record_chain(recorder)
        writer.write_manifest(written)
    assert load_run(tmp_path).manifest == written


def test_a_manifest_is_replaced_as_a_whole(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_manifest(manifest(error="x" * 10_000))
    writer.write_manifest(manifest(status="finished"))
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "spans.jsonl"]
    assert Manifest.model_validate_json((tmp_path / "run.json").read_text()).status == "finished"


def test_a_manifest_with_half_a_character_can_be_written(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_manifest(manifest(agent={"path": "caf\udce9.py"}, error="caf\udce9"))
    writer.close()
    read = Manifest.model_validate(json.loads((tmp_path / "run.json").read_text(encoding="utf-8")))
    assert read.agent["path"].startswith("caf")


def test_a_manifest_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path):
    writer = RunWriter(tmp_path)
    (tmp_path / "run.json").mkdir()
    (tmp_path / "run.json" / "in the way").touch()
    with pytest.raises(StoreError, match=r"cannot write .*run\.json"):
        writer.write_manifest(manifest())
    writer.close()
    assert not (tmp_path / "run.json.new").exists()


# --- a disk that is full ---------------------------------------------------------------------------------

FULL_DISK = textwrap.dedent(
    """
    import json, resource, signal, sys
    from pathlib import Path
    from profiler import semconv as sc
    from profiler.errors import StoreError
    from recorded import manifest, record_chain, recording

    folder, limit = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    ids, result = [], {}
    with recording(folder) as (recorder, writer):
        writer.write_manifest(manifest())
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for number in range(50):
            trace_id = record_chain(recorder, start=1000 * number + 1000)
            if writer.broken is None:
                ids.append(trace_id)
            elif "size" not in result:
                result["size"] = (folder / "spans.jsonl").stat().st_size
        try:
            writer.write_manifest(manifest(error="x" * 2 * limit))
        except StoreError as error:
            result["manifest"] = error.message
    result |= {
        "ids": ids,
        "size_at_the_end": (folder / "spans.jsonl").stat().st_size,
        "message": writer.broken.message,
        "remedy": writer.broken.remedy,
        "exit": writer.broken.exit_code,
        "written": writer.spans_written,
        "started": recorder.spans_started,
    }
    print(json.dumps(result))
    """
)


def on_a_full_disk(folder, limit):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder), str(limit)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"PYTHONPATH": f"{REPOSITORY}:{Path(__file__).parent}"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_full_disk_is_an_error_and_keeps_what_was_written_before(tmp_path):
    said = on_a_full_disk(tmp_path, 5000)
    kept = len(said["ids"])
    assert 0 < kept < 50
    assert said["message"] == f"cannot write to {tmp_path / 'spans.jsonl'}: File too large"
    assert f"the {2 * kept} spans written before are kept" in said["remedy"]
    assert said["exit"] == 3
    assert (said["started"], said["written"]) == (100, 2 * kept)
    assert said["size_at_the_end"] == said["size"], "after the failure nothing more is written"
    run = load_run(tmp_path)
    assert [trace.trace_id for trace in run.traces] == said["ids"]
    assert run.notes == ["the last line of spans.jsonl is cut off: left out"]


def test_on_a_full_disk_the_last_manifest_stays(tmp_path):
    said = on_a_full_disk(tmp_path, 5000)
    assert said["manifest"].startswith(f"cannot write {tmp_path / 'run.json'}")
    assert load_run(tmp_path).manifest.status == "running"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "spans.jsonl"]


def test_a_disk_that_was_full_before_the_first_chain_leaves_a_run_without_chains(tmp_path):
    said = on_a_full_disk(tmp_path, 100)
    assert said["ids"] == []
    run = load_run(tmp_path)
    assert run.traces == []
    assert run.notes == ["the last line of spans.jsonl is cut off: left out"]
