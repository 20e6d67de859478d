"""What an agent gets as it comes is read when its chain is over: nothing may differ for that."""

from __future__ import annotations

from itertools import pairwise

import httpx2
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import recorded

from profiler import semconv as sc
from profiler.record.call import TAPE_BLOCKS

BODY = {"model": "m", "messages": [], "stream": True}
USAGE = {"prompt_tokens": 4, "completion_tokens": 3}


def event(choices, **more) -> bytes:
    return b"data: " + orjson.dumps({"id": "c", "model": "m", "choices": choices, **more}) + b"\n\n"


def word(text, **more) -> bytes:
    return event([{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more)


EVENTS = [
    event([{"index": 0, "delta": {"role": "assistant", "content": ""}}]),
    word("one"),
    word(" usage"),
    b": keep-alive\n\n",
    event([{"index": 0, "delta": {"content": "."}, "finish_reason": "stop"}]),
    event([], usage=USAGE),
    b"data: [DONE]\n\n",
]


def ask(blocks, *, usage_wanted=False, **options):
    """(what the agent got, the call's span)."""

    class Blocks(httpx2.SyncByteStream):
        def __iter__(self):
            yield from blocks

    def handler(_):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Blocks())

    body = {**BODY, "stream_options": {"include_usage": True}} if usage_wanted else BODY
    with recorded(**options) as recording, httpx2.Client(transport=httpx2.MockTransport(handler)) as client:
        got = client.post("http://engine/v1/chat/completions", json=body).content
    (call,) = recording.calls()
    return got, call


def cut(data, places):
    edges = [0, *sorted(places), len(data)]
    return [data[low:high] for low, high in pairwise(edges) if high > low]


@pytest.mark.parametrize("usage_wanted", [False, True])
@settings(max_examples=50, deadline=None)
@given(places=st.sets(st.integers(1, sum(map(len, EVENTS)) - 1), max_size=12))
def test_wherever_a_stream_is_cut_the_agent_and_the_span_get_the_same(usage_wanted, places):
    got, call = ask(cut(b"".join(EVENTS), places), usage_wanted=usage_wanted)
    left_out = () if usage_wanted else (EVENTS[5],)
    assert got == b"".join(each for each in EVENTS if each not in left_out)
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == 3
    assert call.attributes[sc.OUTPUT_TOKENS] == 3
    assert call.attributes[sc.RESPONSE_FINISH_REASONS] == ("stop",)
    assert not call.failed
    assert sc.CALL_TRUNCATED not in call.attributes


def test_an_engine_that_tells_usage_with_each_chunk_loses_none_of_them():
    words = [word(str(number), usage={**USAGE, "completion_tokens": number}) for number in range(1, 4)]
    got, call = ask([*words, EVENTS[5], EVENTS[6]])
    assert got == b"".join([*words, EVENTS[6]])
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == call.attributes[sc.OUTPUT_TOKENS] == 3


def test_a_stream_longer_than_the_tape_is_whole():
    blocks = [word("more")] * (2 * TAPE_BLOCKS + 10)
    got, call = ask([*blocks, EVENTS[6]], usage_wanted=True)
    assert got == b"".join([*blocks, EVENTS[6]])
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == len(blocks)


def test_the_pieces_of_an_event_reach_the_agent_as_they_come_where_nothing_is_taken_out():
    seen = []

    class Blocks(httpx2.SyncByteStream):
        def __iter__(self):
            for block in (EVENTS[1][:20], EVENTS[1][20:], EVENTS[6]):
                yield block
                seen.append(block)

    def handler(_):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Blocks())

    body = {**BODY, "stream_options": {"include_usage": True}}
    with recorded(), httpx2.Client(transport=httpx2.MockTransport(handler)) as client:
        with client.stream("POST", "http://engine/v1/chat/completions", json=body) as response:
            assert next(response.iter_raw()) == EVENTS[1][:20]
            assert seen == []


def test_an_error_in_mid_stream_keeps_what_came_before():
    class Blocks(httpx2.SyncByteStream):
        def __iter__(self):
            yield from EVENTS[:3]
            raise httpx2.ReadError("gone")

    def handler(_):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Blocks())

    with recorded() as recording, httpx2.Client(transport=httpx2.MockTransport(handler)) as client:
        with pytest.raises(httpx2.ReadError):
            client.post("http://engine/v1/chat/completions", json=BODY)
    (call,) = recording.calls()
    assert call.failed
    assert call.attributes[sc.ERROR_TYPE] == "ReadError"
    assert len(call.attributes[sc.CHUNK_TIMES_US]) == 2


def test_spans_come_in_the_order_of_their_ends_however_late_they_are_made():
    with recorded() as recording:
        for _ in range(2):
            with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(500))) as client:
                client.post("http://engine/v1/chat/completions", json=BODY)
    (batch,) = recording.batches
    assert [span.end_time for span in batch] == sorted(span.end_time for span in batch)
    assert batch[-1].parent is None


def test_a_chain_that_never_ends_keeps_its_finished_calls():
    from profiler.record.chain import Chain, RecordingOptions
    from profiler.record.recorder import Recorder
    from profiler.record.wire import watch_wire

    batches = []
    with Recorder(service_name="agent", resource={}, sinks=[batches.append]) as recorder:
        options = RecordingOptions(agent_name="test", provider="vllm")
        chain = Chain(recorder, options, task_id="t", repeat=1, warmup=False)
        answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"choices": []}))
        with watch_wire(chain.begin_call), chain.active(), httpx2.Client(transport=answer) as client:
            client.post("http://engine/v1/chat/completions", json=BODY)
    assert [span.name for batch in batches for span in batch] == ["chat m"]


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["delta", "content", "tool_calls", "index", "message", "function"]), inner)
    ),
    max_leaves=6,
)
CHUNKS = st.dictionaries(st.sampled_from(["id", "model", "choices", "usage", "metrics", "error"]), VALUES)


@settings(max_examples=50, deadline=None)
@given(chunks=st.lists(CHUNKS, max_size=3), stream=st.booleans())
def test_whatever_an_engine_says_its_chain_is_delivered(chunks, stream):
    blocks = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    got, call = ask(blocks if stream else [orjson.dumps(chunks)], usage_wanted=True, capture_content=True)
    assert got == b"".join(blocks if stream else [orjson.dumps(chunks)])
    assert call.attributes[sc.OPERATION] == "chat"
