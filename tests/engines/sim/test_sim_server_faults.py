"""Faults on the wire: what a client's socket sees, what the ground truth says, and what is left afterwards."""

from __future__ import annotations

import json
import socket
from contextlib import closing

import httpx
import pytest
from sim_server import chat, chunks, everything, forced, http, serving, streamed, text_of, until

from profiler.engines.sim import faults
from profiler.engines.sim.faults import FAULTS, FaultPlan
from profiler.truth import CLIENT_GONE, FAULTED, OK, REFUSED_BY_SERVER

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "unstreamed"])
SAID = 20


@pytest.fixture
def sim(tmp_path):
    plan = FaultPlan({}, slow_s=0.05, refuse_s=0.3, retry_after_s=1.5, oversized_bytes=100_000)
    with serving(tmp_path, plan=plan) as server:
        yield server


def request(fault, stream, text="How much is it?", headers=()):
    body = streamed(text, **forced(SAID)) if stream else chat(text, **forced(SAID))
    return http(body, headers=[f"{faults.HEADER}: {fault}", *headers])


def body_of(data):
    """The body of a response, its chunks joined; and whether it is whole."""
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), None)
    if length is not None:
        return rest, len(rest) == length
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if size == b"0":
            return body, True
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body, False


@BOTH
@pytest.mark.parametrize("fault", [faults.RESET, faults.REFUSED])
def test_a_reset_before_the_headers_is_a_reset_and_nothing_else(sim, fault, stream):
    data, error = sim.raw(request(fault, stream))
    assert data == b""
    assert isinstance(error, ConnectionResetError)
    truth = sim.truth()
    assert (truth.fault, truth.outcome, truth.status, truth.writes_ns) == (fault, FAULTED, None, [])


def test_refused_shuts_the_port_for_a_while_and_open_connections_stay(sim):
    with closing(sim.connect()) as open_one:
        open_one.sendall(http(chat()))
        assert open_one.recv(65536).startswith(b"HTTP/1.1 200")
        sim.raw(request(faults.REFUSED, stream=False))
        with pytest.raises(ConnectionRefusedError):
            sim.connect()
        open_one.sendall(http(chat(), headers=["Connection: close"]))
        assert everything(open_one)[0].startswith(b"HTTP/1.1 200")

    def accepts():
        try:
            sim.connect().close()
        except ConnectionRefusedError:
            return False
        return True

    until(accepts)
    assert sim.post().status_code == 200


def test_a_stream_that_is_reset_has_its_first_half(sim):
    data, error = sim.raw(request(faults.RESET_STREAM, stream=True))
    body, whole = body_of(data)
    assert isinstance(error, ConnectionResetError)
    assert not whole
    assert body.count(b"data: ") == 1 + SAID // 2
    truth = sim.truth()
    assert (truth.outcome, truth.status, truth.written_tokens[-1]) == (FAULTED, 200, SAID // 2)


def test_a_truncated_stream_ends_without_its_end(sim):
    data, error = sim.raw(request(faults.TRUNCATED, stream=True))
    body, whole = body_of(data)
    assert error is None
    assert not whole
    assert body.count(b"data: ") == 1 + SAID // 2
    assert body.endswith(b"\n\n")
    assert sim.truth().outcome == FAULTED


@pytest.mark.parametrize("fault", [faults.TRUNCATED, faults.RESET_STREAM])
def test_a_body_that_is_broken_off_has_its_first_half(sim, fault):
    data, error = sim.raw(request(fault, stream=False))
    body, whole = body_of(data)
    assert isinstance(error, ConnectionResetError) == (fault == faults.RESET_STREAM)
    assert body
    assert not whole
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert (sim.truth().outcome, sim.truth().status) == (FAULTED, 200)


@BOTH
def test_a_hang_lasts_until_the_client_gives_up(sim, stream):
    with closing(sim.connect()) as connection:
        connection.sendall(request(faults.HANG, stream))
        until(lambda: sim.server._inside == 1)
        connection.settimeout(0.1)
        with pytest.raises(socket.timeout):
            connection.recv(1)
    assert (sim.truth().fault, sim.truth().outcome) == (faults.HANG, FAULTED)


@BOTH
def test_slow_headers_come_late_and_the_answer_is_whole(sim, stream):
    data, _ = sim.raw(request(faults.SLOW_HEADERS, stream, headers=["Connection: close"]))
    assert data.startswith(b"HTTP/1.1 200")
    truth = sim.truth()
    assert (truth.fault, truth.outcome, truth.output_tokens) == (faults.SLOW_HEADERS, OK, SAID)
    assert truth.queued_ns - truth.arrival_ns >= 50_000_000
    assert truth.headers_ns - truth.arrival_ns >= 50_000_000
    assert truth.late_max_ns < 50_000_000 or truth.late_max_ns < truth.end_ns - truth.queued_ns


def test_a_client_that_does_not_wait_for_slow_headers_is_gone(sim):
    with closing(sim.connect()) as connection:
        connection.sendall(request(faults.SLOW_HEADERS, stream=True))
        until(lambda: sim.server._inside == 1)
    assert (sim.truth().fault, sim.truth().outcome) == (faults.SLOW_HEADERS, CLIENT_GONE)


@BOTH
@pytest.mark.parametrize(("fault", "status"), faults.STATUS.items())
def test_a_fault_that_is_a_status_has_an_error_as_its_body(sim, fault, status, stream):
    answer = sim.post(streamed() if stream else chat(), headers={faults.HEADER: fault})
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("1.5" if status == 429 else None)
    assert answer.json()["error"]["code"] == status
    assert (sim.truth().fault, sim.truth().outcome, sim.truth().status) == (fault, FAULTED, status)


@pytest.mark.parametrize("fault", [faults.MALFORMED_JSON, faults.INVALID_UTF8, faults.OVERSIZED])
def test_one_event_in_the_middle_is_spoilt_and_the_others_are_not(sim, fault):
    body, whole = body_of(sim.raw(request(fault, stream=True, headers=["Connection: close"]))[0])
    events = body.removesuffix(b"\n\n").split(b"\n\n")
    assert whole
    assert len(events) == 1 + SAID + 2
    spoilt = [index for index, event in enumerate(events[:-1]) if not is_plain(event)]
    assert spoilt == [1 + SAID // 2]
    assert events[-1] == b"data: [DONE]"
    is_spoilt(fault, events[spoilt[0]].removeprefix(b"data: "))
    assert (sim.truth().fault, sim.truth().outcome, sim.truth().written_tokens[-1]) == (fault, FAULTED, SAID)


@pytest.mark.parametrize("fault", [faults.MALFORMED_JSON, faults.INVALID_UTF8, faults.OVERSIZED])
def test_an_unstreamed_body_is_spoilt_in_the_same_way(sim, fault):
    body, whole = body_of(sim.raw(request(fault, stream=False, headers=["Connection: close"]))[0])
    assert whole
    is_spoilt(fault, body)
    assert (sim.truth().outcome, sim.truth().status) == (FAULTED, 200)


def is_plain(event):
    try:
        return len(event) < 50_000 and json.loads(event.removeprefix(b"data: ")) is not None
    except ValueError:
        return False


def is_spoilt(fault, data):
    if fault == faults.OVERSIZED:
        assert len(data) > 100_000
        assert json.loads(data)["choices"]
    elif fault == faults.INVALID_UTF8:
        with pytest.raises(UnicodeDecodeError):
            data.decode()
        assert json.loads(data.decode(errors="replace"))["choices"]
    else:
        with pytest.raises(json.JSONDecodeError):
            json.loads(data.decode())


def test_an_error_ends_the_stream_inside_a_200(sim):
    answer = sim.post(streamed(**forced(SAID)), headers={faults.HEADER: faults.ERROR_IN_200})
    found = chunks(answer.content)
    assert answer.status_code == 200
    assert len(found) == 1 + SAID // 2 + 2
    assert found[-2]["error"]["code"] == 500
    assert text_of(found[:-2])
    assert (sim.truth().outcome, sim.truth().status) == (FAULTED, 200)


def test_an_error_is_the_body_of_a_200(sim):
    answer = sim.post(headers={faults.HEADER: faults.ERROR_IN_200})
    assert answer.status_code == 200
    assert list(answer.json()) == ["error"]
    assert sim.truth().outcome == FAULTED


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_fault_nothing_is_held_and_the_next_is_answered(sim, fault, stream):
    with closing(sim.connect()) as connection:
        connection.settimeout(0.1 if fault == faults.HANG else 200)
        connection.sendall(request(fault, stream, headers=["Connection: close"]))
        everything(connection)
    assert sim.truth().fault == fault
    sim.settle()
    until(lambda: answers(sim))


def answers(sim):
    try:
        return sim.post().status_code == 200
    except httpx.ConnectError:
        return False


def test_a_fault_that_there_is_not_is_refused(sim):
    answer = sim.post(headers={faults.HEADER: "explode"})
    assert answer.status_code == 400
    assert "explode" in answer.text
    assert sim.truth().outcome == REFUSED_BY_SERVER


def drawn(tmp_path, name, texts):
    """Which requests fail under a plan, by their text and how often it was asked."""
    folder = tmp_path / name
    folder.mkdir()
    with serving(folder, plan=FaultPlan({faults.ERROR_500: 0.3, faults.RATE_LIMIT: 0.3}), seed=5) as sim:
        found = {}
        for text in texts:
            key = (text, sum(asked == text for asked, _ in found))
            found[key] = sim.post(chat(text, max_tokens=2)).status_code
    return found


def test_draws_depend_on_content_and_repetition_and_not_on_order(tmp_path):
    texts = [f"Question {number}" for number in range(10)] * 2
    forwards = drawn(tmp_path, "a", texts)
    backwards = drawn(tmp_path, "b", texts[::-1])
    assert forwards == backwards
    assert set(forwards.values()) == {200, 429, 500}
    assert any(forwards[text, 0] != forwards[text, 1] for text in texts)
