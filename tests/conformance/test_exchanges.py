"""The recorder reads each exchange as its specification means it."""

from __future__ import annotations

import json

import pytest
from exchange_docs import exchanges

from profiler.record.answer import Answer
from profiler.record.api import api_of
from profiler.record.protocol import error_text, parse_json
from profiler.record.replay import Adaptation

READ = [exchange for exchange in exchanges() if "reads" in exchange.data]
PHASES = ("load_ns", "queue_ns", "prefill_ns", "decode_ns")


def read(exchange, block_size):
    """The exchange's response, as if it came in blocks of so many bytes, a millisecond apart."""
    request, response = exchange.request, exchange.response
    body = json.loads(exchange.content) if "raw" not in request else {}
    answer = Answer(api_of("POST", request["path"]), Adaptation(body, ()), None, agent_streams="stream" in response)
    answer.begin(response["status"], response["content_type"], "")
    content = exchange.written()
    for number, start in enumerate(range(0, len(content), block_size)):
        answer.feed(content[start : start + block_size], number * 1_000_000)
    answer.end(10**9)
    answer.reply.take_headers(response.get("headers", {}))
    return answer


@pytest.mark.parametrize("block_size", [7, 10**6])
@pytest.mark.parametrize("exchange", READ, ids=lambda each: f"{each.dialect}-{each.name}")
def test_the_recorder_finds_what_the_specification_means(exchange, block_size):
    expected = exchange.data["reads"]
    answer = read(exchange, block_size)
    reply = answer.reply
    if exchange.response["status"] != 200:
        assert error_text(parse_json(bytes(answer.body))) == expected["error"]
        return
    assert reply.error == expected.get("error")
    if "content" in expected:
        assert "".join(reply.content) == expected["content"]
    if "tokens" in expected:
        assert len(reply.token_times_ns) == expected["tokens"]
    if "finish" in expected:
        assert reply.finish_reasons == [expected["finish"]]
    for name in ("input_tokens", "output_tokens", "cached_tokens"):
        if name in expected:
            assert getattr(reply, name) == expected[name]
    if "tools" in expected:
        assert [call["name"] for call in reply.tool_calls.values()] == expected["tools"]
        assert all(isinstance(json.loads(call["arguments"]), dict) for call in reply.tool_calls.values())
    if "timing" in expected:
        timing = reply.timing(exchange.response.get("headers", {}))
        assert (timing is None) is (expected["timing"] is None)
        for name, value in (expected["timing"] or {}).items():
            assert getattr(timing, name) == value, name


def test_every_dialect_is_read():
    assert {exchange.dialect for exchange in READ} == {exchange.dialect for exchange in exchanges()}


@pytest.mark.parametrize(
    "exchange", [each for each in READ if "stream" in each.response], ids=lambda each: f"{each.dialect}-{each.name}"
)
def test_the_agent_gets_a_stream_byte_by_byte_as_it_came(exchange):
    content = exchange.written()
    api = api_of("POST", exchange.request["path"])
    answer = Answer(api, Adaptation(exchange.request["body"], ()), None, agent_streams=True)
    answer.begin(200, exchange.response["content_type"], "")
    passed = b"".join(answer.feed(content[at : at + 11], at) for at in range(0, len(content), 11))
    assert passed + answer.end(10**9) == content
