import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socket_loop import figures

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(body):
    return b"%x\r\n%b\r\n" % (len(body), body)


def event(**delta):
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}, ensure_ascii=False).encode() + b"\n\n"


ANSWER = [
    HEAD,
    chunk(event(role="assistant", content="")),
    chunk(b": keep-alive\n\n"),
    chunk(event(content="one\u2028")),
    chunk(event(content="two")),
    chunk(event(content="three")),
    chunk(b"data: [DONE]\n\n"),
]


def test_framing_roles_and_comments_are_no_output():
    blocks = [(index * 10, data) for index, data in enumerate(ANSWER)]
    assert figures(blocks, sent_ns=-5, tokens=3) == {"ttft_ns": 35, "tpot_ns": 10}


def test_several_tokens_in_a_chunk_share_its_time():
    blocks = [(0, HEAD), (100, chunk(event(content="one two"))), (120, chunk(event(content="three four")))]
    assert figures(blocks, sent_ns=0, tokens=4) == {"ttft_ns": 100, "tpot_ns": pytest.approx(10)}


def test_without_output_nothing_is_known():
    assert figures([(0, HEAD), (1, chunk(b"data: [DONE]\n\n"))], 0, 3) == {"ttft_ns": None, "tpot_ns": None}


@given(st.sets(st.integers(1, 400)))
def test_an_event_counts_when_its_last_byte_is_there(cuts):
    text = b"".join(ANSWER)
    ends = [len(b"".join(ANSWER[: index + 1])) for index in range(len(ANSWER))]
    edges = sorted({0, len(text)} | {cut for cut in cuts if cut < len(text)})
    blocks = [(end, text[begin:end]) for begin, end in pairwise(edges)]
    first = next(edge for edge in edges if edge >= ends[3])
    assert figures(blocks, 0, 3)["ttft_ns"] == first
