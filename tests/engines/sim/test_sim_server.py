"""The embedded engine's server over real HTTP: answers, ground truth, and clients that misbehave."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from sim_server import (
    chat,
    chunks,
    everything,
    forced,
    http,
    serving,
    streamed,
    text_of,
    traceparent,
    until,
)

from profiler.truth import CLIENT_GONE, OK, REFUSED_BY_SERVER

SLOW = {"step_us": 20_000.0}


@pytest.fixture
def sim(tmp_path):
    with serving(tmp_path) as server:
        yield server


# --- what is answered ------------------------------------------------------------------------------------


def test_a_stream_and_a_body_say_the_same(sim):
    whole = sim.post().json()
    found = chunks(sim.post(streamed()).content)
    assert text_of(found) == whole["choices"][0]["message"]["content"]
    assert found[-2]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert found[-1] == "[DONE]"


def test_completions_are_answered(sim):
    body = sim.post({"prompt": "Once", "max_tokens": 5, "ignore_eos": True}, "/v1/completions").json()
    assert body["usage"]["completion_tokens"] == 5
    found = chunks(sim.post({"prompt": "Once", "stream": True}, "/v1/completions").content)
    assert text_of(found)


def test_a_request_id_is_taken_over(sim):
    headers = {"X-Request-Id": "mine"}
    assert sim.post(headers=headers).json()["id"] == "chatcmpl-mine"
    assert sim.truth().id == "chatcmpl-mine"


def test_many_streams_at_once_are_all_answered(tmp_path):
    with serving(tmp_path, changes={"step_us": 2000.0}) as sim, ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda number: sim.post(streamed(f"Stream {number}", **forced(20))), range(64)))
        truths = sim.truths(64)
    assert [chunks(answer.content)[-2]["usage"]["completion_tokens"] for answer in answers] == [20] * 64
    assert all((truth.outcome, truth.written_tokens[-1]) == (OK, 20) for truth in truths)
    assert len({truth.number for truth in truths}) == 64


def test_a_prompt_is_found_in_the_prefix_cache_unless_its_salt_is_another(sim):
    def cached(**fields):
        usage = sim.post(chat("word " * 200, **fields)).json()["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"]

    assert [cached(), cached() > 150, cached(cache_salt="a"), cached(cache_salt="a") > 150] == [0, True, 0, True]
    assert cached(cache_salt="b") == 0


def test_pages_are_served(sim):
    assert sim.get("/health").status_code == 200
    assert sim.get("/v1/models").json()["data"][0]["id"] == "m"
    assert sim.get("/version").json()
    assert httpx.head(f"{sim.url}/v1/models", trust_env=False).content == b""


# --- ground truth ----------------------------------------------------------------------------------------


def test_every_request_has_a_line_that_adds_up(sim):
    for number in range(1, 4):
        sim.post(streamed(f"Question {number}"), headers={"traceparent": traceparent(number)})
    sim.post(chat(), headers={"traceparent": traceparent(4)})
    for truth in sim.truths(4):
        assert truth.span_id == f"{truth.number:016x}"
        assert truth.path == "/v1/chat/completions"
        assert (truth.status, truth.outcome, truth.fault) == (200, OK, None)
        assert truth.queue_ns == truth.scheduled_ns - truth.queued_ns
        assert truth.prefill_ns == truth.first_token_ns - truth.scheduled_ns
        assert truth.decode_ns == truth.last_token_ns - truth.first_token_ns
        order = [truth.arrival_ns, truth.queued_ns, truth.scheduled_ns, truth.first_token_ns, truth.last_token_ns]
        assert order == sorted(order)
        assert truth.arrival_ns < truth.headers_ns <= truth.writes_ns[0]
        assert truth.writes_ns == sorted(truth.writes_ns)
        assert truth.writes_ns[-1] <= truth.end_ns
        assert truth.writes_ns[-1] >= truth.last_token_ns
        assert truth.written_tokens == sorted(truth.written_tokens)
        assert truth.written_tokens[-1] == truth.output_tokens
        assert len(truth.writes_ns) == len(truth.written_tokens)
        assert truth.late_max_ns > 0


def test_the_engines_own_timing_is_the_truth(sim):
    body = sim.post().json()
    last = chunks(sim.post(streamed()).content)[-2]
    for answered, truth in zip((body, last), sim.truths(2), strict=True):
        metrics = answered["metrics"]
        assert metrics["queue_time_ms"] == truth.queue_ns / 1e6
        assert metrics["time_to_first_token_ms"] == truth.prefill_ns / 1e6
        assert metrics["generation_time_ms"] == truth.decode_ns / 1e6
        assert answered["usage"]["completion_tokens"] == truth.output_tokens
        assert answered["usage"]["prompt_tokens"] == truth.prompt_tokens
        assert answered["usage"]["prompt_tokens_details"]["cached_tokens"] == truth.cached_tokens


def test_tokens_of_all_choices_are_counted(sim):
    usage = chunks(sim.post(streamed(n=3, **forced(4))).content)[-2]["usage"]
    truth = sim.truth()
    assert usage["completion_tokens"] == truth.output_tokens == truth.written_tokens[-1] == 12


def test_the_line_is_there_before_an_unstreamed_answers_connection_serves_the_next(sim):
    with closing(sim.connect()) as connection:
        connection.sendall(http(chat()) + http(chat("And that?"), headers=["Connection: close"]))
        data, error = everything(connection)
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert error is None
    first, second = sim.truths(2)
    assert first.end_ns <= second.queued_ns or first.end_ns <= second.end_ns


def test_refused_requests_have_a_line_too(sim):
    assert sim.post(chat(model="other")).status_code == 404
    assert sim.post(chat("word " * 200_000)).status_code == 400
    assert [(truth.outcome, truth.status) for truth in sim.truths(2)] == [
        (REFUSED_BY_SERVER, 404),
        (REFUSED_BY_SERVER, 400),
    ]


# --- a key -----------------------------------------------------------------------------------------------


def test_a_key_is_asked_for(tmp_path):
    with serving(tmp_path, api_key="sécret") as sim:
        given = {"Authorization": "Bearer sécret".encode()}
        assert sim.post().status_code == 401
        assert sim.post(headers={"Authorization": "Bearer other"}).status_code == 401
        assert sim.post(headers={"Authorization": b"Bearer \xff\xfe"}).status_code == 401
        assert sim.post(headers=given).status_code == 200
        assert sim.get("/v1/models").status_code == 401
        assert sim.get("/v1/models", headers=given).status_code == 200
        assert [sim.get(path).status_code for path in ("/health", "/metrics", "/version")] == [200] * 3
        assert "sécret" not in repr(sim.options)


# --- nonsense --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"messages": 3}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(sim, body):
    data, _ = sim.raw(http(body, headers=["Connection: close"]))
    assert data.startswith(b"HTTP/1.1 400")
    assert b'"error"' in data
    assert sim.truth().outcome == REFUSED_BY_SERVER


def test_bytes_that_are_no_text_in_headers_do_no_harm(sim):
    odd = [b"X-Request-Id: a\xff\xfe", b"traceparent: 00-" + b"a" * 32 + b"-" + b"\xff" * 16 + b"-01"]
    request = http(chat()).replace(b"Host: sim", b"Host: sim\r\nConnection: close\r\n" + b"\r\n".join(odd))
    data, _ = sim.raw(request)
    assert data.startswith(b"HTTP/1.1 200")
    assert sim.truth().span_id is None


def test_a_body_that_no_model_takes_is_refused_before_it_is_read_whole(tmp_path):
    changes = {"max_model_tokens": 1000, "max_step_tokens": 2000}
    with serving(tmp_path, changes=changes) as sim:
        bomb = gzip.compress(b" " * 200 * 2**20)
        headers = ["Content-Encoding: gzip", "Connection: close"]
        data, _ = sim.raw(http(bomb, headers=headers))
        assert data.startswith(b"HTTP/1.1 413")
        assert sim.post(chat("x" * 3 * 2**20)).status_code == 413
        assert sim.post().status_code == 200


def test_a_compressed_body_is_read(sim):
    data, _ = sim.raw(
        http(gzip.compress(json.dumps(chat()).encode()), headers=["Content-Encoding: gzip", "Connection: close"])
    )
    assert data.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "content", [b"no gzip at all", gzip.compress(json.dumps(chat()).encode())[:-20]], ids=["other", "cut off"]
)
def test_a_body_that_is_not_compressed_as_it_says_is_refused(sim, content):
    data, _ = sim.raw(http(content, headers=["Content-Encoding: gzip", "Connection: close"]))
    assert data.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
     b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
     b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"GET / HTTP/1.1\r\n" + b"A: " + b"a" * 100_000 + b"\r\n\r\n"],
    ids=["tls", "words", "version", "length", "chunk", "header"],
)  # fmt: skip
def test_what_is_no_http_gets_a_400_or_nothing(sim, nonsense):
    data, _ = sim.raw(nonsense)
    assert data == b"" or data.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert sim.post().status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/completions", 405), ("POST", "/health", 405),
     ("PUT", "/metrics", 405), ("GET", "/v1/nothing", 404), ("POST", "/v1/embeddings", 404), ("OPTIONS", "/", 404),
     ("GET", "//health", 404), ("GET", "/%ff", 404)],
)  # fmt: skip
def test_another_method_or_path_is_told(sim, method, path, status):
    request = f"{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    data, _ = sim.raw(request.encode())
    head = data.split(b"\r\n\r\n")[0]
    assert data.startswith(b"HTTP/1.1 %d" % status)
    assert (b"Allow:" in head) == (status == 405)


def test_a_client_that_waits_for_continue_is_told_to(sim):
    request = http(chat(), headers=["Expect: 100-continue", "Connection: close"])
    head, body = request.split(b"\r\n\r\n", 1)
    with closing(sim.connect()) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(body)
        assert b"HTTP/1.1 200 OK" in everything(connection)[0]


# --- clients that leave, or do not read -------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("linger", [True, False])
def test_a_client_that_leaves_is_in_the_truth_and_frees_what_it_held(tmp_path, stream, linger):
    with serving(tmp_path, changes=SLOW) as sim:
        with closing(sim.connect()) as connection:
            connection.sendall(http(chat("word " * 100, stream=stream, **forced(5000))))
            until(lambda: sim.scheduler.running == 1)
            if linger:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        truth = sim.truth()
        assert (truth.outcome, truth.output_tokens, truth.last_token_ns) == (CLIENT_GONE, None, None)
        assert truth.queue_ns == truth.scheduled_ns - truth.queued_ns
        sim.settle()


def test_a_client_that_leaves_in_the_queue_is_forgotten(tmp_path):
    with serving(tmp_path, changes={**SLOW, "max_running": 1}) as sim:
        with closing(sim.connect()) as first, closing(sim.connect()) as second:
            first.sendall(http(chat(**forced(5000))))
            until(lambda: sim.scheduler.running == 1)
            second.sendall(http(chat("Another")))
            until(lambda: sim.scheduler.waiting == 1)
            second.close()
            until(lambda: sim.scheduler.waiting == 0)
            assert sim.truth().scheduled_ns is None
            assert sim.scheduler.running == 1
        sim.truths(2)


def test_a_client_that_leaves_before_its_body_is_sent_leaves_nothing(sim):
    with closing(sim.connect()) as connection:
        connection.sendall(http(chat())[:-5])
        until(lambda: sim.server._inside == 1)
    assert sim.truth().outcome == CLIENT_GONE


def test_a_client_that_closes_after_the_last_event_was_answered(sim):
    with closing(sim.connect()) as connection:
        connection.sendall(http(streamed()))
        data = b""
        while b"[DONE]" not in data:
            data += connection.recv(65536)
    assert sim.truth().outcome == OK


def test_a_client_that_never_reads_harms_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr("profiler.engines.sim.writer.LARGEST_BACKLOG", 100_000)
    with serving(tmp_path) as sim, closing(sim.connect()) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(http(streamed(**forced(60_000))))
        answer = sim.post(streamed(**forced(30)))
        assert chunks(answer.content)[-2]["usage"]["completion_tokens"] == 30
        outcomes = {truth.output_tokens: truth.outcome for truth in sim.truths(2)}
    assert outcomes == {30: OK, None: CLIENT_GONE}


# --- metrics ---------------------------------------------------------------------------------------------


def test_the_metrics_page_says_what_runs_and_what_was_done(tmp_path):
    with serving(tmp_path, changes=SLOW) as sim:
        with closing(sim.connect()) as running:
            running.sendall(http(chat(**forced(5000))))
            until(lambda: sim.scheduler.running == 1)
            assert 'vllm:num_requests_running{engine="0",model_name="m"} 1.0' in sim.get("/metrics").text
        sim.settle()
        sim.post(chat(**forced(10)))
        page = sim.get("/metrics").text
    assert 'vllm:num_requests_running{engine="0",model_name="m"} 0.0' in page
    assert 'vllm:generation_tokens_total{engine="0",model_name="m"} 10.0' in page
    assert re.search(r'vllm:request_success_total\{.*finished_reason="length".*\} 1.0', page)


# --- in the middle of many -------------------------------------------------------------------------------


def test_streams_are_whole_while_others_come_with_nonsense(tmp_path):
    with serving(tmp_path, changes={"step_us": 3000.0}) as sim, ThreadPoolExecutor(16) as pool:
        streams = [pool.submit(sim.post, streamed(f"Stream {number}", **forced(60))) for number in range(12)]
        stop = threading.Event()

        def disturb():
            while not stop.is_set():
                sim.raw(b"\x16\x03nonsense\r\n\r\n")
                sim.raw(http(b"{", headers=["Connection: close"]))
                with closing(sim.connect()) as connection:
                    connection.sendall(http(streamed("I leave", **forced(500))))

        disturbing = pool.submit(disturb)
        try:
            found = [chunks(stream.result().content) for stream in streams]
        finally:
            stop.set()
        disturbing.result()
    assert [each[-2]["usage"]["completion_tokens"] for each in found] == [60] * 12
