"""Reading is strict about what is not a run, and gets what it can out of one that broke off."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import recorded_run, span_line

from profiler.errors import DataError
from profiler.store import reader
from profiler.store.parallel import read_spans
from profiler.store.reader import load_run


def ids_of(run):
    return [trace.trace_id for trace in run.traces]


@pytest.mark.parametrize("name", ["", "spans.jsonl", "run.json"])
def test_a_run_is_found_by_its_folder_or_either_of_its_files(tmp_path, name):
    ids = recorded_run(tmp_path)
    run = load_run(tmp_path / name)
    assert ids_of(run) == ids
    assert run.manifest.agent == {"name": "react"}
    assert run.notes == []


def test_spans_under_another_name_have_no_manifest(tmp_path):
    ids = recorded_run(tmp_path)
    moved = (tmp_path / "spans.jsonl").rename(tmp_path / "other.jsonl")
    run = load_run(moved)
    assert (ids_of(run), run.manifest) == (ids, None)


def test_chains_are_in_order_of_their_start(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(
        span_line(trace="b", startTimeUnixNano="5", endTimeUnixNano="6")
        + span_line(trace="a", startTimeUnixNano="1", endTimeUnixNano="2")
    )
    assert ids_of(load_run(path)) == ["a", "b"]


# --- cut off ---------------------------------------------------------------------------------------------


@settings(max_examples=24, deadline=None)
@given(st.data())
def test_wherever_a_run_was_killed_its_whole_lines_are_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    ids = recorded_run(folder, chains=2)
    spans = folder / "spans.jsonl"
    raw = spans.read_bytes()
    size = data.draw(st.integers(0, len(raw)))
    spans.write_bytes(raw[:size])
    run = load_run(folder)
    whole = raw[:size].count(b"\n")
    complete_without_newline = raw[size : size + 1] == b"\n"
    assert ids_of(run) == ids[: whole + complete_without_newline]
    cut_off = size > 0 and raw[size - 1 : size] != b"\n" and not complete_without_newline
    assert run.notes == (["the last line of spans.jsonl is cut off: left out"] if cut_off else [])


def test_a_broken_line_that_is_not_the_last_is_an_error_that_names_it(tmp_path):
    recorded_run(tmp_path)
    spans = tmp_path / "spans.jsonl"
    lines = spans.read_bytes().splitlines(keepends=True)
    spans.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2])
    with pytest.raises(DataError, match=r"spans\.jsonl: line 2 is not OTLP JSON"):
        load_run(tmp_path)


def test_empty_lines_are_nothing(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("\n" + span_line() + "\n  \n")
    assert len(load_run(path).traces) == 1


@pytest.mark.parametrize("content", [b"", b"\n\n", b'{"resourceSpans": []}\n', b'{"resourceSpans":[{}]}'])
def test_a_file_without_spans_has_no_traces(tmp_path, content):
    (tmp_path / "spans.jsonl").write_bytes(content)
    run = load_run(tmp_path)
    assert (run.traces, run.notes) == ([], [])


# --- not a run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b"hello",
        b"{}\n",
        b"[]",
        b"5",
        b"null\n",
        b'{"resourceSpans": 5}\n',
        b'{"resourceSpans": [5]}\n',
        b'{"resourceSpans": {"a": 1}}\n',
        b'{"spans": []}\n',
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"\xff\xfe\0\0",
        b"[" * 100_000,
        b'{"resourceSpans":' + b"[" * 100_000 + b"\n",
    ],
)
def test_a_foreign_file_is_an_error_that_names_the_line(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(DataError, match="line 1 is not OTLP JSON") as caught:
        load_run(path)
    assert str(path) in caught.value.message
    assert "resourceSpans" in caught.value.remedy


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"resourceSpans":[null]}', "resourceSpans holds something that is not an object"),
        (b'{"resourceSpans":null}', "resourceSpans is not a list"),
        (b'{"resourceSpans":[{"scopeSpans":7}]}', "scopeSpans is not a list"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[[]]}]}]}', "spans holds something that is not an object"),
        (span_line(traceId=7).encode(), "traceId is not a text"),
        (span_line(startTimeUnixNano=None).encode(), "startTimeUnixNano is not a time: no number"),
        (span_line(startTimeUnixNano="soon").encode(), "startTimeUnixNano is not a time: 'soon'"),
        (span_line(startTimeUnixNano="9" * 5000).encode(), "startTimeUnixNano is not a time: '" + "9" * 39 + "…"),
        (
            span_line(endTimeUnixNano=1e300).encode(),
            "endTimeUnixNano is outside of what nanoseconds since 1970 can be: 1e+300",
        ),
        (
            span_line(startTimeUnixNano="-5").encode(),
            "startTimeUnixNano is outside of what nanoseconds since 1970 can be: '-5'",
        ),
        (span_line(attributes=[{"value": {"intValue": "1"}}]).encode(), "an attribute without a key"),
        (span_line(attributes=[{"key": "x", "value": 5}]).encode(), "an attribute's value is not an object"),
        (span_line(attributes=[{"key": "x", "value": {"intValue": "1.5"}}]).encode(), "a number in it is none"),
        (span_line().encode().replace(b'"spanId"', b'"span"'), "a span without spanId"),
        (b'{"resourceSpans":' + b"9" * 5000 + b"}", "a number in it is none, or too large"),
        (b'{"resourceSpans":' + b"[" * 100_000, "it is nested too deeply"),
        (b'{"resourceSpans":[}', "no JSON at character 19"),
        (b'{"resourceSpans":["\xff"]}', "not UTF-8 at byte 20"),
    ],
)
def test_why_a_line_cannot_be_read_is_said_in_words_that_are_short(tmp_path, line, says):
    path = tmp_path / "x.jsonl"
    path.write_bytes(line.rstrip() + b"\n")
    with pytest.raises(DataError) as caught:
        load_run(path)
    assert caught.value.message.startswith(f"{path}: line 1 is not OTLP JSON: {says}")
    assert len(caught.value.message) < len(str(path)) + 150


@pytest.mark.parametrize(
    "changes",
    [
        {"traceId": 5},
        {"spanId": None},
        {"startTimeUnixNano": "soon"},
        {"startTimeUnixNano": None},
        {"endTimeUnixNano": [1]},
        {"startTimeUnixNano": 1e999},
        {"attributes": [{"value": {"stringValue": "x"}}]},
        {"attributes": [{"key": "x", "value": {"intValue": "many"}}]},
        {"attributes": [{"key": "x", "value": {"intValue": 1e999}}]},
        {"attributes": [{"key": "x", "value": 5}]},
        {"attributes": 5},
        {"attributes": {"x": 1}},
        {"status": "bad"},
    ],
    ids=str,
)
def test_a_span_of_another_shape_is_an_error_that_names_the_line(tmp_path, changes):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line() + span_line(span="2", **changes))
    with pytest.raises(DataError, match="line 2 is not OTLP JSON"):
        load_run(path)


def test_a_missing_path_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no run at"):
        load_run(tmp_path / "missing")


@pytest.mark.parametrize("name", ["x" * 300, "nul\0"])
def test_an_impossible_path_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match=r"no run at|cannot read"):
        load_run(tmp_path / name)


def test_an_empty_folder_is_not_a_run(tmp_path):
    with pytest.raises(DataError, match=r"is not a run: it has no spans\.jsonl") as caught:
        load_run(tmp_path)
    assert caught.value.remedy == "give the folder that profiler run printed"


def test_a_folder_of_runs_suggests_the_last_of_them(tmp_path):
    for name in ("20260101", "20260102"):
        (tmp_path / name).mkdir()
        recorded_run(tmp_path / name)
    (tmp_path / "zzz").mkdir()
    with pytest.raises(DataError) as caught:
        load_run(tmp_path)
    assert caught.value.remedy == f"did you mean {tmp_path / '20260102'}?"


def test_a_folder_in_the_place_of_the_spans_is_an_error(tmp_path):
    (tmp_path / "spans.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot read"):
        load_run(tmp_path)


# --- the manifest ----------------------------------------------------------------------------------------


def rewrite_manifest(folder, **changes):
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", ["spans.jsonl", "run.json"])
def test_a_pipe_in_the_place_of_a_file_is_an_error_and_not_waited_for(tmp_path, name):
    recorded_run(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} is not a regular file"):
        load_run(tmp_path)


def written_anew(spans, content):
    other = spans.with_name("new")
    other.write_bytes(content)
    other.replace(spans)


@pytest.mark.parametrize(
    "write",
    [
        lambda spans: written_anew(spans, spans.read_bytes()),
        lambda spans: spans.write_bytes(spans.read_bytes()[:100]),
        lambda spans: spans.write_bytes(b"x" * spans.stat().st_size),
    ],
)
def test_a_file_that_is_written_anew_while_it_is_read_is_not_blamed_for_its_content(tmp_path, monkeypatch, write):
    recorded_run(tmp_path)
    os.utime(tmp_path / "spans.jsonl", (1, 1))  # a clock's tick may be longer than the test

    def and_meanwhile(path, **options):
        write(path)
        return read_spans(path, **options)

    monkeypatch.setattr(reader, "read_spans", and_meanwhile)
    with pytest.raises(DataError, match=r"spans\.jsonl has changed while it was read"):
        load_run(tmp_path)


def test_a_newer_format_is_refused_with_what_to_do(tmp_path):
    recorded_run(tmp_path)
    rewrite_manifest(tmp_path, version=2)
    with pytest.raises(DataError, match="format version 2, this profiler reads up to 1") as caught:
        load_run(tmp_path)
    assert caught.value.remedy == "upgrade the profiler"


def test_facts_that_a_later_version_adds_are_kept(tmp_path):
    recorded_run(tmp_path)
    rewrite_manifest(tmp_path, weather="rain")
    assert load_run(tmp_path).manifest.model_extra == {"weather": "rain"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        "{}",
        '{"format": "profiler-run", "version": "2"}',
        '{"format": "profiler-run", "version": null}',
        '{"format": "other", "version": 1}',
        "[" * 100_000,
        "\ufeff{}",
    ],
)
def test_a_corrupt_manifest_is_an_error_that_names_it(tmp_path, content):
    recorded_run(tmp_path)
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"run\.json is not a run's manifest"):
        load_run(tmp_path)


def test_a_manifest_that_is_not_text_is_an_error(tmp_path):
    recorded_run(tmp_path)
    (tmp_path / "run.json").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match=r"run\.json is not a run's manifest"):
        load_run(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("agent", 5), ("chains", {"planned": "many"}), ("status", "odd")])
def test_what_is_wrong_in_a_manifest_is_named(tmp_path, name, value):
    recorded_run(tmp_path)
    rewrite_manifest(tmp_path, **{name: value})
    with pytest.raises(DataError, match=rf"run\.json is not a run's manifest: {name}"):
        load_run(tmp_path)


# --- spans of other programs -----------------------------------------------------------------------------


def test_what_nobody_knows_is_left_alone(tmp_path):
    path = tmp_path / "x.jsonl"
    line = json.loads(span_line(unknown={"a": [1]}, kind=99, events=[{"name": "e"}], traceState="x"))
    line["resourceSpans"][0]["schemaUrl"] = "https://example.org"
    line["more"] = True
    path.write_text(json.dumps(line) + "\n")
    run = load_run(path)
    assert run.notes == []
    assert run.traces[0].root.name == "foreign"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ({"stringValue": "x"}, "x"),
        ({"stringValue": ""}, ""),
        ({"intValue": "9007199254740993"}, 9007199254740993),
        ({"intValue": 7}, 7),
        ({"doubleValue": 1.5}, 1.5),
        ({"doubleValue": "Infinity"}, float("inf")),
        ({"boolValue": False}, False),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "a"}]}}, (1, "a")),
        ({"arrayValue": {}}, ()),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}, {"k": 1}),
        ({"bytesValue": "YWI="}, "YWI="),
        ({}, None),
        ({"newValue": 1}, None),
        (None, None),
    ],
)
def test_every_kind_of_value_is_read(tmp_path, raw, value):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(attributes=[{"key": "x", "value": raw}]))
    read = load_run(path).traces[0].root.attributes
    assert read == {"x": value}
    assert type(read["x"]) is type(value)


@pytest.mark.parametrize(
    ("code", "failed"), [(2, True), ("STATUS_CODE_ERROR", True), (1, False), (0, False), (None, False)]
)
def test_an_error_status_is_a_failure(tmp_path, code, failed):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(status={"code": code, "message": "why"}))
    root = load_run(path).traces[0].root
    assert (root.failed, root.message) == (failed, "why")


def test_ids_are_compared_without_regard_to_case(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(trace="AB", span="CD") + span_line(trace="ab", span="EF", parentSpanId="cd"))
    trace = load_run(path).traces[0]
    assert (trace.trace_id, len(trace.spans), trace.repairs) == ("ab", 2, ())


@pytest.mark.parametrize("parent", ["", "0000000000000000", None])
def test_an_empty_parent_is_none(tmp_path, parent):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(parentSpanId=parent))
    assert load_run(path).traces[0].root.parent_id is None


def test_a_span_without_an_end_lasted_no_time(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(endTimeUnixNano=None))
    assert load_run(path).traces[0].root.duration_ns == 0


def test_a_line_that_is_there_twice_is_read_once_and_noted(tmp_path):
    ids = recorded_run(tmp_path, chains=1)
    spans = tmp_path / "spans.jsonl"
    spans.write_bytes(spans.read_bytes() * 2)
    run = load_run(tmp_path)
    assert ids_of(run) == ids
    assert len(run.traces[0].spans) == 2
    (note,) = run.notes
    assert note.startswith(f"trace {ids[0]}: span ")
    assert note.endswith("was sent twice, alike: taken as one (1 more such in this trace)")


def test_a_chain_may_be_spread_over_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(span="2", parentSpanId="1") + span_line(trace="f" * 32) + span_line(span="1"))
    assert sorted(len(trace.spans) for trace in load_run(path).traces) == [1, 2]


def test_chains_without_a_root_are_counted(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(trace="a", parentSpanId="9") + span_line(trace="b", parentSpanId="9") + span_line())
    run = load_run(path)
    assert len(run.traces) == 1
    assert run.notes == ["2 traces have no root span: left out"]


def test_repairs_are_noted_with_their_chain(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(span_line(trace="a", span="1") + span_line(trace="a", span="2", parentSpanId="9"))
    assert load_run(path).notes == ["trace a: span 2 has an unknown parent: taken as a child of the root"]
