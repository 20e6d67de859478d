"""Loading agents: what is found, and what is said when nothing is."""

from __future__ import annotations

import asyncio
import textwrap

import pytest

from profiler.errors import AgentLoadError, DataError
from profiler.record.agent import load_agent

GRAPH = """
    from typing import TypedDict
    from langgraph.graph import START, StateGraph
    class S(TypedDict):
        question: str
    def node(state):
        return {"question": state["question"] + "!"}
    def make():
        graph = StateGraph(S)
        graph.add_node("node", node)
        graph.add_edge(START, "node")
        return graph.compile()
"""


@pytest.fixture
def write(tmp_path):
    def write(code: str, name: str = "sample_agent.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return path

    return write


def test_a_compiled_graph_is_found_and_takes_its_state(write):
    agent = load_agent(str(write(GRAPH + "\n    agent = make()\n")))
    assert agent.kind == "graph"
    assert asyncio.run(agent.ask({"question": "why"})) == {"question": "why!"}


def test_a_text_for_a_graph_without_messages_says_what_to_give(write):
    agent = load_agent(str(write(GRAPH + "\n    agent = make()\n")))
    with pytest.raises(DataError, match="no 'messages'"):
        asyncio.run(agent.ask("why"))


def test_a_factory_is_called_by_name_or_by_annotation(write):
    assert load_agent(f"{write(GRAPH)}:make").kind == "graph"
    annotated = "from langgraph.graph.state import CompiledStateGraph" + textwrap.dedent(GRAPH).replace(
        "def make():", "def make() -> CompiledStateGraph:"
    )
    assert load_agent(str(write(annotated, "annotated_agent.py"))).kind == "graph"


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_plain_function_is_an_agent(write, keyword):
    agent = load_agent(str(write(f"{keyword} answer(task):\n    return task.upper()\n")))
    assert agent.kind == "function"
    assert asyncio.run(agent.ask("hi")) == "HI"


def test_an_agent_finds_modules_beside_it(write):
    write("VALUE = 7\n", "neighbour_module.py")
    agent = load_agent(str(write("import neighbour_module\ndef answer(task):\n    return neighbour_module.VALUE\n")))
    assert asyncio.run(agent.ask("x")) == 7


def test_sys_exit_in_a_function_fails_its_chain_only(write):
    agent = load_agent(str(write("import sys\ndef answer(task):\n    sys.exit(3)\n")))
    with pytest.raises(RuntimeError, match=r"sys\.exit\(3\)"):
        asyncio.run(agent.ask("x"))


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("x = 1\n", "has no agent", "compiled LangGraph graph"),
        ("def build():\n    return 5\n", "has no agent", ":build"),
        ("def a(task): ...\ndef b(task): ...\n", "several candidates for the agent: a, b", ":a"),
        ("import no_such_module_xyz\n", "no module named 'no_such_module_xyz'", "pip install"),
        ("def answer(task:\n", "SyntaxError", None),
        ("1 / 0\n", "ZeroDivisionError", None),
        ("import sys\nsys.exit('leave')\n", "SystemExit: leave", None),
        ("def make_agent():\n    return 5\n", "returned int, not a compiled graph", "compile"),
        ("def make_agent():\n    raise OSError('gone')\n", "raised OSError: gone", None),
    ],
)
def test_a_file_without_a_usable_agent_says_why(write, code, message, remedy):
    with pytest.raises(AgentLoadError) as caught:
        load_agent(str(write(code)))
    assert message in caught.value.message
    if remedy:
        assert remedy in caught.value.remedy


def test_a_missing_file_a_folder_and_a_missing_name_are_told_apart(tmp_path, write):
    with pytest.raises(AgentLoadError, match="does not exist"):
        load_agent(str(tmp_path / "none.py"))
    with pytest.raises(AgentLoadError, match="is a folder"):
        load_agent(str(tmp_path))
    path = write("def answer(task): ...\n")
    with pytest.raises(AgentLoadError, match="has no 'agent'") as caught:
        load_agent(f"{path}:agent")
    assert "answer" in caught.value.remedy


def test_the_line_of_the_agents_own_file_is_shown(write):
    with pytest.raises(AgentLoadError) as caught:
        load_agent(str(write("value = 1\nvalue / 0\n")))
    assert caught.value.details == "line 2: value / 0"
