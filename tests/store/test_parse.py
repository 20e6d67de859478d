"""The quick way of reading a line and the thorough one give the same spans, or the same refusal."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.store import parse
from profiler.store.parse import MALFORMED, spans_of_line

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ['"', "\\", '"},{"intValue":"', '"},{"stringValue":"', "\u2028", "\x7f", "null", "true", "1"]
)
LEAF = (
    st.builds(lambda text: {"stringValue": text}, TEXT)
    | st.builds(lambda number: {"intValue": str(number)}, INT64)
    | st.builds(lambda number: {"intValue": number}, INT64)
    | st.builds(lambda number: {"doubleValue": number}, st.floats(allow_nan=False))
    | st.builds(lambda flag: {"boolValue": flag}, st.booleans())
    | st.builds(lambda text: {"bytesValue": text}, TEXT)
    | st.just({})
)
VALUE = st.recursive(
    LEAF,
    lambda inner: (
        st.builds(lambda values: {"arrayValue": {"values": values}}, st.lists(inner, max_size=4))
        | st.builds(
            lambda pairs: {"kvlistValue": {"values": [{"key": key, "value": value} for key, value in pairs]}},
            st.lists(st.tuples(TEXT, inner), max_size=3),
        )
        | st.just({"arrayValue": {}})
    ),
    max_leaves=6,
)
SPAN = st.fixed_dictionaries(
    {
        "traceId": st.sampled_from(["ab", "CD"]),
        "spanId": st.sampled_from(["1", "E"]),
        "startTimeUnixNano": st.integers(0, 2**63 - 1).map(str) | st.integers(0, 2**63 - 1),
    },
    optional={
        "endTimeUnixNano": st.integers(0, 2**63 - 1).map(str) | st.none(),
        "parentSpanId": st.sampled_from(["", "0" * 16, "E", None]),
        "name": TEXT,
        "flags": st.just(256),
        "status": st.fixed_dictionaries(
            {}, optional={"code": st.sampled_from([0, 2, "STATUS_CODE_ERROR"]), "message": TEXT}
        ),
        "attributes": st.lists(st.fixed_dictionaries({"key": TEXT}, optional={"value": VALUE}), max_size=4),
        "events": st.just([{"name": "e", "attributes": [{"key": "x", "value": {"stringValue": "y"}}]}]),
    },
)


def line_of(spans):
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]}
    document = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    return json.dumps(document, separators=(",", ":")).encode()


def one_span(**more):
    return line_of([{"traceId": "a", "spanId": "b", "startTimeUnixNano": "1", **more}])


def thoroughly(line):
    return list(parse._spans_of(json.loads(line)))


def typed(spans):
    """Told apart also where Python calls them equal: 1, 1.0 and True; NaN is equal to itself."""
    return repr([(*span[:6], dict(span.attributes), *span[7:]) for span in spans])


@settings(max_examples=100, deadline=None)
@given(st.lists(SPAN, max_size=3))
def test_both_ways_of_reading_agree(spans):
    line = line_of(spans)
    assert typed(parse._spans_of_structs(parse._decode(line))) == typed(thoroughly(line))


@settings(max_examples=60, deadline=None)
@given(SPAN, st.data())
def test_a_spoilt_line_is_read_as_the_thorough_way_reads_it(span, data):
    line = bytearray(line_of([span]))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] = data.draw(st.sampled_from(b'"{}[],:0 \\x\xff'))
    try:
        expected = typed(thoroughly(bytes(line)))
    except MALFORMED:
        with pytest.raises(MALFORMED):
            spans_of_line(bytes(line))
    else:
        assert typed(spans_of_line(bytes(line))) == expected


@pytest.mark.parametrize(
    ("array", "value"),
    [
        ([{"intValue": "1"}, {"intValue": "-2"}], (1, -2)),
        ([{"intValue": str(2**70)}], (2**70,)),
        ([{"intValue": "007"}, {"intValue": "1"}], (7, 1)),
        ([{"intValue": "1"}, {"stringValue": '"},{"intValue":"2'}], (1, '"},{"intValue":"2')),
        ([{"stringValue": "a"}, {"stringValue": '"},{"stringValue":"'}], ("a", '"},{"stringValue":"')),
        ([{"intValue": "1"}, {"doubleValue": 2.0}], (1, 2.0)),
        ([{"stringValue": "a"}, {"intValue": "1"}, {"stringValue": "b"}], ("a", 1, "b")),
    ],
)
def test_an_array_is_read_whatever_stands_in_it(array, value):
    attributes = [{"key": "x", "value": {"arrayValue": {"values": array}}}]
    (span,) = spans_of_line(one_span(attributes=attributes))
    assert span.attributes == {"x": value}


def test_half_a_surrogate_pair_is_kept():
    (span,) = spans_of_line(one_span(name="\ud800"))
    assert span.name == "\ud800"


def test_what_is_not_a_number_is_read():
    line = one_span(attributes=[{"key": "x", "value": {"doubleValue": 1.5}}]).replace(b"1.5", b"NaN")
    (span,) = spans_of_line(line)
    assert span.attributes["x"] != span.attributes["x"]
