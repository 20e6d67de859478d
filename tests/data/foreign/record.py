"""Record the traces in this folder again: three agents under each public instrumentation of LangChain.

    python record.py VARIANT FILE [CHAIN …]

VARIANT is genai, openinference or traceloop; with -content, what was said is recorded; with +openai or +httpx, a
second layer is. CHAIN is good, broken or fan; all three if none is given.

It needs an environment with benchmarks/peers/instrumentations.txt, the project's own dependencies, and for a second
layer openinference-instrumentation-openai or opentelemetry-instrumentation-httpx. The engine is a transport that
answers with real delays; nothing leaves the process.

genai+httpx+vllm.jsonl is not made here: a graph of two nodes that each call once, under genai+httpx, against vLLM 0.32
on a CPU with --otlp-traces-endpoint, and one request from curl; without the paths and process numbers that vLLM tells.
"""

from __future__ import annotations

import asyncio
import base64
import json
import operator
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypedDict

import httpx2

TTFT_S, TPOT_S = 0.030, 0.004


def begin(variant: str, provider: Any) -> None:
    """Switch on the instrumentations of a variant."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true" if "content" in variant else "false"
    if variant.startswith("genai"):
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider)
    if variant.startswith("openinference"):
        from openinference.instrumentation import TraceConfig
        from openinference.instrumentation.langchain import LangChainInstrumentor as OpenInference

        config = TraceConfig() if "content" in variant else TraceConfig(hide_inputs=True, hide_outputs=True)
        OpenInference().instrument(tracer_provider=provider, config=config)
    if variant.startswith("traceloop"):
        from opentelemetry.instrumentation.langchain import LangchainInstrumentor

        LangchainInstrumentor().instrument(tracer_provider=provider)
    if "+openai" in variant:
        from openinference.instrumentation import TraceConfig
        from openinference.instrumentation.openai import OpenAIInstrumentor

        config = TraceConfig(hide_inputs=True, hide_outputs=True)
        OpenAIInstrumentor().instrument(tracer_provider=provider, config=config)
    if "+httpx" in variant:
        from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

        HTTPX2ClientInstrumentor().instrument(tracer_provider=provider)


# --- the engine ------------------------------------------------------------------------------------------


class Blocks(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes block by block, at the pace of an engine."""

    def __init__(self, blocks: list[bytes]) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        for number, block in enumerate(self.blocks):
            time.sleep(TPOT_S if number else TTFT_S)
            yield block

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number, block in enumerate(self.blocks):
            await asyncio.sleep(TPOT_S if number else TTFT_S)
            yield block


class Engine:
    """Says what its prompt asks for."""

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Handle one request."""
        asked = json.loads(request.content)
        messages = asked["messages"]
        turn = sum(message["role"] == "assistant" for message in messages)
        task = str(messages[0]["content"])
        words = ["word "] * 8
        calls: list[dict[str, Any]] = []
        if "tools" in asked and turn == 0:
            calls = [_call(0, "search", {"query": "a"}), _call(1, "lookup", {"key": "b"})]
        elif "tools" in asked and turn == 1 and "broken engine" in task:
            return httpx2.Response(500, json={"error": {"message": "the engine is broken", "type": "server_error"}})
        elif "tools" in asked and turn == 1:
            calls = [_call(0, "fail", {"key": "c"})]
        size = 20 * len(messages)
        usage = {"prompt_tokens": size, "completion_tokens": 9, "total_tokens": size + 9}
        usage["prompt_tokens_details"] = {"cached_tokens": size // 2}
        reason = "tool_calls" if calls else "stop"
        if asked.get("stream"):
            deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
            deltas += [{"tool_calls": calls}] if calls else []
            chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
            chunks[-1]["finish_reason"] = reason
            blocks = [_event([chunk]) for chunk in chunks] + [_event([], usage), b"data: [DONE]\n\n"]
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Blocks(blocks))
        message = {"role": "assistant", "content": "".join(words), "tool_calls": calls or None}
        whole = {"id": "chatcmpl-2", "object": "chat.completion", "created": 1, "model": "tiny", "usage": usage}
        whole["choices"] = [{"index": 0, "message": message, "finish_reason": reason}]
        body = Blocks([json.dumps(whole).encode()])
        return httpx2.Response(200, headers={"content-type": "application/json"}, stream=body)


def _call(index: int, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"index": index, "id": f"call-{index}", "type": "function", "function": function}


def _event(choices: list[Any], usage: dict[str, Any] | None = None) -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny", "choices": choices}
    return b"data: " + json.dumps(chunk | ({"usage": usage} if usage else {})).encode() + b"\n\n"


# --- the agents ------------------------------------------------------------------------------------------


def model(*, streaming: bool) -> Any:
    """A client of the engine."""
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    engine = Engine()
    return ChatOpenAI(
        model="tiny",
        base_url=os.environ.get("ENGINE_URL", "http://engine/v1"),
        api_key=SecretStr("x"),
        streaming=streaming,
        stream_usage=True,
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(engine.answer)),
        http_async_client=httpx2.AsyncClient(transport=httpx2.MockTransport(engine.answer)),
    )


def agent() -> Any:
    """Calls two tools at a time, then one that fails, then answers: 3 calls, 3 tools."""
    from langchain.agents import create_agent
    from langchain.agents.middleware import wrap_tool_call
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import tool

    @tool
    def search(query: str) -> str:
        """Search."""
        time.sleep(0.02)
        return query

    @tool
    def lookup(key: str) -> str:
        """Look up."""
        time.sleep(0.04)
        return key

    @tool
    def fail(key: str) -> str:
        """Fail."""
        raise ValueError(f"no {key}")

    @wrap_tool_call
    def tell(request: Any, handler: Any) -> Any:
        try:
            return handler(request)
        except ValueError as error:
            return ToolMessage(content=str(error), tool_call_id=request.tool_call["id"], status="error")

    return create_agent(model(streaming=True), [search, lookup, fail], middleware=[tell])


class State(TypedDict):
    """Of the graph that fans out."""

    found: Annotated[list[str], operator.add]


def fan_out() -> Any:
    """Three branches that call at the same time, two calls in one of them, then a call without streaming: 5 calls."""
    from langgraph.graph import END, START, StateGraph

    fast, plain = model(streaming=True), model(streaming=False)

    async def one(_: State) -> dict[str, list[str]]:
        await fast.ainvoke("one")
        return {"found": ["one"]}

    async def two(_: State) -> dict[str, list[str]]:
        await asyncio.gather(fast.ainvoke("two a"), fast.ainvoke("two b"))
        return {"found": ["two"]}

    async def three(_: State) -> dict[str, list[str]]:
        await fast.ainvoke("three")
        return {"found": ["three"]}

    async def gather(_: State) -> dict[str, list[str]]:
        await plain.ainvoke("sum up")
        return {"found": ["all"]}

    graph = StateGraph(State)
    for node in (one, two, three, gather):
        graph.add_node(node.__name__, node)
    for name in ("one", "two", "three"):
        graph.add_edge(START, name)
        graph.add_edge(name, "gather")
    graph.add_edge("gather", END)
    return graph.compile(name="fan_out")


def run(chains: list[str]) -> None:
    """A chain that goes well, one that ends with the engine's error, one with calls at the same time."""
    if "good" in chains:
        agent().invoke({"messages": [{"role": "user", "content": "find it"}]})
    if "broken" in chains:
        from openai import APIError  # after the patching, as instrumentors ask for

        with suppress(APIError):
            agent().invoke({"messages": [{"role": "user", "content": "broken engine"}]})
    if "fan" in chains:
        asyncio.run(fan_out().ainvoke({"found": []}))


# --- the file ------------------------------------------------------------------------------------------


def scrubbed(document: dict[str, Any]) -> dict[str, Any]:
    """OTLP JSON: ids in hexadecimal, and without what is of this machine: stack traces, which hold paths."""
    for resource_spans in document["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex()
                for event in span.get("events", []):
                    event["attributes"] = [
                        each for each in event.get("attributes", []) if each["key"] != "exception.stacktrace"
                    ]
                status = span.get("status", {})
                status["message"] = status.get("message", "").partition("\n")[0]
    return document


def main() -> None:
    """Record one file."""
    variant, path = sys.argv[1], Path(sys.argv[2])
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    lines: list[str] = []

    class Keep(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            document = scrubbed(MessageToDict(encode_spans(spans)))
            lines.append(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n")
            return SpanExportResult.SUCCESS

    provider = TracerProvider(resource=Resource({"service.name": "agent"}))
    provider.add_span_processor(BatchSpanProcessor(Keep()))
    begin(variant, provider)
    run(sys.argv[3:] or ["good", "broken", "fan"])
    provider.shutdown()
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
