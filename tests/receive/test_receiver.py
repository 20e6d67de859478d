"""The receiver on a real socket, with OpenTelemetry's own exporters and with clients that mean no good."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import threading
import time

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.sdk.trace.export import SpanExportResult
from sending import over_grpc, over_http, post, request, send_one, tracer

from profiler.errors import EngineUnavailable
from profiler.receive import door
from profiler.receive import over_grpc as grpc_side
from profiler.receive import over_http as http_side
from profiler.receive.content import MOST_BYTES
from profiler.receive.intake import Answered
from profiler.receive.receiver import SpanReceiver

OURS = 7


class Kept:
    """A receiver with a run whose only chain has been written."""

    def __init__(self, receiver, calls=()):
        self.receiver = receiver
        self.lines = []
        receiver.begin({OURS}.__contains__, lambda line: self.lines.append(line) or True)
        receiver._soon(receiver._intake.answered, Answered(OURS, list(calls)))

    def parents(self):
        return [
            int(span["parentSpanId"], 16)
            for line in self.lines
            for resource_spans in json.loads(line)["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for span in scope_spans["spans"]
        ]


@pytest.fixture
def receiver():
    with SpanReceiver() as receiver:
        yield receiver
    assert not receiver._thread.is_alive()


def until(condition, seconds=200.0):
    """What comes from other threads comes some time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


@pytest.mark.parametrize(
    "exporter",
    [
        over_grpc,
        lambda address: over_grpc(address.removesuffix("/v1/traces")),
        lambda address: over_grpc(address, compression=grpc.Compression.Gzip),
        over_http,
        lambda address: over_http(address, compression=Compression.Gzip),
        lambda address: over_http(address.removesuffix("/v1/traces")),
    ],
    ids=["grpc", "grpc, no path", "grpc, gzip", "http", "http, gzip", "http, no path: an address meant for grpc"],
)
def test_the_official_exporters_are_understood_on_one_port_whatever_they_speak(receiver, exporter):
    kept = Kept(receiver, calls=[11])
    send_one(exporter(receiver.endpoint), OURS, parent=11)
    receiver.wait(200)
    assert receiver._intake.complete.is_set()
    assert kept.parents() == [11]
    assert receiver.facts().joined == 1


def test_json_is_understood_too(receiver):
    kept = Kept(receiver)
    span = {"traceId": f"{OURS:032x}", "spanId": f"{1:016x}", "parentSpanId": f"{3:016x}", "name": "llm_request"}
    span |= {"startTimeUnixNano": "1795650000000000000", "endTimeUnixNano": "1795650000000000001"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    headers = {"content_type": "application/json; charset=utf-8"}
    assert post(receiver.port, body, **headers) == (200, b"{}")
    assert post(receiver.port, gzip.compress(body), content_encoding="gzip", **headers) == (200, b"{}")
    assert kept.parents() == [3, 3]


def test_waiting_ends_with_the_last_span_and_not_before(receiver):
    kept = Kept(receiver, calls=[11, 12])
    send_one(over_http(receiver.endpoint), OURS, parent=11)
    assert receiver.wait(0.3) >= 0.3
    late = threading.Thread(target=send_one, args=(over_http(receiver.endpoint), OURS, 12))
    late.start()
    receiver.wait(200)
    assert receiver._intake.complete.is_set()
    late.join()
    assert sorted(kept.parents()) == [11, 12]


def test_an_engine_that_sends_nothing_is_waited_for_no_longer_than_was_said(receiver):
    Kept(receiver, calls=[11])
    assert receiver.wait(0.2) >= 0.2
    facts = receiver.facts()
    assert (facts.calls, facts.joined, facts.received) == (1, 0, 0)


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        (gzip.compress(bytes(64 << 20), mtime=0), {"content_encoding": "gzip"}, 413, "too large"),
        (bytes(MOST_BYTES + 1), {}, 413, "too large"),
        (b"garbage", {}, 400, "not OTLP"),
        (b"garbage", {"content_type": "application/json"}, 400, "not OTLP"),
        (b"garbage", {"content_encoding": "gzip"}, 400, "not compressed"),
        (b"<xml/>", {"content_type": "text/xml"}, 415, "content type"),
    ],
    ids=["a bomb", "too much", "no protobuf", "no JSON", "no gzip", "another type"],
)
def test_what_is_wrong_over_http_is_refused_and_counted_and_the_next_is_taken(receiver, body, headers, status, kind):
    kept = Kept(receiver)
    assert post(receiver.port, body, **headers)[0] == status
    assert receiver.facts().refused == {kind: 1}
    send_one(over_http(receiver.endpoint), OURS, parent=11)
    assert kept.parents() == [11]


def test_other_paths_and_methods_are_told_where_spans_are_taken(receiver):
    status, body = post(receiver.port, b"", path="/v1/metrics")
    assert status == 404
    assert b"/v1/traces" in body
    assert post(receiver.port, b"", method="GET")[0] == 405


def test_a_bomb_over_grpc_is_refused_by_its_inflated_size(receiver):
    Kept(receiver)
    with grpc.insecure_channel(f"127.0.0.1:{receiver.port}", compression=grpc.Compression.Gzip) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError) as refused:
            export(bytes(64 << 20), timeout=300)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as refused:
            export(b"garbage", timeout=300)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert export(request({"trace_id": OURS}).SerializeToString(), timeout=300) == b""
    until(lambda: receiver.facts().refused == {"not OTLP": 1})
    assert receiver.facts().kept == 1


def test_a_body_without_an_end_is_cut_off_at_the_limit(receiver):
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=300) as endless:
        head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        endless.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        sent, answer = 0, b""
        try:
            while sent < 20 * MOST_BYTES:
                endless.sendall(chunk)
                sent += len(chunk)
            answer = endless.recv(1000)
        except ConnectionError:
            pass
    assert sent < 20 * MOST_BYTES or b"413" in answer
    until(lambda: receiver.facts().refused == {"too large": 1})


def test_a_slow_sender_is_cut_off_and_holds_nobody_up(receiver, monkeypatch):
    monkeypatch.setattr(http_side, "BODY_LIMIT_S", 0.3)
    kept = Kept(receiver)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=300) as slow:
        slow.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        send_one(over_grpc(receiver.endpoint), OURS, parent=11)
        send_one(over_http(receiver.endpoint), OURS, parent=12)
        assert kept.parents() == [11, 12]
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert receiver.facts().refused == {"too slow": 1}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (b"\x00\x01\x02\x03" + os.urandom(2000), "neither HTTP nor gRPC"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "neither HTTP nor gRPC"),
    ],
    ids=["TLS", "garbage", "SSH"],
)
def test_connections_that_speak_something_else_are_cut_off_and_counted(receiver, said, kind):
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=300) as other:
        try:
            other.sendall(said)
            assert other.recv(1000) == b""
        except ConnectionError:
            pass
    until(lambda: receiver.facts().refused == {kind: 1})


def test_garbage_that_begins_as_grpc_does_harms_nothing(receiver):
    kept = Kept(receiver)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=300) as other:
            other.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(500))
    send_one(over_grpc(receiver.endpoint), OURS, parent=11)
    assert kept.parents() == [11]


def test_more_connections_than_it_takes_are_refused_and_those_that_are_there_go_on(receiver, monkeypatch):
    monkeypatch.setattr("profiler.receive.door.MOST_CONNECTIONS", 3)
    idle = [socket.create_connection(("127.0.0.1", receiver.port), timeout=300) for _ in range(3)]
    until(lambda: len(receiver._door.open) == 3)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=300) as one_more:
        with contextlib.suppress(ConnectionError):
            assert one_more.recv(10) == b""
    until(lambda: receiver.facts().refused == {"too many connections": 1})
    for each in idle:
        each.close()
    until(lambda: not receiver._door.open)
    assert post(receiver.port, b"")[0] == 200


def test_a_port_that_is_taken_is_told_with_what_to_do():
    with SpanReceiver() as first, pytest.raises(EngineUnavailable, match="Address already in use") as told:
        SpanReceiver(port=first.port)
    assert "--engine-spans" in told.value.remedy


def test_it_listens_on_loopback_alone_unless_told(receiver):
    assert receiver._socket.getsockname()[0] == "127.0.0.1"
    assert receiver.endpoint == f"http://127.0.0.1:{receiver.port}/v1/traces"


def test_after_its_end_the_port_is_free_and_an_exporter_fails_quickly():
    with SpanReceiver() as receiver:
        port = receiver.port
        with tracer(over_http(receiver.endpoint)):
            pass
    with SpanReceiver(port=port):
        pass
    exporter = over_http(f"http://127.0.0.1:{port}/v1/traces")
    exporter._timeout = 0.1
    assert exporter.export([]) is not SpanExportResult.SUCCESS
    exporter.shutdown()


def test_closing_with_connections_open_and_requests_under_way_ends_at_once():
    receiver = SpanReceiver()
    open_ones = [socket.create_connection(("127.0.0.1", receiver.port), timeout=300) for _ in range(3)]
    open_ones[0].sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    open_ones[1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    until(lambda: len(receiver._door.open) == 3)
    receiver.close()
    assert not receiver._thread.is_alive()
    for each in open_ones:
        each.close()


def test_a_grpc_call_that_never_sends_its_message_holds_nobody_up_and_is_cut_off(receiver, monkeypatch):
    monkeypatch.setattr(grpc_side, "_MESSAGE_S", 3.0)
    kept = Kept(receiver, calls=[11])
    said = threading.Event()

    def never():
        said.wait(200)
        yield from ()

    with grpc.insecure_channel(f"127.0.0.1:{receiver.port}") as channel:
        silent = channel.stream_unary(f"/{grpc_side.SERVICE}/Export").future(never(), timeout=300)
        send_one(over_grpc(receiver.endpoint), OURS, parent=11)
        until(lambda: kept.parents() == [11])
        until(silent.done)
        assert silent.code() is grpc.StatusCode.CANCELLED
        said.set()


@pytest.mark.parametrize("said", [b"POST /v1", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_a_connection_that_stops_before_its_first_request_is_whole_is_cut_off(receiver, monkeypatch, said):
    monkeypatch.setattr(door, "FIRST_BYTES_S", 0.3)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=300) as connection:
        connection.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(1000):
                pass
    until(lambda: not receiver._door.open)


def test_a_connection_whose_first_request_is_whole_may_stay(receiver, monkeypatch):
    monkeypatch.setattr(door, "FIRST_BYTES_S", 2.0)
    rest = b"st: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=300) as connection:
        for pause_s in (0.0, 3.0):
            time.sleep(pause_s)
            connection.sendall(b"POST /v1/traces HTTP/1.1\r\nHo")
            connection.sendall(rest)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
