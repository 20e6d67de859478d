"""The chain that every variant of the overhead benchmark runs: 6 streamed LLM calls and 5 tools, and no engine.

Ordinary LangGraph code; it imports nothing of the profiler or of a peer, because each of them runs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx2
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

CALLS = 6
PROMPT = "add one and two until the sum is known"


class Blocks(httpx2.SyncByteStream):
    """A body that comes block by block."""

    def __init__(self, blocks: list[bytes]) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.blocks


class InstantEngine:
    """Answers every request at once, in the framing of vLLM: a tool call five times, then the answer."""

    def __init__(self, words_per_call: int) -> None:
        words: list[dict[str, object]] = [{"delta": {"content": "word "}} for _ in range(words_per_call)]
        call = {"index": 0, "id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}}
        self._asks = _events([*words, {"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}])
        self._ends = _events([*words, {"delta": {"content": "done"}, "finish_reason": "stop"}])
        self.words = words_per_call
        self.requests = 0
        self.traceparents = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Handle one request."""
        self.requests += 1
        self.traceparents += "traceparent" in request.headers
        blocks = self._asks if self.requests % CALLS else self._ends
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Blocks(blocks))


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def make_chain(engine: InstantEngine) -> Callable[[], None]:
    """A function that runs one chain to its end."""
    model = ChatOpenAI(
        model="m",
        base_url="http://engine/v1",
        api_key=SecretStr("x"),
        streaming=True,
        stream_usage=True,
        http_client=httpx2.Client(transport=httpx2.MockTransport(engine)),
    )
    agent = create_agent(model, [add])

    def run() -> None:
        answer = agent.invoke({"messages": [{"role": "user", "content": PROMPT}]})["messages"]
        if len(answer) != 2 * CALLS:  # the prompt, an answer per call, a result per tool
            raise RuntimeError(f"the chain has {len(answer)} messages instead of {2 * CALLS}")

    return run


def _events(chunks: list[dict[str, object]]) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 100, "completion_tokens": len(chunks), "total_tokens": 100 + len(chunks)}
    choices = [[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]]
    choices += [[{"index": 0, "logprobs": None, "finish_reason": None, **chunk}] for chunk in chunks]
    events = [{**head, "choices": choice} for choice in choices] + [{**head, "choices": [], "usage": usage}]
    return [_event(json.dumps(event, separators=(",", ":"))) for event in events] + [_event("[DONE]")]


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()
