"""The look for a Jaeger beside a collector costs a second at most, whatever else is on its port."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from span_collectors import answering

from profiler.exchange import viewer


def whole(body):
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def test_a_jaeger_is_found(monkeypatch):
    with answering([whole(b'{"services":["agent"]}')]) as port:
        monkeypatch.setattr(viewer, "UI_PORT", port)
        assert viewer.find_viewer("http://127.0.0.1:4318") == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b"[]", b"{}", b"\xff", b'{"services":"all"}', b'{"services":[]}'.ljust(2 << 20)],
    ids=["deep", "a list", "nothing", "no text", "no list", "large"],
)
def test_whatever_else_answers_is_none_and_no_error(monkeypatch, body):
    with answering([whole(body)]) as port:
        monkeypatch.setattr(viewer, "UI_PORT", port)
        assert viewer.find_viewer("http://127.0.0.1:4318") is None


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "body"])
def test_an_answer_that_drips_is_cut_off(monkeypatch, begin):
    monkeypatch.setattr(viewer, "_WAIT_S", 0.5)
    with answering([begin, b" "], pause_s=0.05) as port:
        monkeypatch.setattr(viewer, "UI_PORT", port)
        began = time.monotonic()
        assert viewer.find_viewer("http://127.0.0.1:4318") is None
        assert time.monotonic() - began < 120  # and not for ever
