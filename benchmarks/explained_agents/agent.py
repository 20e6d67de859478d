"""An agent of four model calls with three tools side by side between them, whose delays are told by EXPLAINED.

    model -> tools -> model -> tools -> model -> tools -> model -> review

EXPLAINED is JSON: `turn` (1 to 4; 0 is every turn) and `header` for a delay on the engine, `every` to delay one call in
that many instead, `search_s` and `sql_s` for how long a tool takes, `review_s` for how long the last node sleeps,
`pause_s` before an attempt is repeated.
"""

import asyncio
import json
import os
from typing import Any, TypedDict

import httpx2
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

SETTINGS = json.loads(os.environ.get("EXPLAINED", "{}"))
TURNS = 4
TOKENS = 10
SYSTEM = "You look things up and say what you found. " + "Rules that hold for every answer come first. " * 60
client = httpx2.AsyncClient(timeout=60)


class State(TypedDict):
    """What the graph keeps."""

    task: str
    messages: list[dict[str, Any]]
    turn: int


@tool
async def search(query: str) -> str:
    """Search."""
    await asyncio.sleep(SETTINGS.get("search_s", 0.02))
    return f"found {query}"


@tool
async def sql(query: str) -> str:
    """Ask the database."""
    await asyncio.sleep(SETTINGS.get("sql_s", 0.03))
    return f"rows of {query}"


@tool
async def calculator(query: str) -> str:
    """Compute."""
    await asyncio.sleep(0.025)
    return f"value of {query}"


def headers(task: str, turn: int) -> dict[str, str]:
    """The delay that this call asks for."""
    if "every" in SETTINGS:
        number = int(task.rsplit(maxsplit=1)[-1]) * TURNS + turn - 1
        return {"x-sim-delay": SETTINGS["header"]} if number % SETTINGS["every"] == 0 else {}
    hit = "header" in SETTINGS and SETTINGS.get("turn", 0) in (0, turn)
    return {"x-sim-delay": SETTINGS["header"]} if hit else {}


async def ask(state: State) -> str:
    """One streamed call; an error is tried again after a pause, as clients do."""
    body = {
        "model": os.environ["OPENAI_MODEL"],
        "messages": state["messages"],
        "min_tokens": TOKENS,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "stream": True,
    }
    for attempt in range(8):
        url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
        async with client.stream("POST", url, json=body, headers=headers(state["task"], state["turn"])) as reply:
            if reply.status_code == 200:
                said = [line async for line in reply.aiter_lines() if line]
                return f"{len(said)} lines"
            await reply.aread()
        await asyncio.sleep(SETTINGS.get("pause_s", 0.1) if attempt < 7 else 0)
    raise RuntimeError("the engine does not answer")


async def model(state: State) -> dict[str, Any]:
    """Ask the model."""
    said = await ask(state)
    return {"messages": [*state["messages"], {"role": "assistant", "content": said}], "turn": state["turn"] + 1}


async def tools(state: State) -> dict[str, Any]:
    """Three tools side by side, whose results make the prompt longer."""
    await asyncio.gather(*(each.ainvoke({"query": state["task"]}) for each in (search, sql, calculator)))
    result = {"role": "user", "content": f"{state['turn']}: " + "what the tools have found goes here " * 12}
    return {"messages": [*state["messages"], result]}


async def review(state: State) -> dict[str, Any]:
    """Look at the answer, which takes a moment."""
    await asyncio.sleep(SETTINGS.get("review_s", 0.0))
    return {"turn": state["turn"]}


def after(state: State) -> str:
    """Where to go from the model."""
    return "tools" if state["turn"] <= TURNS else "review"


builder = StateGraph(State)
builder.add_node("model", model)
builder.add_node("tools", tools)
builder.add_node("review", review)
builder.add_edge(START, "model")
builder.add_conditional_edges("model", after, ["tools", "review"])
builder.add_edge("tools", "model")
builder.add_edge("review", END)
graph = builder.compile()


async def agent(task: str) -> str:
    """Answer a task."""
    first = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": task}]
    state = await graph.ainvoke({"task": task, "messages": first, "turn": 1})
    return str(state["messages"][-1]["content"])
