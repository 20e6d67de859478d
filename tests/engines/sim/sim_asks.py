"""Requests for tests of the embedded engine's speech and dialects."""

import orjson

from profiler.engines.sim.prompt import tokenise
from profiler.engines.sim.request import Ask, Served, Spent, Tool

SERVED = Served("m", 8192)
SPENT = Spent(queue_ns=2_500_000, prefill_ns=10_000_000, decode_ns=30_000_000, cached_tokens=64, frontend_ns=1_999_999)
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}
SQL = {
    "type": "function",
    "function": {
        "name": "sql",
        "parameters": {"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]},
    },
}
TOOLS = tuple(Tool(one["function"]["name"], one["function"]["parameters"]) for one in (SEARCH, SQL))


def ask(text="How much is it?", **fields):
    defaults = {
        "id": "chatcmpl-1",
        "operation": "chat",
        "model": "m",
        "max_tokens": 4096,
        "first_user_text": text,
        "last_role": "user",
    }
    return Ask(prompt_text=text, prompt=tokenise(text), **{**defaults, **fields})


def asks_for_tools(text="How much is it?", **fields):
    return ask(text, **{"tools": TOOLS, "tool_choice": "auto", **fields})


def user(text):
    return {"role": "user", "content": text}


def chunks(events):
    """The JSON of server-sent events; [DONE] as it is."""
    found = []
    for event in events:
        assert event.startswith(b"data:")
        assert event.endswith((b"\n\n", b"\r\n\r\n"))
        data = event[5:].strip()
        found.append("[DONE]" if data == b"[DONE]" else orjson.loads(data))
    return found
