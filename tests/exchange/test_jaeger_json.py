"""Jaeger's own JSON: as its interface takes it, and back to the nanosecond."""

import json
import sys
from pathlib import Path

import jsonschema
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))

from profiler import semconv as sc
from profiler.exchange.documents import attributes
from profiler.exchange.jaeger_json import is_jaeger, items_of_jaeger, trace_of
from profiler.exchange.present import presented, restored
from profiler.exchange.writing import jaeger
from traces import BASE, TRACE, chain, item, traces

# What Jaeger's interface reads of an uploaded trace: its types/trace.ts and api/jaeger, written as a schema.
TAG = {
    "type": "object",
    "required": ["key", "value"],
    "properties": {
        "key": {"type": "string"},
        "type": {"enum": ["string", "bool", "int64", "float64", "binary"]},
        "value": {"type": ["string", "number", "boolean", "null"]},
    },
}
SPAN = {
    "type": "object",
    "required": [
        "traceID",
        "spanID",
        "operationName",
        "references",
        "startTime",
        "duration",
        "tags",
        "logs",
        "processID",
    ],
    "properties": {
        "traceID": {"type": "string", "pattern": "^[0-9a-f]{1,32}$"},
        "spanID": {"type": "string", "pattern": "^[0-9a-f]{1,16}$"},
        "operationName": {"type": "string"},
        "startTime": {"type": "integer", "minimum": 1},
        "duration": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": TAG},
        "logs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["timestamp", "fields"],
                "properties": {"timestamp": {"type": "integer"}, "fields": {"type": "array", "items": TAG}},
            },
        },
        "references": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["refType", "traceID", "spanID"],
                "properties": {"refType": {"enum": ["CHILD_OF", "FOLLOWS_FROM"]}},
            },
        },
        "processID": {"type": "string"},
    },
}
UPLOAD = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["traceID", "spans", "processes"],
                "properties": {
                    "spans": {"type": "array", "minItems": 1, "items": SPAN},
                    "processes": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["serviceName", "tags"],
                            "properties": {"serviceName": {"type": "string", "minLength": 1}},
                        },
                    },
                },
            },
        }
    },
}


@settings(max_examples=40, deadline=None)
@given(traces())
def test_a_file_is_what_jaegers_interface_takes(items):
    text = b"".join(jaeger([items, chain()]))
    value = json.loads(text)
    jsonschema.validate(value, UPLOAD)
    for trace in value["data"]:
        assert {span["processID"] for span in trace["spans"]} <= trace["processes"].keys()
    assert is_jaeger(value)


@settings(max_examples=50, deadline=None)
@given(traces())
def test_a_trace_comes_back_to_the_nanosecond_with_all_attributes(items):
    text = json.dumps({"data": [trace_of(presented(items))]})
    back = [restored(each) for each in items_of_jaeger(json.loads(text))]
    for one, other in zip(items, back, strict=True):
        assert (one.start_ns, one.end_ns, one.scope) == (other.start_ns, other.end_ns, other.scope)
        assert one.span.get("parentSpanId") == other.span.get("parentSpanId")
        assert attributes(one.span) == attributes(other.span)
        assert attributes(one.resource) == attributes(other.resource)


def test_events_links_kind_status_and_scope_are_where_jaeger_has_them():
    span = item("root", 0, 5_000, kind=3).span | {
        "status": {"code": 2, "message": "too late"},
        "events": [
            {
                "name": "exception",
                "timeUnixNano": str(BASE + 2_000),
                "attributes": [{"key": "exception.type", "value": {"stringValue": "TimeoutError"}}],
            }
        ],
        "links": [{"traceId": "ab" * 16, "spanId": "cd" * 8}],
    }
    made = trace_of([item("root", 0, 5_000)._replace(span=span)])["spans"][0]
    tags = {tag["key"]: tag["value"] for tag in made["tags"]}
    assert tags["span.kind"] == "client"
    assert (tags["error"], tags["otel.status_code"], tags["otel.status_description"]) == (True, "ERROR", "too late")
    assert (tags["otel.scope.name"], tags["otel.scope.version"]) == ("profiler", "1")
    assert made["logs"][0]["timestamp"] == (BASE + 2_000) // 1000
    assert made["references"] == [{"refType": "FOLLOWS_FROM", "traceID": "ab" * 16, "spanID": "cd" * 8}]
    back = next(items_of_jaeger({"data": [trace_of([item("root", 0, 5_000)._replace(span=span)])]}))
    assert {name: back.span[name] for name in ("kind", "status", "events", "links")} == {
        name: span[name] for name in ("kind", "status", "events", "links")
    }


def test_what_an_older_client_of_jaeger_saved_is_read():
    saved = {
        "traceID": "1f",
        "spanID": "2a",
        "operationName": "GET /",
        "references": [{"refType": "CHILD_OF", "traceID": "1f", "spanID": "1"}],
        "startTime": 1_700_000_000_000_001,
        "duration": 7,
        "tags": [
            {"key": "gen_ai.usage.input_tokens", "type": "int64", "value": "12"},
            {"key": "error", "type": "bool", "value": "true"},
            {"key": sc.RESPONSE_FINISH_REASONS, "type": "string", "value": '["stop"]'},
        ],
        "processID": "p1",
    }
    document = {"data": [{"traceID": "1f", "spans": [saved], "processes": {"p1": {"serviceName": "shop"}}}]}
    found = next(items_of_jaeger(document))
    assert found.trace_id == "1f".rjust(32, "0")
    assert found.span["parentSpanId"] == "1".rjust(16, "0")
    assert (found.start_ns, found.end_ns) == (1_700_000_000_000_001_000, 1_700_000_000_000_008_000)
    assert found.span["status"] == {"code": 2}
    values = attributes(found.span)
    assert values["gen_ai.usage.input_tokens"] == 12
    assert values[sc.RESPONSE_FINISH_REASONS] == ["stop"]
    assert attributes(found.resource) == {"service.name": "shop"}


def test_a_single_trace_without_data_around_it_is_jaegers_too():
    assert is_jaeger(trace_of(chain()))
    assert not is_jaeger({"data": []})
    assert not is_jaeger({"resourceSpans": []})
    assert next(items_of_jaeger(trace_of(chain()))).trace_id == TRACE
