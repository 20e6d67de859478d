"""Files of spans: every format that is known gives the same spans; others are refused by name."""

import base64
import gzip
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from profiler.errors import DataError
from profiler.exchange import reading
from profiler.exchange.documents import attributes, document, line_of
from profiler.exchange.jaeger_json import trace_of
from profiler.exchange.reading import items_in_file, items_of_any
from traces import BASE, TRACE, call, chain, item, span_id


def written(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def read(path):
    return [each for items in items_in_file(path) for each in items]


def bare(each):
    """As MLflow gives it: protobuf's names, ids in base64."""
    span = each.span
    made = {"trace_id": in_base64(span["traceId"]), "span_id": in_base64(span["spanId"]), "name": span["name"]}
    if "parentSpanId" in span:
        made["parent_span_id"] = in_base64(span["parentSpanId"])
    attributes = [
        {"key": attribute["key"], "value": {snake(name): value for name, value in attribute["value"].items()}}
        for attribute in span.get("attributes", ())
    ]
    return made | {
        "start_time_unix_nano": each.start_ns,
        "end_time_unix_nano": each.end_ns,
        "attributes": attributes,
    }


def snake(name):
    return name.replace("Value", "_value")


def in_base64(identity):
    return base64.b64encode(bytes.fromhex(identity)).decode()


def of_phoenix(each):
    return {
        "name": each.span["name"],
        "context": {"trace_id": each.trace_id, "span_id": each.span["spanId"]},
        "parent_id": each.span.get("parentSpanId"),
        "start_time": iso(each.start_ns),
        "end_time": iso(each.end_ns),
        "attributes": attributes(each.span),
        "events": [],
    }


def iso(time_ns):
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{time_ns % 10**9:09d}Z"


SPANS = chain()
FORMS = {
    "document": json.dumps(document(SPANS)).encode(),
    "pretty document": json.dumps(document(SPANS), indent=2).encode(),
    "lines": b"".join(line_of([each]) for each in SPANS),
    "blank first line": b"\n\n" + line_of(SPANS),
    "gzip": gzip.compress(line_of(SPANS)),
    "list of documents": json.dumps([document([each]) for each in SPANS]).encode(),
    "Jaeger": json.dumps({"data": [trace_of(SPANS)]}).encode(),
    "Jaeger, pretty": json.dumps({"data": [trace_of(SPANS)], "total": 0}, indent=1).encode(),
    "Jaeger's API 3": json.dumps({"result": document(SPANS)}).encode(),
    "MLflow": json.dumps({"trace": {"trace_info": {}, "spans": list(map(bare, SPANS))}}).encode(),
    "Phoenix, OTLP": json.dumps({"data": list(map(bare, SPANS)), "next_cursor": None}).encode(),
    "Phoenix": json.dumps({"data": list(map(of_phoenix, SPANS)), "next_cursor": None}).encode(),
}


def essence(items):
    return sorted(
        (
            each.trace_id,
            each.span["spanId"],
            each.span.get("parentSpanId"),
            each.start_ns,
            each.end_ns,
            each.span["name"],
            json.dumps(attributes(each.span) | {"profiler.export.x": 0}, sort_keys=True),
        )
        for each in items
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same_spans(form, tmp_path):
    assert essence(read(written(tmp_path, FORMS[form]))) == essence(SPANS)


def test_the_console_exporter_of_opentelemetry_is_read(tmp_path):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with provider.get_tracer("t").start_as_current_span("outer") as outer:
        outer.set_attribute("gen_ai.request.model", "m")
        outer.add_event("one", {"a": 1})
        with provider.get_tracer("t").start_as_current_span("inner"):
            pass
    provider.shutdown()
    spans = kept.get_finished_spans()
    found = {
        each.span["name"]: each for each in read(written(tmp_path, [json.loads(span.to_json()) for span in spans]))
    }
    assert found["inner"].span["parentSpanId"] == found["outer"].span["spanId"]
    assert attributes(found["outer"].span) == {"gen_ai.request.model": "m"}
    assert found["outer"].span["events"][0]["name"] == "one"
    for span in spans:
        assert abs(found[span.name].start_ns - span.start_time) <= 1000  # it writes microseconds
        assert found[span.name].trace_id == f"{span.context.trace_id:032x}"


def test_a_last_line_that_is_cut_off_is_left_out(tmp_path):
    lines = line_of(call()) + line_of([item("x", 0, 1)])[:-20]
    assert len(read(written(tmp_path, lines))) == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello", "not a file of spans: no JSON"),
        (b"\x00\xff\xfe", "not a file of spans"),
        ({"traceEvents": []}, "Chrome's trace events"),
        ([{"traceId": "1", "id": "2", "localEndpoint": {}}], "Zipkin"),
        ([{"id": "1", "trace_id": "2", "run_type": "llm", "start_time": "2026"}], "LangSmith's own runs"),
        ({"resourceLogs": []}, "logs or metrics"),
        ({"hello": 1}, "no resourceSpans in it"),
        (5, "not an object"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "1"}]}]}]}, "a span without spanId"),
        (line_of(call()) + b"nonsense\n" + line_of(call()), "line 2 is no JSON"),
        (line_of(call()) + b'{"hello": 1}\n', "line 2 has no spans"),
        (b"\x1f\x8b garbage", "cannot read"),
        (b'{"a":' * 5000, "not a file of spans"),
    ],
)
def test_what_is_none_of_them_is_refused_in_words(content, says, tmp_path):
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, content))
    assert says in caught.value.message


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read(tmp_path / "nowhere.json")


def test_a_document_that_is_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_AT_ONCE", 300)
    with pytest.raises(DataError, match="one document of more than"):
        read(written(tmp_path, json.dumps(document(SPANS), indent=2).encode()))


def test_an_empty_list_of_traces_has_no_spans():
    assert list(items_of_any({"data": []})) == []
    assert list(items_of_any({"spans": []})) == []


def test_nanoseconds_of_iso_times_are_kept():
    span = of_phoenix(item("a", 123_456_789, 223_456_789))
    found = next(items_of_any(span))
    assert (found.start_ns - BASE, found.end_ns - BASE) == (123_456_789, 223_456_789)
    assert (found.trace_id, found.span["spanId"]) == (TRACE, span_id("a"))


def test_a_damaged_compressed_file_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read(written(tmp_path, gzip.compress(b"x")[:10] + b"\xff" * 40))
