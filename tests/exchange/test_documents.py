"""OTLP JSON, span by span: nothing is dropped, whichever way it was written."""

import base64
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
STORE = Path(__file__).parents[1] / "store"
if str(STORE) not in sys.path:
    sys.path.append(str(STORE))

from google.protobuf import json_format  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from recorded import recorded_run, spread_file  # noqa: E402

from profiler.exchange.documents import (  # noqa: E402  # noqa: E402
    attributes,
    by_trace,
    canonical,
    document,
    items_of,
    line_of,
    plain,
    with_attributes,
    wrapped,
)
from profiler.exchange.documents import traces_of as whole_traces  # noqa: E402
from profiler.exchange.protobuf import request_of  # noqa: E402
from profiler.store.dialects import NotSpans  # noqa: E402
from profiler.store.reader import load_run  # noqa: E402
from traces import VALUES, chain, traces  # noqa: E402


def as_protobufs_own_parser_reads(made):
    """By google.protobuf.json_format, which wants ids in base64."""
    value = json.loads(json.dumps(made))
    for resource_spans in value["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(value, ExportTraceServiceRequest())


@settings(max_examples=40, deadline=None)
@given(traces())
def test_a_document_is_what_the_official_messages_read(items):
    made = json.loads(line_of(items))
    assert request_of(made) == as_protobufs_own_parser_reads(made)


@settings(max_examples=40, deadline=None)
@given(traces())
def test_a_document_gives_its_spans_again(items):
    assert list(items_of(json.loads(line_of(items)))) == items


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_a_value_is_the_same_after_wrapping(value):
    assert plain(json.loads(json.dumps(wrapped(value)))) == value


def test_an_integer_of_more_than_64_bits_is_a_text():
    assert wrapped(2**63) == {"stringValue": str(2**63)}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.integers()), st.dictionaries(st.sampled_from("bcd"), st.integers()))
def test_attributes_are_set_in_their_place_and_taken_out(before, changes):
    of = {"attributes": [{"key": key, "value": wrapped(value)} for key, value in before.items()]}
    assert attributes(with_attributes(of, changes)) == {
        key: plain(wrapped(value)) for key, value in (before | changes).items()
    }
    assert attributes(with_attributes(of, dict.fromkeys(changes))) == {
        key: plain(wrapped(value)) for key, value in before.items() if key not in changes
    }


def test_a_span_is_canonical_whichever_way_it_was_written():
    hexadecimal = {"traceId": "ab" * 16, "spanId": "cd" * 8, "startTimeUnixNano": 5}
    in_base64 = {
        "traceId": base64.b64encode(b"\xab" * 16).decode(),
        "spanId": base64.b64encode(b"\xcd" * 8).decode(),
        "parentSpanId": base64.b64encode(bytes(8)).decode(),
        "startTimeUnixNano": "5",
    }
    assert canonical(hexadecimal) == canonical(in_base64)
    named = canonical({**hexadecimal, "kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}})
    assert (named["kind"], named["status"]["code"]) == (3, 2)


@pytest.mark.parametrize(
    "span",
    [
        {"spanId": "01", "startTimeUnixNano": "1"},
        {"traceId": "01", "spanId": "01"},
        {"traceId": 5, "spanId": "01", "startTimeUnixNano": "1"},
        {"traceId": "01", "spanId": "01", "startTimeUnixNano": "-1"},
        {"traceId": "01", "spanId": "01", "startTimeUnixNano": str(2**63)},
    ],
)
def test_what_is_no_span_is_refused(span):
    with pytest.raises(NotSpans):
        canonical(span)


def test_a_run_gives_its_traces_whole_with_all_that_stood_there(tmp_path):
    recorded_run(tmp_path, chains=3)
    lines = (tmp_path / "spans.jsonl").read_bytes().splitlines(keepends=True)
    found = list(whole_traces(load_run(tmp_path)))
    assert [json.loads(line_of(items)) for items in found] == [document(items_of(json.loads(line))) for line in lines]


def test_traces_that_are_spread_over_lines_come_whole(tmp_path):
    path = tmp_path / "spans.jsonl"
    spread_file(path, [0, 1, 0, 2, 1, 1, 3])
    found = list(whole_traces(load_run(path)))
    assert sorted((items[0].trace_id, len(items)) for items in found) == [("t0", 2), ("t1", 3), ("t2", 1), ("t3", 1)]


def test_spans_are_grouped_by_trace_in_the_order_of_their_coming():
    assert [len(group) for group in by_trace(chain()).values()] == [6]
