"""What recording costs is summed where it is spent; what there was none of is missing."""

from __future__ import annotations

import httpx2
import pytest
from recording import recorded

from profiler.record import cost as costs
from profiler.record.cost import TIME_EVERY, Cost

CHAT = {"model": "m", "messages": [], "stream": True}
EVENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"more"},"finish_reason":null}]}\n\n'


@pytest.fixture
def clock(monkeypatch):
    """Each reading is a microsecond after the one before."""
    at = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(costs, "now_ns", lambda: next(at))


def test_a_recorder_that_has_done_nothing_has_no_figures():
    cost = Cost().summary()
    assert (cost.calls, cost.chunks, cost.chains, cost.spans) == (0, 0, 0, 0)
    assert cost.per_call_us is cost.per_chunk_us is cost.per_chain_us is cost.spans_per_second is None
    assert cost.memory_per_chain_bytes is None


def test_chunks_are_timed_now_and_then_and_counted_always(clock):
    cost = Cost()
    cost.chunks = 10
    cost.chunk(costs.now_ns())
    cost.chunk(costs.now_ns())
    cost.chain(costs.now_ns(), spans=5)
    told = cost.summary()
    assert told.per_chunk_us == 1.0
    assert (told.deliver_us, told.per_chain_us) == (1.0, 11.0), "ten chunks at one microsecond, and the delivery"
    assert told.spans_per_second == round(5 / 11e-6)


def test_the_memory_of_few_chains_says_nothing():
    cost = Cost()
    for _ in range(9):
        cost.chain(costs.now_ns(), spans=1)
    assert cost.summary().memory_per_chain_bytes is None
    cost.chain(costs.now_ns(), spans=1)
    assert cost.summary().memory_per_chain_bytes >= 0


def test_a_streamed_call_is_accounted_for():
    class Blocks(httpx2.SyncByteStream):
        def __iter__(self):
            yield from [EVENT] * (2 * TIME_EVERY)
            yield b"data: [DONE]\n\n"

    def handler(_):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Blocks())

    with recorded() as recording, httpx2.Client(transport=httpx2.MockTransport(handler)) as client:
        client.post("http://engine/v1/chat/completions", json=CHAT)
    cost = recording.recorder.cost.summary()
    assert (cost.calls, cost.chunks, cost.chains, cost.spans) == (1, 2 * TIME_EVERY + 1, 1, 2)
    assert min(cost.per_call_us, cost.per_chunk_us, cost.deliver_us) > 0
    assert cost.per_chain_us >= cost.per_call_us + cost.deliver_us
