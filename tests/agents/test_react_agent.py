"""The agent as a whole: every task through the real graph and tools, with an engine that follows the script."""

import asyncio
import functools
import os
import subprocess
import sys

import httpx2
import openai
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import ToolException
from langgraph.graph.state import CompiledStateGraph
from sample_agents import AGENTS, ScriptedEngine, load_agent, load_script, load_tasks

TASKS = load_tasks("react")
SCRIPT = load_script("react")
STEP_LIMIT = 8


@functools.cache
def chain(task: str) -> tuple[ScriptedEngine, list, list[str]]:
    """Run a task once; return the engine with its requests, the new messages, and the nodes in order."""
    react = load_agent("react")
    engine = ScriptedEngine(SCRIPT[task])
    nodes = []
    messages = []
    with httpx2.Client(transport=httpx2.MockTransport(engine)) as http, pytest.MonkeyPatch.context() as patch:
        client = openai.OpenAI(api_key="none", base_url="http://engine.test/v1", http_client=http)
        patch.setattr(react.model, "client", client.chat.completions)
        question = {"messages": [("user", TASKS[task]["input"])]}
        for mode, event in react.agent.stream(question, stream_mode=["updates", "values"]):
            if mode == "updates":
                nodes += event  # updates of parallel tools come as they finish; the state has its own order
            else:
                messages = event["messages"][1:]
    return engine, messages, nodes


def returned(call: dict) -> str:
    """What the model should read after a tool call."""
    function = {tool.__name__: tool for tool in load_agent("react").TOOLS}[call["name"]]
    try:
        return function(**call["arguments"])
    except ToolException as error:
        return f"Error: {error}"


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_graph_follows_the_script_and_answers_the_task(task):
    engine, messages, _ = chain(task)
    assert len(engine.requests) == len(SCRIPT[task])
    final = messages[-1]
    assert isinstance(final, AIMessage)
    assert not final.tool_calls
    if "step-limit" not in TASKS[task]["tags"]:
        assert final.content == SCRIPT[task][-1]["content"]
    for text in TASKS[task]["expect"]:
        assert text in final.content


@pytest.mark.parametrize("task", sorted(TASKS))
def test_tool_messages_are_what_the_tools_return(task):
    _, messages, _ = chain(task)
    calls = [call for step in SCRIPT[task] for call in step.get("tool_calls", [])]
    seen = [message for message in messages if isinstance(message, ToolMessage)]
    assert [message.name for message in seen] == [call["name"] for call in calls]
    assert [message.content for message in seen] == [returned(call) for call in calls]
    failed = [message for message in seen if message.status == "error"]
    assert bool(failed) == ("tool-error" in TASKS[task]["tags"])


def test_each_request_carries_the_whole_conversation():
    engine, messages, _ = chain("june-migration-review")
    sizes = [sum(len(message["content"] or "") for message in body["messages"]) for body in engine.requests]
    assert sizes == sorted(sizes)
    assert sizes[-1] - sizes[0] > 13_000
    assert [message["role"] for message in engine.requests[0]["messages"]] == ["system", "user"]
    assert len(engine.requests[-1]["messages"]) == len(messages) + 1  # and system and user, less the answer


def test_every_request_streams_greedily_with_bounded_length():
    engine, _, _ = chain("car-trip")
    for body in engine.requests:
        assert body["stream"] is True
        assert body["stream_options"] == {"include_usage": True}
        assert body["temperature"] == 0
        assert body["max_completion_tokens"] == 256
        assert len(body["tools"]) == 6


def test_the_nodes_that_run_are_the_model_the_tools_and_the_two_hooks_of_the_limit():
    _, _, nodes = chain("cancelled-orders")
    before, after = "ModelCallLimitMiddleware.before_model", "ModelCallLimitMiddleware.after_model"
    assert nodes == [before, "model", after, "tools", before, "model", after]


def test_a_chain_at_the_step_limit_ends_with_the_message_of_the_limit():
    engine, messages, nodes = chain("leave-by-team")
    assert len(engine.requests) == nodes.count("model") == nodes.count("tools") == STEP_LIMIT
    assert messages[-1].content == "Model call limits exceeded: run limit (8/8)"


def test_a_bug_in_a_tool_is_not_hidden_from_the_caller():
    react = load_agent("react")
    assert react.report_to_model(ToolException("no such unit"), None) == "Error: no such unit"
    assert react.report_to_model(KeyError("bug"), None) is None


def test_concurrent_asynchronous_chains_do_not_disturb_each_other(monkeypatch):
    react = load_agent("react")
    names = ["irrigation-acres", "shipment-weights", "car-trip", "invoice-due-city", "lightning-share"]
    engines = {TASKS[name]["input"]: ScriptedEngine(SCRIPT[name]) for name in names}

    def handler(request: httpx2.Request) -> httpx2.Response:
        question = next(text for text in engines if text.encode() in request.content)
        return engines[question](request)

    async def run_all() -> list[str]:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http:
            client = openai.AsyncOpenAI(api_key="none", base_url="http://engine.test/v1", http_client=http)
            monkeypatch.setattr(react.model, "async_client", client.chat.completions)
            inputs = [{"messages": [("user", TASKS[name]["input"])]} for name in names]
            results = await asyncio.gather(*(react.agent.ainvoke(given) for given in inputs))
            return [result["messages"][-1].content for result in results]

    assert asyncio.run(run_all()) == [SCRIPT[name][-1]["content"] for name in names]


def test_the_module_offers_exactly_one_graph():
    react = load_agent("react")
    graphs = [name for name, value in vars(react).items() if isinstance(value, CompiledStateGraph)]
    assert graphs == ["agent"]


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return subprocess.run(
        [sys.executable, *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_importing_needs_no_variables_and_never_loads_the_profiler(tmp_path):
    code = (
        f"import os, sys; os.chdir({str(tmp_path)!r}); sys.path.insert(0, {str(AGENTS)!r})\n"
        "import plain_openai, react\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'profiler']\n"
        "assert react.model.model_name == 'gpt-4o-mini'"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr


def test_an_unreachable_server_is_named_without_a_traceback():
    done = run_python(str(AGENTS / "react.py"), "hello", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert done.stderr.startswith("Cannot reach http://127.0.0.1:9/v1/")
    assert "Traceback" not in done.stderr
