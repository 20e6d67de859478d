"""Scripts: what the model said at each call of a chain, so that control flow is pinned and only time is free.

File format (JSON):

    {"format": "profiler-script", "version": 1,
     "tasks": {"<task id>": {"calls": [
        {"place": "model", "content": "…", "tool_calls": [{"name": "search", "arguments": {…}}],
         "output_tokens": 57, "finish_reason": "tool_calls"}]}}}

`place` is the path of graph nodes in which the call is made (empty for an agent without a graph); calls of one
place are listed in order. Matching by place and not by arrival keeps parallel branches apart.
"""

from __future__ import annotations

import heapq
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from profiler.errors import ScriptMismatch
from profiler.jsonfile import read_model


class ToolCall(BaseModel):
    """A call of a tool that the model asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ScriptedCall(BaseModel):
    """What the model said at one call."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    place: str = ""
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    output_tokens: int = Field(ge=1, le=1_000_000)
    finish_reason: str | None = None

    @property
    def finish(self) -> str:
        """The recorded finish reason, or the one that follows from what was said."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


class TaskScript(BaseModel):
    """All calls of one task's chain."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    calls: tuple[ScriptedCall, ...]


class Script(BaseModel):
    """The pinned trajectories of an agent's tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["profiler-script"] = "profiler-script"
    version: Literal[1] = 1
    tasks: dict[str, TaskScript]

    def cursor(self, task_id: str) -> Cursor:
        """Start a chain of this task.

        Raises:
            ScriptMismatch: the script does not have the task.
        """
        if task_id not in self.tasks:
            raise ScriptMismatch(
                f"the script has no task {task_id!r}",
                remedy="record one with --record-script, choose other tasks with --task, or use --no-script",
            )
        return Cursor(task_id, self.tasks[task_id])


class Cursor:
    """Which scripted calls of one chain have been handed out."""

    def __init__(self, task_id: str, script: TaskScript) -> None:
        self._task_id = task_id
        self._by_place: dict[str, list[ScriptedCall]] = {}
        for call in script.calls:
            self._by_place.setdefault(call.place, []).append(call)
        self._waiting = {place: list(range(len(calls))) for place, calls in self._by_place.items()}

    def take(self, place: str) -> tuple[int, ScriptedCall]:
        """Hand out the next call of a place, with its 1-based ordinal there.

        Raises:
            ScriptMismatch: the script has no further call at this place.
        """
        waiting = self._waiting.get(place)
        if not waiting:
            have = len(self._by_place.get(place, ()))
            where = f"node {place!r}" if place else "the agent"
            raise ScriptMismatch(
                f"task {self._task_id!r}: {where} asked for call {have + 1}, the script has {have} there"
                + ("" if have else f" (it has calls at: {', '.join(map(repr, sorted(self._by_place)))})"),
                remedy="the agent has changed since the script was made: record it anew with --record-script, "
                "or run without it (--no-script)",
            )
        index = heapq.heappop(waiting)
        return index + 1, self._by_place[place][index]

    def give_back(self, place: str, ordinal: int) -> None:
        """A failed attempt did not use its call: its retry gets the same one."""
        heapq.heappush(self._waiting[place], ordinal - 1)

    def unused(self) -> int:
        """Calls that the chain has not asked for."""
        return sum(map(len, self._waiting.values()))


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        DataError: the file is missing, not JSON, or not a script.
    """
    return read_model(path, Script, what="script", option="--script", shape="record one with --record-script")


def dump_script(script: Script) -> str:
    """The file's text, for a reader and a diff: one call a line."""
    tasks = []
    for task_id, task in script.tasks.items():
        calls = ",\n".join(
            "      " + json.dumps(call.model_dump(exclude_none=True), ensure_ascii=False) for call in task.calls
        )
        tasks.append(f'    {json.dumps(task_id)}: {{"calls": [\n{calls}\n    ]}}')
    body = ",\n".join(tasks)
    return f'{{\n  "format": "profiler-script",\n  "version": 1,\n  "tasks": {{\n{body}\n  }}\n}}\n'
