"""A process that turns ranges of a file of spans into rows: one of several, each on a core of its own.

    parent  --task: a line of JSON-->  worker
    parent  <--a line of JSON, then Arrow streams of the lengths that it gives--  worker

A fresh interpreter, not a fork: a fork of a process with threads (numpy and Arrow start some when they are imported)
may hang, and `spawn` would run a user's own script a second time. It takes a fifth of a second to start.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa

from profiler.errors import StoreError
from profiler.store import arrow
from profiler.store.lines import BadLine, Part, rows_of_range, rows_of_traces

_ROOT = Path(__file__).parents[2]  # where the package `profiler` lies
_PROGRAM = (
    f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from profiler.store.worker import serve; "
    "serve(sys.stdin.buffer, sys.stdout.buffer)"
)


class Worker:
    """The parent's end of one worker."""

    def __init__(self) -> None:
        # -P: nothing is imported from the folder in which the user happens to be.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process."""
        self.stop()

    def stop(self) -> None:
        """End the process, whatever it is doing. May be called again, and from another thread."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def rows_of_range(self, path: Path, start: int, end: int) -> Part:
        """As in `lines`."""
        facts, (*tables, index) = self._ask({"path": os.fsdecode(path), "start": start, "end": end})
        bad = None if facts["bad"] is None else BadLine(**facts["bad"])
        by_name = dict(zip(arrow.SCHEMAS, tables, strict=True))
        return Part(by_name, index, rootless=facts["rootless"], lines=facts["lines"], bad=bad)

    def rows_of_traces(self, path: Path, lines: Sequence[tuple[int, int]], ids: Sequence[str]) -> arrow.ArrowTables:
        """As in `lines`."""
        _, tables = self._ask({"path": os.fsdecode(path), "lines": lines, "ids": ids})
        return dict(zip(arrow.SCHEMAS, tables, strict=True))

    def _ask(self, task: dict[str, Any]) -> tuple[dict[str, Any], list[pa.Table]]:
        sending, receiving = self._process.stdin, self._process.stdout
        assert sending is not None
        assert receiving is not None
        try:
            sending.write(json.dumps(task).encode() + b"\n")
            sending.flush()
            facts = json.loads(receiving.readline())
            parts = [_whole(receiving, length) for length in facts.pop("lengths")]
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(
                f"a process that was reading {task['path']} ended: {self._how_it_ended()}",
                remedy="its memory may not have sufficed",
            ) from error
        if facts.get("error"):
            raise StoreError(f"cannot read {task['path']}: {facts['error']}")
        return facts, [arrow.from_stream(part) for part in parts]

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=5)
            return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return "it does not answer"


def _whole(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) != length:
        raise EOFError
    return content


def serve(tasks: IO[bytes], answers: IO[bytes]) -> None:
    """Work until there are no more tasks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to end
    gc.disable()  # rows and spans are in no cycles, and there are many
    for line in tasks:
        task = json.loads(line)
        try:
            facts, tables = _work(task)
        except OSError as error:
            facts, tables = {"error": error.strerror}, []
        streams = [arrow.stream_of(table) for table in tables]
        with suppress(BrokenPipeError):
            answers.write(json.dumps({**facts, "lengths": [len(stream) for stream in streams]}).encode() + b"\n")
            for stream in streams:
                answers.write(stream)
            answers.flush()
        gc.collect()


def _work(task: dict[str, Any]) -> tuple[dict[str, Any], list[pa.Table]]:
    path = Path(task["path"])
    if "ids" in task:
        return {}, list(
            rows_of_traces(path, [(offset, length) for offset, length in task["lines"]], task["ids"]).values()
        )
    part = rows_of_range(path, task["start"], task["end"])
    bad = None if part.bad is None else asdict(part.bad)
    return {"rootless": part.rootless, "lines": part.lines, "bad": bad}, [*part.tables.values(), part.index]
