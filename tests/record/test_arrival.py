"""Arrival is when the loop hands bytes over, sending is when they are written: real sockets, a loop that is held."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from contextlib import asynccontextmanager
from time import perf_counter_ns

import httpx
import httpx2
import pytest
from anyio._backends._asyncio import StreamProtocol
from loopback import serve
from recording import recorded

from profiler import semconv as sc
from profiler.record.arrival import Line, line_of, watch_arrivals

MS = 1_000_000
CHAT = {"model": "test-model", "messages": [], "stream": True}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(text):
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    data = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def hold(ns):
    """Keep the loop from everything else."""
    time.sleep(ns / 1e9)


@asynccontextmanager
async def server(answer):
    """An HTTP server on the same loop; `answer` writes the response to each request."""

    async def connected(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/chat/completions"


def stamped_calls(library, answer):
    async def run():
        async with server(answer) as url, library.AsyncClient(trust_env=False) as client:
            async with client.stream("POST", url, json=CHAT) as response:
                async for _ in response.aiter_raw():
                    pass

    with recorded() as recording:
        asyncio.run(run())
    return recording.calls()


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_chunk_is_stamped_when_the_loop_hands_it_over_not_when_its_task_gets_a_turn(library):
    handed_over = []

    async def answer(_, writer):
        writer.write(HEAD + event("one"))
        await asyncio.sleep(0.02)
        received = StreamProtocol.data_received

        def held(self, data):
            received(self, data)  # as for the first of many streams that are ready at once
            handed_over.append(perf_counter_ns())
            hold(60 * MS)

        StreamProtocol.data_received = held
        writer.write(event("two") + END)
        await asyncio.sleep(0.02)
        StreamProtocol.data_received = received

    before = perf_counter_ns()
    (call,) = stamped_calls(library, answer)
    times_us = call.attributes[sc.CHUNK_TIMES_US]
    assert len(times_us) == 2
    assert handed_over
    sent_after_begin_us = call.attributes[sc.SENT_NS] / 1000
    assert times_us[1] + sent_after_begin_us < (handed_over[0] - before) / 1000
    assert call.duration_ns < handed_over[0] - before, "the end of the body came in the same block"


def test_events_of_one_block_have_one_time():
    async def answer(_, writer):
        writer.write(HEAD + event("one") + event("two") + event("three"))
        writer.write(END)

    (call,) = stamped_calls(httpx2, answer)
    assert len(set(call.attributes[sc.CHUNK_TIMES_US])) == 1


def test_a_chunk_in_two_blocks_has_the_time_of_the_second():
    async def answer(_, writer):
        whole = event("one")
        writer.write(HEAD + whole[:40])
        await asyncio.sleep(0.03)
        writer.write(whole[40:] + END)

    (call,) = stamped_calls(httpx2, answer)
    arrival_us = call.attributes[sc.CHUNK_TIMES_US][0] + call.attributes[sc.SENT_NS] / 1000
    assert arrival_us > 30_000


def test_sent_is_when_the_body_is_written_however_late_that_is():
    async def run():
        async with server(answer) as url, httpx2.AsyncClient(trust_env=False) as client:
            await client.post(url, json=CHAT)

    async def answer(_, writer):
        writer.write(HEAD + event("one") + END)

    begun = []

    async def late(name, _):
        if name == "http11.send_request_body.started":  # after our own note of it
            hold(300 * MS)
            begun.append(perf_counter_ns())

    async def run_late():
        async with server(answer) as url, httpx2.AsyncClient(trust_env=False) as client:
            await client.post(url, json=CHAT, extensions={"trace": late})

    with recorded() as recording:
        asyncio.run(run_late())
    (call,) = recording.calls()
    assert begun
    assert call.attributes[sc.SENT_NS] >= 300 * MS
    with recorded() as recording:
        asyncio.run(run())
    assert recording.calls()[0].attributes[sc.SENT_NS] < 300 * MS


def test_waiting_for_a_pooled_connection_and_connecting_are_told_apart():
    async def answer(_, writer):
        await asyncio.sleep(0.3)
        writer.write(HEAD + event("one") + END)

    async def run():
        limits = httpx2.Limits(max_connections=1)
        async with server(answer) as url, httpx2.AsyncClient(trust_env=False, limits=limits) as client:
            await asyncio.gather(*(client.post(url, json=CHAT) for _ in range(2)))

    with recorded() as recording:
        asyncio.run(run())
    first, second = sorted(recording.calls(), key=lambda call: call.end_ns)
    assert first.attributes[sc.POOL_WAIT_NS] < second.attributes[sc.POOL_WAIT_NS]
    assert second.attributes[sc.POOL_WAIT_NS] >= 200 * MS
    for call in (first, second):
        known = call.attributes[sc.POOL_WAIT_NS] + call.attributes.get(sc.CONNECT_NS, 0)
        assert known <= call.attributes[sc.SENT_NS]


def test_after_a_recording_connections_are_as_before():
    before = StreamProtocol.connection_made
    with recorded():
        assert StreamProtocol.connection_made is not before
    assert StreamProtocol.connection_made is before


def test_a_blocking_client_has_no_line_and_its_chunks_have_times():
    with serve() as (url, _), recorded() as recording:
        with httpx2.Client() as client, client.stream("POST", f"{url}/chat/completions", json=CHAT) as response:
            assert line_of(response) is None
            response.read()
    assert len(recording.calls()[0].attributes[sc.CHUNK_TIMES_US]) == 3


def test_another_anyio_leaves_everything_as_it_was(monkeypatch):
    monkeypatch.setitem(sys.modules, "anyio._backends._asyncio", None)
    before = StreamProtocol.connection_made
    with watch_arrivals():
        assert StreamProtocol.connection_made is before


def test_a_protocol_that_queues_otherwise_is_left_alone(monkeypatch):
    made = StreamProtocol.connection_made

    def with_a_queue_of_its_own(self, transport):
        made(self, transport)
        self.read_queue = OtherQueue()

    class OtherQueue(deque):
        pass

    monkeypatch.setattr(StreamProtocol, "connection_made", with_a_queue_of_its_own)

    async def answer(_, writer):
        writer.write(HEAD + event("one") + END)

    (call,) = stamped_calls(httpx2, answer)
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == 1


def test_what_a_task_gives_back_keeps_its_time():
    line = Line(None)
    line.append(b"abcd")
    line.append(b"ef")
    assert line.popleft() == b"abcd"
    first = line.read_ns
    line.appendleft(b"cd")
    assert line.popleft() == b"cd"
    assert line.read_ns == first
    line.popleft()
    assert line.read_ns >= first
