"""Clients that people use, against the embedded engine, without a script."""

from __future__ import annotations

import httpx2
import openai
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from sim_server import serving

from profiler.truth import OK

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {
    "what": {"type": "string"}}, "required": ["what"]}}}]  # fmt: skip


@pytest.fixture
def sim(tmp_path):
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def client(sim):
    with openai.OpenAI(
        base_url=f"{sim.url}/v1", api_key="none", max_retries=0, http_client=httpx2.Client(trust_env=False)
    ) as found:
        yield found


def ask(client, **fields):
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "How much?"}], **fields)


def test_openai_chats_streamed_and_not(client):
    whole = ask(client)
    parts = list(ask(client, stream=True, stream_options={"include_usage": True}))
    said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert said == whole.choices[0].message.content
    assert parts[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert whole.choices[0].finish_reason == "stop"


def test_openai_gets_tool_calls(client):
    [call, *_] = ask(client, tools=TOOLS, tool_choice="required").choices[0].message.tool_calls
    assert call.function.name == "look"
    with client.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "How much?"}], tools=TOOLS, tool_choice="required"
    ) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert streamed.function.arguments == call.function.arguments


def test_openai_completes(client):
    whole = client.completions.create(model="m", prompt="Once", max_tokens=7, extra_body={"ignore_eos": True})
    parts = client.completions.create(
        model="m", prompt="Once", max_tokens=7, stream=True, extra_body={"ignore_eos": True}
    )
    assert whole.usage.completion_tokens == 7
    assert "".join(part.choices[0].text for part in parts) == whole.choices[0].text


def test_openai_lists_the_model(client):
    assert [model.id for model in client.models.list()] == ["m"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [("rate-limit", openai.RateLimitError), ("error-500", openai.InternalServerError),
     ("unavailable", openai.InternalServerError), ("reset", openai.APIConnectionError)],
)  # fmt: skip
def test_faults_are_the_clients_own_errors(client, fault, error):
    with pytest.raises(error):
        ask(client, extra_headers={"x-sim-fault": fault})


def test_an_error_inside_a_stream_is_raised(client):
    with pytest.raises(openai.APIError, match="on purpose"):
        list(ask(client, stream=True, extra_headers={"x-sim-fault": "error-in-200"}))


@tool
def stock(product: str, limit: int = 3) -> str:
    """How many of a product there are."""
    return f"{product}: {limit}"


@tool
def price(product: str) -> float:
    """What a product costs."""
    return float(len(product))


def chain(sim, text):
    model = ChatOpenAI(
        model="m", base_url=f"{sim.url}/v1", api_key="none", streaming=True, stream_usage=True, use_responses_api=False
    )
    agent = create_agent(model, [stock, price])
    return agent.invoke({"messages": [{"role": "user", "content": text}]})["messages"]


def test_an_agent_with_tools_comes_to_an_answer_and_to_the_same_one_again(sim):
    def said(messages):
        return [(message.type, message.content, getattr(message, "tool_calls", None)) for message in messages]

    first = chain(sim, "What do we have?")
    again = chain(sim, "What do we have?")
    assert said(first) == said(again)
    assert [message.type for message in first].count("tool") >= 1
    assert first[-1].content
    truths = sim.truths(2 * sum(message.type == "ai" for message in first))
    assert all(truth.outcome == OK for truth in truths)
    assert truths[1].cached_tokens > 0
