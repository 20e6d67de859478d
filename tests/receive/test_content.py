import base64
import contextlib
import gzip
import json
import tracemalloc
import zlib

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from sending import request

from profiler.receive.content import JSON, MOST_BYTES, PROTOBUF, Refused, request_of

SENT = request({"trace_id": 7, "parent": 9}, {"trace_id": 8})


def in_json(message) -> dict:
    """OTLP's JSON, by protobuf's own conversion and the one difference that the specification names."""
    document = MessageToDict(message, use_integers_for_enums=True)
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64decode(span[name]).hex()
    return document


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [("", bytes), ("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)],
    ids=["none", "identity", "gzip", "deflate"],
)
@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_a_request_is_the_same_in_every_encoding(kind, encoding, encoded):
    body = SENT.SerializeToString() if kind == PROTOBUF else json.dumps(in_json(SENT)).encode()
    assert request_of(encoded(body), kind=kind, encoding=encoding) == SENT


def test_members_that_a_later_release_adds_are_no_reason_to_refuse():
    document = in_json(SENT) | {"laterMember": {"deep": [1]}}
    assert request_of(json.dumps(document).encode(), kind=JSON) == SENT


def test_a_bomb_is_refused_before_it_is_inflated():
    bomb = gzip.compress(bytes(64 << 20), compresslevel=1)
    assert len(bomb) < MOST_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="4194304 bytes, inflated too") as refused:
            request_of(bomb, encoding="gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413
    assert peak < 4 * MOST_BYTES


def test_a_bomb_of_many_small_parts_is_one_too():
    part = gzip.compress(bytes(1 << 20))
    with pytest.raises(Refused, match="is no ExportTraceServiceRequest"):  # the first part alone is read
        request_of(part * 200, encoding="gzip")


@pytest.mark.parametrize(
    ("body", "options", "status", "said"),
    [
        (b"x" * (MOST_BYTES + 1), {}, 413, "smaller batches"),
        (b"no protobuf", {}, 400, "no ExportTraceServiceRequest"),
        (b"no JSON", {"kind": JSON}, 400, "not OTLP in JSON"),
        (b"[]", {"kind": JSON}, 400, "not OTLP in JSON"),
        (b'{"resourceSpans": 7}', {"kind": JSON}, 400, "not OTLP in JSON"),
        (b'{"resourceSpans": [7]}', {"kind": JSON}, 400, "not OTLP in JSON"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xy"}]}]}]}', {"kind": JSON}, 400, "not OTLP"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "ab"}]}]}]}', {"kind": JSON}, 400, "not OTLP"),
        (b"[" * 100_000, {"kind": JSON}, 400, "not OTLP in JSON"),
        (b'{"resourceSpans":' * 900 + b"1" + b"}" * 900, {"kind": JSON}, 400, "not OTLP in JSON"),
        (b"no gzip", {"encoding": "gzip"}, 400, "not gzip"),
        (gzip.compress(b"abc" * 1000, mtime=0)[:-12], {"encoding": "gzip"}, 400, "cut off"),
        (b"", {"encoding": "br"}, 415, "send gzip or none"),
        (b"", {"kind": "text/plain"}, 415, "application/x-protobuf"),
    ],
)
def test_what_is_wrong_is_refused_in_words(body, options, status, said):
    with pytest.raises(Refused, match=said) as refused:
        request_of(body, **options)
    assert refused.value.status == status


@given(st.binary(max_size=300), st.sampled_from([PROTOBUF, JSON]), st.sampled_from(["", "gzip"]))
def test_nothing_that_can_be_sent_raises_anything_else(body, kind, encoding):
    with contextlib.suppress(Refused):
        request_of(body, kind=kind, encoding=encoding)
