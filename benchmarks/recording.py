"""What recording costs: per streamed chunk, and per chain of six calls and five tools.

    python benchmarks/recording.py

Everything runs in one process over an in-process transport, bare and recorded in turn, so that the machine's drift
hits both. The figures are medians of processor time; what counts is the difference, in the same run. A recorded chain
is encoded and written to a file, as in a run.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from time import process_time_ns
from typing import Any

import httpx2
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from profiler.record.chain import Chain, RecordingOptions, active_chain
from profiler.record.graph import spare_models
from profiler.record.recorder import Recorder
from profiler.record.wire import watch_wire
from profiler.script import Script, ScriptedCall, TaskScript
from profiler.store.writer import RunWriter, create_run_folder

CHUNKS = 1000
ROUNDS = 15
CALLS = 6
WORDS = 40

Context = Callable[[], AbstractContextManager[object]]


def recorded(recorder: Recorder, script: Script | None = None) -> Context:
    """A chain as a run records it."""
    options = RecordingOptions(agent_name="benchmark", provider="vllm", script=script)

    @contextmanager
    def chain() -> Iterator[None]:
        chain = Chain(recorder, options, task_id="t", repeat=1, warmup=False)
        with chain.active():
            yield
        chain.finish(None)

    return chain


def begin_call(*request: Any) -> Any:
    """Route a request to the chain that it belongs to, if any."""
    chain = active_chain.get()
    return None if chain is None else chain.begin_call(*request)


def sse(chunks: list[dict[str, object]]) -> list[bytes]:
    """One event per chunk, as vLLM frames them."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 100, "completion_tokens": len(chunks), "total_tokens": 100 + len(chunks)}
    choices = [[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]]
    choices += [[{"index": 0, "logprobs": None, "finish_reason": None, **chunk}] for chunk in chunks]
    events = [{**head, "choices": choice} for choice in choices] + [{**head, "choices": [], "usage": usage}]
    return [b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n" for event in events] + [
        b"data: [DONE]\n\n"
    ]


class Blocks(httpx2.SyncByteStream):
    """A body that comes block by block."""

    def __init__(self, blocks: list[bytes]) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.blocks


def answer(blocks: list[bytes]) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Blocks(blocks))


def per_chunk_us(context: Context) -> float:
    """Microseconds per chunk of one stream, as the agent's loop sees them."""
    said: list[dict[str, object]] = [{"delta": {"content": "more "}} for _ in range(CHUNKS - 1)]
    blocks = sse([*said, {"delta": {"content": "end"}, "finish_reason": "stop"}])
    with context(), httpx2.Client(transport=httpx2.MockTransport(lambda _: answer(blocks))) as client:
        body = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
        with client.stream("POST", "http://engine/v1/chat/completions", json=body) as response:
            began = process_time_ns()
            for _ in response.iter_raw():
                pass
            return (process_time_ns() - began) / CHUNKS / 1000


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def per_chain_ms(context: Context) -> float:
    """Milliseconds of a ReAct chain whose engine answers at once."""
    words: list[dict[str, object]] = [{"delta": {"content": "word "}} for _ in range(WORDS)]
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}}
    asks = sse([*words, {"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}])
    ends = sse([*words, {"delta": {"content": "done"}, "finish_reason": "stop"}])
    sent = 0

    def handler(_: httpx2.Request) -> httpx2.Response:
        nonlocal sent
        sent += 1
        return answer(asks if sent < CALLS else ends)

    with httpx2.Client(transport=httpx2.MockTransport(handler)) as client:
        model = ChatOpenAI(
            model="m", base_url="http://engine/v1", api_key="x", streaming=True, stream_usage=True, http_client=client
        )
        agent = create_agent(model, [add])
        began = process_time_ns()
        with context():
            agent.invoke({"messages": [{"role": "user", "content": "add"}]})
        return (process_time_ns() - began) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = RunWriter(create_run_folder(Path(folder) / "run"))
        with Recorder(service_name="agent", resource={}, sinks=[writer.write_chain]) as recorder:
            with watch_wire(begin_call), spare_models():
                measure_all(recorder)
            told = recorder.cost.summary()
        writer.close()
    print("as the recorder itself measured it:")
    for name, value in told.model_dump().items():
        print(f"  {name:<24} {value:,}")


def measure_all(recorder: Recorder) -> None:
    scripted = Script(tasks={"t": TaskScript(calls=(ScriptedCall(content="x" * 4000, output_tokens=CHUNKS),))})
    once = recorded(recorder)
    rows: list[tuple[str, str, Callable[[Context], float], list[tuple[str, Context]]]] = [
        (
            "chunk",
            "µs",
            per_chunk_us,
            [("bare", nullcontext), ("recorded", once), ("replaying a script", recorded(recorder, scripted))],
        ),
        (f"chain of {CALLS} calls, {CALLS - 1} tools", "ms", per_chain_ms, [("bare", nullcontext), ("recorded", once)]),
    ]
    for what, unit, measure, variants in rows:
        times: dict[str, list[float]] = {name: [] for name, _ in variants}
        for _ in range(ROUNDS):
            for name, context in variants:
                times[name].append(measure(context))
        base = statistics.median(times["bare"])
        print(f"per {what}:")
        for name, values in times.items():
            middle = statistics.median(values)
            print(f"  {name:<20} {middle:8.2f} {unit}   +{middle - base:.2f} {unit}   x{middle / base:.2f}")


if __name__ == "__main__":
    main()
