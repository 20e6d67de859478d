"""Leave for each chain from another process: how `profiler ab` keeps two runs from disturbing each other.

    ab  --go-->      run        one chain may begin
    ab  <--a line--  run        "ready" once, then how each chain ended, as JSON

When the writing end is closed, no further chain begins and the run ends in good order.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiler.record.runner import ChainResult

_GO = b"go\n"


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

    def __init__(self, leave_fd: int, tell_fd: int) -> None:
        os.set_blocking(leave_fd, False)
        self._leave_fd = leave_fd
        self._tell_fd = tell_fd
        self._rest = b""
        self._ready = False

    async def leave(self) -> bool:
        """Wait until a chain may begin; False if none will any more."""
        if not self._ready:
            self._ready = True
            self._tell({"ready": True})
        while not self._rest.startswith(_GO):
            await self._readable()
            with suppress(BlockingIOError):
                read = os.read(self._leave_fd, 64)
                if not read:
                    return False
                self._rest += read
        self._rest = self._rest[len(_GO) :]
        return True

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = loop.create_future()

        def settle() -> None:
            if not readable.done():
                readable.set_result(None)

        loop.add_reader(self._leave_fd, settle)
        try:
            await readable
        finally:
            loop.remove_reader(self._leave_fd)

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
        with suppress(OSError):  # nobody listens any more: the next leave will not come
            os.write(self._tell_fd, json.dumps(what).encode() + b"\n")
