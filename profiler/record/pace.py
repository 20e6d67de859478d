"""Chains one by one, as another process asks for them: how `profiler ab` lets two runs take turns.

    ab  --a line-->  run        which chain is to run now: task and repetition, as JSON
    ab  <--a line--  run        "ready" once, then how each chain ended, as JSON

When the writing end is closed, no further chain begins and the run ends in good order.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from profiler.errors import DataError

if TYPE_CHECKING:
    from profiler.record.runner import ChainResult, Job


@dataclass(frozen=True)
class Ended:
    """How a chain ended, as it is told."""

    task: str
    repeat: int
    warmup: bool
    e2e_ns: int
    calls: int
    failure: str | None


class Pace:
    """The run's end of two pipes."""

    def __init__(self, asked_fd: int, tell_fd: int) -> None:
        os.set_blocking(asked_fd, False)
        for each in (asked_fd, tell_fd):  # what the agent starts is not to hold them open when this process is gone
            os.set_inheritable(each, False)  # noqa: FBT003 - its signature
        self._asked_fd = asked_fd
        self._tell_fd = tell_fd
        self._rest = b""
        self._ready = False

    async def next(self, waiting: deque[Job]) -> Job | None:
        """Take the chain that is asked for out of those that are left; None if none will be any more."""
        if not self._ready:
            self._ready = True
            self._tell({"ready": True})
        while b"\n" not in self._rest:
            await self._readable()
            with suppress(BlockingIOError):
                read = os.read(self._asked_fd, 1 << 12)
                if not read:
                    return None
                self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        asked = json.loads(line)
        for job in waiting:
            if (job.task.id, job.repeat) == (asked["task"], asked["repeat"]):
                waiting.remove(job)
                return job
        raise DataError(f"there is no chain {asked['repeat']} of task {asked['task']!r} left to run")

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = loop.create_future()

        def settle() -> None:
            if not readable.done():
                readable.set_result(None)

        loop.add_reader(self._asked_fd, settle)
        try:
            await readable
        finally:
            loop.remove_reader(self._asked_fd)

    def ended(self, result: ChainResult) -> None:
        """Tell that a chain has ended."""
        job, failure = result.job, result.failure
        told = Ended(
            job.task.id,
            job.repeat,
            job.warmup,
            result.e2e_ns,
            result.calls,
            None if failure is None else f"{failure.type}: {failure.message}",
        )
        self._tell(vars(told))

    def _tell(self, what: dict[str, object]) -> None:
        with suppress(OSError):  # nobody listens any more: nothing more will be asked for
            os.write(self._tell_fd, json.dumps(what).encode() + b"\n")
