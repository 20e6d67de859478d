"""What the tests of the sample agents share: their files, and an engine that says what the script says."""

import functools
import importlib.util
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2

AGENTS = Path(__file__).parents[2] / "agents"
if str(AGENTS) not in sys.path:
    sys.path.insert(0, str(AGENTS))


@functools.cache
def load_agent(name: str) -> ModuleType:
    """Load an agent by its path, as a program that knows nothing of the agent would."""
    spec = importlib.util.spec_from_file_location(f"sample_{name}", AGENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_tasks(name: str) -> dict[str, dict[str, Any]]:
    content = json.loads((AGENTS / f"{name}.tasks.json").read_text(encoding="utf-8"))
    assert content["version"] == 1
    tasks = {task["id"]: task for task in content["tasks"]}
    assert len(tasks) == len(content["tasks"]), "an id occurs twice"
    return tasks


def load_script(name: str) -> dict[str, list[dict[str, Any]]]:
    content = json.loads((AGENTS / f"{name}.script.json").read_text(encoding="utf-8"))
    assert (content["format"], content["version"]) == ("profiler-script", 1)
    return {ident: task["calls"] for ident, task in content["tasks"].items()}


def figures(text: str) -> list[str]:
    """Return the dates and numbers in a text; 11,400 counts as 11400."""
    return re.findall(r"\d{4}-\d\d-\d\d|-?\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", text))


@dataclass
class ScriptedEngine:
    """Answers the n-th request of a chain with the n-th call of its script."""

    calls: list[dict[str, Any]]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        call = self.calls[len(self.requests)]
        self.requests.append(body)
        if not body.get("stream"):
            message = {"role": "assistant", "content": call["content"]}
            return httpx2.Response(200, json=envelope([{"message": message, "finish_reason": "stop"}]))
        events = [*self.chunks(call), "[DONE]"]
        lines = [f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events]
        return httpx2.Response(200, text="".join(lines), headers={"content-type": "text/event-stream; charset=utf-8"})

    def chunks(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        half = len(call["content"]) // 2
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": part} for part in (call["content"][:half], call["content"][half:])]
        tools = call.get("tool_calls", [])
        for index, tool in enumerate(tools):
            arguments = json.dumps(tool["arguments"])
            opening = {"name": tool["name"], "arguments": arguments[:5]}
            ident = f"call{len(self.requests):02}{index:03}"
            deltas.append({"tool_calls": [{"index": index, "id": ident, "type": "function", "function": opening}]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[5:]}}]})
        choices = [{"delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"delta": {}, "finish_reason": "tool_calls" if tools else "stop"})
        usage = {"prompt_tokens": 1, "completion_tokens": call["output_tokens"], "total_tokens": 1}
        return [envelope([choice], chunk=True) for choice in choices] + [{**envelope([], chunk=True), "usage": usage}]


def envelope(choices: list[dict[str, Any]], *, chunk: bool = False) -> dict[str, Any]:
    kind = "chat.completion.chunk" if chunk else "chat.completion"
    numbered = [{"index": 0, **choice} for choice in choices]
    return {"id": "c1", "object": kind, "created": 1, "model": "scripted", "choices": numbered}
