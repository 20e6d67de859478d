import json
import math

from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sending import request

from profiler.receive.content import JSON, request_of
from profiler.receive.documents import line_of, spans_of
from profiler.store.parse import spans_of_line

TEXTS = st.text(max_size=8)
SCALARS = st.one_of(
    st.builds(lambda text: {"stringValue": text}, TEXTS),
    st.builds(lambda value: {"intValue": str(value)}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda value: {"doubleValue": value}, st.floats(allow_nan=False, allow_infinity=False)),
    st.sampled_from([{"doubleValue": "NaN"}, {"doubleValue": "Infinity"}, {"doubleValue": "-Infinity"}, {}]),
    st.builds(lambda value: {"boolValue": value}, st.booleans()),
    st.just({"bytesValue": "AAEC"}),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(lambda values: {"arrayValue": {"values": values}}, st.lists(inner, max_size=3)),
        st.builds(
            lambda pairs: {"kvlistValue": {"values": [{"key": key, "value": value} for key, value in pairs.items()]}},
            st.dictionaries(TEXTS, inner, max_size=3),
        ),
    ),
    max_leaves=3,
)
ATTRIBUTES = st.builds(
    lambda pairs: [{"key": key, "value": value} for key, value in pairs.items()],
    st.dictionaries(TEXTS, VALUES, max_size=2),
)
COUNTS = st.integers(0, 2**32 - 1)
TIMES = st.integers(0, 2**64 - 1).map(str)
TRACE_IDS, SPAN_IDS = (
    st.binary(min_size=16, max_size=16).map(bytes.hex),
    st.binary(min_size=8, max_size=8).map(bytes.hex),
)
EVENTS = st.fixed_dictionaries({"timeUnixNano": TIMES, "name": TEXTS, "attributes": ATTRIBUTES})
LINKS = st.fixed_dictionaries({"traceId": TRACE_IDS, "spanId": SPAN_IDS, "traceState": TEXTS, "attributes": ATTRIBUTES})
SPANS = st.fixed_dictionaries(
    {"traceId": TRACE_IDS, "spanId": SPAN_IDS, "startTimeUnixNano": TIMES, "endTimeUnixNano": TIMES},
    optional={
        "parentSpanId": SPAN_IDS,
        "traceState": TEXTS,
        "flags": COUNTS,
        "name": TEXTS,
        "kind": st.integers(0, 5),
        "attributes": ATTRIBUTES,
        "droppedAttributesCount": COUNTS,
        "events": st.lists(EVENTS, max_size=2),
        "droppedEventsCount": COUNTS,
        "links": st.lists(LINKS, max_size=2),
        "droppedLinksCount": COUNTS,
        "status": st.fixed_dictionaries({"code": st.integers(1, 2), "message": TEXTS}),
    },
)
DOCUMENTS = st.builds(
    lambda spans, attributes, name, schema: {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes, "droppedAttributesCount": 3},
                "scopeSpans": [
                    {
                        "scope": {"name": name, "version": "1", "attributes": attributes},
                        "spans": spans,
                        "schemaUrl": schema,
                    }
                ],
                "schemaUrl": schema,
            }
        ]
    },
    st.lists(SPANS, min_size=1, max_size=2),
    ATTRIBUTES,
    TEXTS,
    TEXTS,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])  # documents are deep
@given(DOCUMENTS)
def test_what_is_stored_reads_as_what_was_received(document):
    received = request_of(json.dumps(document).encode(), kind=JSON)
    line = line_of(received, lambda span: True)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    again = request_of(line, kind=JSON)
    assert again.SerializeToString(deterministic=True) == received.SerializeToString(deterministic=True)


def test_it_is_what_protobuf_itself_would_write_but_for_the_ids():
    sent = request({"attributes": {"a": 0.5, "b": math.inf, "c": math.nan}})
    ours = json.loads(line_of(sent, lambda span: True))
    [span] = ours["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["spanId"]) == (f"{1:032x}", f"{1:016x}")
    theirs = MessageToDict(sent, use_integers_for_enums=True)
    [same] = theirs["resourceSpans"][0]["scopeSpans"][0]["spans"]
    same["traceId"], same["spanId"] = span["traceId"], span["spanId"]
    assert ours == theirs


def test_only_the_spans_that_are_wanted_are_in_it_and_none_make_no_line():
    sent = request({"trace_id": 1}, {"trace_id": 2}, {"trace_id": 1})
    line = line_of(sent, lambda span: int.from_bytes(span.trace_id) == 1)
    assert [span.trace_id for span in spans_of_line(line)] == [f"{1:032x}"] * 2
    assert line_of(sent, lambda span: False) == b""
    assert len(list(spans_of(sent))) == 3


def test_the_reader_of_runs_reads_it():
    [span] = spans_of_line(line_of(request({"parent": 5}), lambda span: True))
    assert (span.name, span.parent_id, span.service) == ("llm_request", f"{5:016x}", "vllm")
    assert span.attributes["gen_ai.latency.e2e"] == 0.075
