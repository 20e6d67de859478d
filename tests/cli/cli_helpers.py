"""What the tests of the command line share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from profiler.cli import main

ROOT = Path(__file__).parents[2]
PLAIN_AGENT = """
import os, httpx2
def answer(task):
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}], "stream": True}
    with httpx2.Client(timeout=300) as client:
        for _ in range(2):
            client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
    return "done"
"""


@dataclass
class Result:
    code: int
    out: str
    err: str


@dataclass
class Bench:
    """A folder to work in, and the command line."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def agent(self, code: str = PLAIN_AGENT, name: str = "my_agent.py") -> str:
        path = self.folder / name
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return str(path)

    def tasks(self, value: object, name: str = "tasks.json") -> str:
        path = self.folder / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(path)

    def run(self, *arguments: str) -> Result:
        self.capture.readouterr()
        code = main([str(argument) for argument in arguments])
        seen = self.capture.readouterr()
        assert "Traceback" not in seen.err
        return Result(code, seen.out, seen.err)

    def manifest(self, run: str = "out") -> dict:
        return json.loads((self.folder / run / "run.json").read_text(encoding="utf-8"))


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "profiler", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_lines(path: Path, lines: int, seconds: float = 200) -> None:
    """Until a file that another process writes has so many lines."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not get {lines} lines")
