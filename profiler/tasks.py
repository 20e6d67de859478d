"""Tasks: what the agent is asked."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from profiler.errors import DataError, UsageError
from profiler.jsonfile import read_model

# Tags are listed with commas between them; one that begins or ends with a space would never be asked for.
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^,\r\n]*$")]


class Task(BaseModel):
    """One question for the agent: a text, or the whole input state of a graph.

    Its tags are recorded with its chains; `profiler check` can hold the tasks of a tag to limits of their own.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: str = Field(min_length=1, max_length=200)
    input: str | dict[str, Any]
    tags: tuple[Tag, ...] = ()


class TasksFile(BaseModel):
    """The file `AGENT.tasks.json`."""

    model_config = ConfigDict(extra="ignore")
    tasks: list[Task]


def load_tasks(path: Path) -> list[Task]:
    """Read a tasks file: `{"tasks": [{"id": …, "input": …}]}`.

    Raises:
        DataError: missing, empty, not JSON, of another shape, or with an id twice.
    """
    tasks = read_model(path, TasksFile, what="tasks file", option="--tasks", shape=_SHAPE).tasks
    if not tasks:
        raise DataError(f"the tasks file {path} has no tasks", remedy=_SHAPE)
    twice = [task_id for task_id, count in Counter(task.id for task in tasks).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has these task ids twice: {', '.join(twice)}",
            remedy="ids name tasks in reports: make them differ",
        )
    return tasks


_SHAPE = 'it should read {"tasks": [{"id": "weather", "input": "Do I need an umbrella in Oslo?"}]}'


def choose_tasks(tasks: Sequence[Task], wanted: Sequence[str]) -> list[Task]:
    """The tasks with these ids, in the order of the file; all of them if none is named.

    Raises:
        UsageError: an id that the file does not have.
    """
    known = {task.id for task in tasks}
    for task_id in wanted:
        if task_id not in known:
            near = difflib.get_close_matches(task_id, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(known)[:20])}"
            raise UsageError(f"no task {task_id!r}", remedy=hint)
    return [task for task in tasks if not wanted or task.id in wanted]


def task_digests(tasks: Sequence[Task]) -> dict[str, str]:
    """Of each task's input a digest, by which runs can tell that one id asks two things."""
    return {task.id: hashlib.sha256(json.dumps(task.input, sort_keys=True).encode()).hexdigest()[:16] for task in tasks}
