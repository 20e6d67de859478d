"""Documents that are nearly OTLP JSON are read as it; others are refused by name."""

import base64
import copy
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.errors import DataError
from profiler.store.dialects import hexadecimal, normal
from profiler.store.parse import MALFORMED, spans_of_line
from profiler.store.reader import load_run

RECORDED = Path(__file__).parents[1] / "data" / "foreign" / "openinference.jsonl"
LINES = RECORDED.read_text(encoding="utf-8").splitlines()
DOCUMENT = json.loads(LINES[0])
EXPECTED = spans_of_line(LINES[0].encode())


def read(document):
    return spans_of_line(json.dumps(document).encode())


def each_span(document):
    for resource_spans in document["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            yield from scope_spans["spans"]


def in_base64():
    document = copy.deepcopy(DOCUMENT)
    for span in each_span(document):
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return document


def in_snake_case(value):
    if isinstance(value, dict):
        return {
            re.sub("([A-Z])", lambda c: "_" + c[1].lower(), name): in_snake_case(inner) for name, inner in value.items()
        }
    return [in_snake_case(inner) for inner in value] if isinstance(value, list) else value


def with_times_as_numbers():
    document = copy.deepcopy(DOCUMENT)
    for span in each_span(document):
        for name in ("startTimeUnixNano", "endTimeUnixNano"):
            span[name] = int(span[name])
    return document


def with_numbers_for_names():
    document = copy.deepcopy(DOCUMENT)
    codes = {"STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
    for span in each_span(document):
        span["kind"] = 1
        if "code" in span.get("status", {}):
            span["status"]["code"] = codes[span["status"]["code"]]
    return document


def of_an_older_otlp():
    document = copy.deepcopy(DOCUMENT)
    for resource_spans in document["resourceSpans"]:
        resource_spans["instrumentationLibrarySpans"] = resource_spans.pop("scopeSpans")
    return document


@pytest.mark.parametrize(
    "document",
    [
        in_base64(),
        in_snake_case(DOCUMENT),
        in_snake_case(in_base64()),
        with_times_as_numbers(),
        with_numbers_for_names(),
        of_an_older_otlp(),
        {"batches": DOCUMENT["resourceSpans"]},
        {"result": DOCUMENT},
        {"result": in_snake_case(DOCUMENT)},
    ],
    ids=["base64", "snake", "snake-base64", "number-times", "numbers", "older", "tempo", "jaeger-v3", "jaeger-snake"],
)
def test_other_ways_of_writing_the_same_spans_give_the_same_spans(document):
    assert read(document) == EXPECTED
    assert len(EXPECTED) > 10
    assert all(len(span.trace_id) == 32 and len(span.span_id) == 16 for span in EXPECTED)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"data": [{"traceID": "1", "spans": []}]}, "Jaeger's own format: profiler import makes a run of it"),
        ([{"traceId": "1", "id": "2", "localEndpoint": {}}], "Zipkin's format"),
        ({"resourceLogs": []}, "logs or metrics, not spans"),
        ({"resourceMetrics": []}, "logs or metrics, not spans"),
        ({"traceEvents": []}, "Chrome's trace events"),
        ([], "a list"),
        ({"result": {"error": "no such trace"}}, "no resourceSpans in it"),
        ({}, "no resourceSpans in it"),
        (5, "not an object"),
    ],
)
def test_other_formats_are_refused_by_name(document, says, tmp_path):
    with pytest.raises(ValueError, match=re.escape(says)):
        normal(document)
    path = tmp_path / "spans.jsonl"
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(says)):
        load_run(path)


def test_an_attribute_keeps_its_name_whatever_it_looks_like():
    spans = read(in_snake_case(DOCUMENT))
    assert any("llm.model_name" in span.attributes for span in spans)


def test_a_documents_lines_may_differ_in_how_they_are_written(tmp_path):
    path = tmp_path / "spans.jsonl"
    path.write_text(
        "".join(json.dumps(each) + "\n" for each in (in_base64(), {"result": {"resourceSpans": []}})), "utf-8"
    )
    assert len(load_run(path).tables.chains) == 3


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=8, max_size=8) | st.binary(min_size=16, max_size=16))
def test_an_id_is_the_same_in_hexadecimal_and_in_base64(raw):
    assert hexadecimal(base64.b64encode(raw).decode()) == hexadecimal(raw.hex().upper()) == raw.hex()


@pytest.mark.parametrize("identity", ["", "t1", "0" * 12, "not base 64!", "=" * 24, "Ünicode-Ünic"])
def test_what_is_no_id_in_base64_stays_but_for_its_case(identity):
    assert hexadecimal(identity) == identity.lower() or len(bytes.fromhex(hexadecimal(identity))) in (8, 16)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["resourceSpans", "resource_spans", "batches", "result", "data", "scopeSpans", "spans"]
                ),
                inner,
                max_size=2,
            )
        ),
        max_leaves=8,
    )
)
def test_any_document_gives_spans_or_a_refusal(document):
    with suppress(MALFORMED):
        assert isinstance(read(document), list)
