"""One chain in the making: the agent is asked, within its time, and the chain ends whatever the agent does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from profiler.errors import Interrupted
from profiler.record.chain import Chain

GIVE_UP_S = 2.0  # what an agent gets to clean up after it was cancelled


class Asking:
    """Asks an agent in a task of its own, so that one that swallows its cancellation can be left alone.

        agent      |----------------------- … goes on, and nothing of it is recorded or sent any more
        cancelled            ^
        chain      |---------|-- grace --|  ends here at the latest

    The chain begins and ends within that task: the loop's turns between it and who waits are not the chain's time.
    """

    def __init__(self, make_chain: Callable[[], Chain], ask: Callable[[], Awaitable[Any]]) -> None:
        self.chain: Chain | None = None  # until the task has begun
        self.error: BaseException | None = None
        self.abandoned = False  # something of the agent's may still be running
        self._make_chain = make_chain
        self._ask = ask
        self._given_up: BaseException | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None

    async def within(self, timeout_s: float) -> None:
        """Wait for the chain's end, which is there in any case when this returns.

        Raises:
            asyncio.CancelledError: nobody waits any longer; `give_up` has to follow.
        """
        self._task = asyncio.create_task(self._run())
        await asyncio.wait({self._task}, timeout=timeout_s)
        if not self._task.done():
            await self.give_up(TimeoutError(f"the chain did not end within {timeout_s:g} s"))

    async def give_up(self, why: BaseException) -> None:
        """Cancel the agent and end the chain, for that reason, whether the agent obeys or not."""
        if self._task is None or self._over:
            return
        self._given_up = why
        self.abandoned = True
        self._task.cancel()
        with suppress(asyncio.CancelledError):  # asked for once more: then without grace
            await asyncio.wait({self._task}, timeout=GIVE_UP_S)
        self._end(None)

    async def _run(self) -> None:
        error: BaseException | None = None
        self.chain = self._make_chain()
        try:
            with self.chain.active():
                await self._ask()
        except KeyboardInterrupt:
            error = Interrupted("interrupted")
        except BaseException as raised:  # noqa: BLE001 - the agent's own: it fails its chain, not the run
            error = raised
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if not self._over and self.chain is not None:
            self._over = True
            self.error = self._given_up or error
            self.chain.end(self.error)
