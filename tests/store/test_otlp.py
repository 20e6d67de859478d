"""The line that is written is the one that OpenTelemetry's own encoder would write."""

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from profiler.store.otlp import encode

PLAIN = st.one_of(st.text(max_size=20), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans())
VALUES = st.one_of(
    PLAIN, st.lists(PLAIN, max_size=4).map(tuple), st.dictionaries(st.text(min_size=1, max_size=5), PLAIN, max_size=3)
)
NAMES = st.text(min_size=1, max_size=20)
STATUSES = st.sampled_from([Status(), Status(StatusCode.ERROR), Status(StatusCode.ERROR, "no"), Status(StatusCode.OK)])


@st.composite
def spans(draw):
    context = SpanContext(draw(st.integers(1, 2**128 - 1)), draw(st.integers(1, 2**64 - 1)), is_remote=False)
    parent = SpanContext(context.trace_id, 7, is_remote=False)
    return ReadableSpan(
        name=draw(NAMES),
        context=context,
        parent=draw(st.sampled_from([None, parent])),
        resource=Resource({"service.name": "agent", "n": 1}, "https://example.org/schema"),
        attributes=draw(st.dictionaries(NAMES, VALUES, max_size=4)),
        kind=draw(st.sampled_from(list(SpanKind))),
        status=draw(STATUSES),
        start_time=draw(st.integers(1, 2**63)),
        end_time=draw(st.integers(1, 2**63)),
        instrumentation_scope=InstrumentationScope("profiler", "1", "https://example.org/schema"),
    )


def without_empty_statuses(document):
    for group in document["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                if not span.get("status"):
                    span.pop("status", None)
    return document


def same(one, other):
    """Equal, with a NaN equal to itself."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one))


@settings(max_examples=60, deadline=None)
@given(st.lists(spans(), min_size=1, max_size=3))
def test_the_line_says_what_the_official_encoder_says(batch):
    line = encode(batch)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert same(json.loads(line), without_empty_statuses(encode_spans(batch).to_dict()))


def test_half_a_surrogate_pair_is_written_as_an_escape():
    context = SpanContext(1, 1, is_remote=False)
    line = encode([ReadableSpan("caf\udce9", context, resource=Resource({}), start_time=1, end_time=2)])
    assert rb"caf\udce9" in line
    assert json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] == "caf\udce9"
