"""Steps, tools and calls of real LangGraph graphs, against real sockets."""

from __future__ import annotations

import asyncio
import operator
import threading
from contextlib import nullcontext
from typing import Annotated, TypedDict

import httpx2
import openai
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, CallbackManager
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send
from loopback import Behaviour, serve
from recording import recorded

from profiler import semconv as sc
from profiler.record.graph import spare_models
from profiler.script import Script, ScriptedCall, TaskScript, ToolCall


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def broken(text: str) -> str:
    """Never works."""
    raise ValueError(f"cannot do {text}")


def script(*calls: ScriptedCall) -> Script:
    return Script(tasks={"t": TaskScript(calls=calls)})


def said(place: str, content: str = "ok", **more) -> ScriptedCall:
    return ScriptedCall(place=place, content=content, output_tokens=3, **more)


def ask(url, *tools, question="add"):
    """A ReAct agent's answer; its connections are closed, which agents seldom do."""

    async def run():
        async with httpx2.AsyncClient() as client:
            model = ChatOpenAI(
                model="test-model", base_url=url, api_key="x", streaming=True, max_retries=0, http_async_client=client
            )
            agent = create_agent(model, list(tools or (add,)))
            return await agent.ainvoke({"messages": [{"role": "user", "content": question}]})

    return asyncio.run(run())


def tree(trace, span=None, depth=0):
    span = span or trace.root
    lines = [("  " * depth) + span.name]
    for child in trace.children.get(span.span_id, ()):
        lines += tree(trace, child, depth + 1)
    return lines


TWO_STEPS = script(
    said("model", "", tool_calls=(ToolCall(name="add", arguments={"a": 2, "b": 3}),)), said("model", "it is 5")
)


def test_a_react_chain_has_the_span_tree_that_the_docs_promise():
    with serve() as (url, _), recorded(script=TWO_STEPS) as recording:
        answer = ask(url)
    assert answer["messages"][-1].content == "it is 5"
    assert answer["messages"][-2].content == "5", "the tool really ran"
    assert tree(recording.trace) == [
        "invoke_agent test",
        "  step model",
        "    chat test-model",
        "      queue",
        "      prefill",
        "      decode",
        "  step tools",
        "    execute_tool add",
        "  step model",
        "    chat test-model",
        "      queue",
        "      prefill",
        "      decode",
    ]


def test_sync_invocation_gives_the_same_tree():
    with serve() as (url, _), recorded(script=TWO_STEPS) as recording, httpx2.Client() as client:
        model = ChatOpenAI(model="test-model", base_url=url, api_key="x", streaming=True, http_client=client)
        create_agent(model, [add]).invoke({"messages": [{"role": "user", "content": "add"}]})
    assert [line.strip() for line in tree(recording.trace)].count("chat test-model") == 2
    assert "  step tools" in tree(recording.trace)


def test_parallel_tool_calls_are_siblings_below_their_own_steps():
    both = (ToolCall(name="add", arguments={"a": 1, "b": 1}), ToolCall(name="add", arguments={"a": 2, "b": 2}))
    with serve() as (url, _), recorded(script=script(said("model", "", tool_calls=both), said("model"))) as recording:
        ask(url)
    tools = [span for span in recording.trace.spans if span.is_tool]
    parents = recording.trace.parent_of()
    steps = [parents[span.span_id] for span in tools]
    assert {step.attributes[sc.STEP_PLACE] for step in steps} == {"tools[0]", "tools[1]"}
    assert len({step.attributes[sc.STEP_NUMBER] for step in steps}) == 1


def test_a_failing_tool_is_a_failed_span_and_a_failed_chain_if_nothing_catches_it():
    call = (ToolCall(name="broken", arguments={"text": "x"}),)
    with serve() as (url, _), pytest.raises(ValueError, match="cannot do x"):
        with recorded(script=script(said("model", "", tool_calls=call), said("model"))) as recording:
            ask(url, broken)
    (span,) = [span for span in recording.trace.spans if span.is_tool]
    assert (span.failed, span.attributes[sc.ERROR_TYPE]) == (True, "ValueError")
    assert recording.trace.root.failed


class Fan(TypedDict):
    items: list[str]
    out: Annotated[list[str], operator.add]


def fan_out(url: str, does: Behaviour):
    """Three branches of one node, each with a call; the last branch calls first."""
    client = openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0)

    async def worker(state):
        while len(does.requests) < 2 - int(state["item"]):  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.001)
        answer = await client.chat.completions.create(
            model="test-model", messages=[{"role": "user", "content": state["item"]}]
        )
        return {"out": [f"{state['item']}={answer.choices[0].message.content}"]}

    graph = StateGraph(Fan)
    graph.add_node("worker", worker)
    graph.add_conditional_edges(START, lambda state: [Send("worker", {"item": item}) for item in state["items"]])
    graph.add_edge("worker", END)

    async def run():
        result = await graph.compile().ainvoke({"items": ["0", "1", "2"]})
        await client.close()
        return result

    return asyncio.run(run())


def test_fan_out_branches_get_their_own_scripted_call_whatever_the_order_of_arrival():
    calls = [said(f"worker[{index}]", f"answer-{index}") for index in range(3)]
    with serve() as (url, does), recorded(script=script(*calls)):
        result = fan_out(url, does)
    assert sorted(result["out"]) == ["0=answer-0", "1=answer-1", "2=answer-2"]
    assert [request["messages"][0]["content"] for request in does.requests] == ["2", "1", "0"]


def test_a_subgraph_is_part_of_the_place():
    with serve() as (url, _):
        client = openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0)

        async def think(state):
            await client.chat.completions.create(model="test-model", messages=[{"role": "user", "content": "x"}])
            return {"out": ["done"]}

        inner = StateGraph(Fan)
        inner.add_node("think", think)
        inner.add_edge(START, "think")
        outer = StateGraph(Fan)
        outer.add_node("research", inner.compile())
        outer.add_edge(START, "research")

        async def run():
            await outer.compile().ainvoke({"items": []})
            await client.close()

        with recorded() as recording:
            asyncio.run(run())
    (call,) = recording.calls()
    assert call.attributes[sc.CALL_PLACE] == "research/think"
    assert tree(recording.trace)[:4] == [
        "invoke_agent test",
        "  step research",
        "    step think",
        "      chat test-model",
    ]


def test_handing_over_to_the_parent_graph_is_no_failure():
    def leave(state):
        return Command(goto="after", graph=Command.PARENT, update={"out": ["left"]})

    inner = StateGraph(Fan)
    inner.add_node("leave", leave)
    inner.add_edge(START, "leave")
    outer = StateGraph(Fan)
    outer.add_node("inner", inner.compile())
    outer.add_node("after", lambda state: {"out": ["after"]})
    outer.add_edge(START, "inner")
    with recorded() as recording:
        result = asyncio.run(outer.compile().ainvoke({"items": []}))
    assert result["out"] == ["left", "after"]
    assert not any(span.failed for span in recording.trace.spans)


def test_two_chains_at_once_do_not_mix():
    other = script(said("model", "other"))
    with serve() as (url, _):
        with recorded(script=TWO_STEPS) as first:
            ask(url)
        with recorded(script=other) as second:
            ask(url)
    assert len(first.calls()) == 2
    assert len(second.calls()) == 1
    assert first.trace.trace_id != second.trace.trace_id


def test_a_call_from_a_thread_that_inherits_nothing_is_still_seen_by_the_wire():
    seen = []
    with serve() as (url, _), recorded() as recording:
        client = openai.OpenAI(base_url=url, api_key="x", max_retries=0)

        def work():
            seen.append(client.chat.completions.create(model="test-model", messages=[{"role": "user", "content": "x"}]))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        client.close()
    assert len(seen) == 1
    assert len(recording.calls()) == 1


class Counting(BaseCallbackHandler):
    """An agent's own handler."""

    def __init__(self):
        self.tokens = 0

    def on_llm_new_token(self, token, **_):
        self.tokens += 1


@pytest.mark.parametrize("spared", [spare_models, nullcontext])
def test_sparing_models_changes_neither_the_tree_nor_what_the_agents_own_handlers_see(spared):
    own = Counting()

    async def run(url):
        async with httpx2.AsyncClient() as client:
            model = ChatOpenAI(
                model="test-model", base_url=url, api_key="x", streaming=True, max_retries=0, http_async_client=client
            )
            agent = create_agent(model, [add])
            await agent.ainvoke({"messages": [{"role": "user", "content": "add"}]}, {"callbacks": [own]})

    with serve() as (url, _), recorded(script=TWO_STEPS) as recording, spared():
        asyncio.run(run(url))
    assert [line.strip() for line in tree(recording.trace)].count("chat test-model") == 2
    assert own.tokens > 0
    steps = [span.name for span in recording.trace.spans if span.is_step]
    assert steps == ["step model", "step tools", "step model"]


def test_a_models_run_carries_no_handler_of_ours_while_models_are_spared():
    seen = []

    class Model(GenericFakeChatModel):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            seen.append([type(handler).__name__ for handler in run_manager.handlers])
            return super()._generate(messages, stop, run_manager, **kwargs)

    with recorded():
        for spared in (nullcontext, spare_models):
            with spared():
                Model(messages=iter(["one"])).invoke("question")
    assert seen == [["GraphHandler"], []]


def test_langchain_is_as_before_after_models_were_spared():
    names = [(owner, name) for owner in (CallbackManager, AsyncCallbackManager) for name in vars(owner)]
    before = {(owner, name): vars(owner)[name] for owner, name in names}
    with spare_models():
        assert any(vars(owner)[name] is not before[owner, name] for owner, name in names)
    assert all(vars(owner)[name] is before[owner, name] for owner, name in names)
