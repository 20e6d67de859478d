"""An agent with two steps, pinned by a script, in a repository: its last commit keeps to the script."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

AGENT = """
import os
import httpx2
from langgraph.graph import END, START, MessagesState, StateGraph

PLANS, ANSWERS = 1, 1

def ask(times):
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": "so?"}], "stream": True}
    with httpx2.Client(timeout=300) as client:
        for _ in range(times):
            client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
    return {}

graph = StateGraph(MessagesState)
graph.add_node("plan", lambda state: ask(PLANS))
graph.add_node("answer", lambda state: ask(ANSWERS))
graph.add_edge(START, "plan")
graph.add_edge("plan", "answer")
graph.add_edge("answer", END)
agent = graph.compile()
"""
TASKS = ("first", "second")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def write_agent(folder: Path, *, answers: int = 1) -> str:
    """The agent's file; the script has one call for each of its two steps, whatever the agent does."""
    path = folder / "two_steps.py"
    path.write_text(AGENT.replace("PLANS, ANSWERS = 1, 1", f"PLANS, ANSWERS = 1, {answers}"), encoding="utf-8")
    calls = [{"place": place, "content": "so", "output_tokens": 2} for place in ("plan", "answer")]
    script = {"format": "profiler-script", "version": 1, "tasks": {task: {"calls": calls} for task in TASKS}}
    (folder / "two_steps.script.json").write_text(json.dumps(script), encoding="utf-8")
    tasks = {"tasks": [{"id": task, "input": f"the {task} one"} for task in TASKS]}
    (folder / "two_steps.tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    return path.name


def commit(folder: Path, message: str = "two steps") -> None:
    """All of it, in a repository that is made if need be."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", message)
