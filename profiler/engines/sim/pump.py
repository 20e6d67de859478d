"""Drives the time model in real time: asks it what is due, hands tokens out, sleeps until the next step ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from profiler.engines.sim.scheduler import Progress, Scheduler, Token, Work

OnToken = Callable[[Token, int], None]


class Pump:
    """One scheduler on one event loop.

    The plan's time never waits for this process: a step that is handed out late does not move the next one, and how
    late it was is in the ground truth.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._listeners: dict[str, OnToken] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns: int | None = None

    def submit(self, work: Work, at_ns: int, on_token: OnToken) -> Progress:
        """Queue a request; `on_token` gets each token with the time at which it was handed out.

        Raises:
            PromptTooLong: it can never fit into the engine's memory.
        """
        progress = self.scheduler.add(work, at_ns)
        self._listeners[work.id] = on_token
        self._arm()
        return progress

    def cancel(self, request_id: str) -> None:
        """The client is gone; harmless for a request whose last token was handed out."""
        if self._listeners.pop(request_id, None) is not None:
            self.scheduler.cancel(request_id)
            self._arm()

    def _arm(self) -> None:
        due_ns = self.scheduler.next_ns()
        if due_ns == self._due_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_ns = due_ns
        self._timer = None
        if due_ns is not None:
            self._timer = asyncio.get_running_loop().call_at(due_ns / 1e9, self._tick)

    def _tick(self) -> None:
        self._due_ns = self._timer = None
        try:
            for token in self.scheduler.advance(time.monotonic_ns()):
                on_token = self._listeners.get(token.id)
                if on_token is None:
                    continue
                if token.last:
                    del self._listeners[token.id]
                on_token(token, time.monotonic_ns())
        finally:
            self._arm()
