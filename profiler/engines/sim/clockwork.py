"""An event loop whose timers are exact to some 50 µs instead of a millisecond.

`epoll_wait` takes whole milliseconds and asyncio rounds up, so a token would be late by half a millisecond in the
mean. Waiting in `select` for the epoll descriptor itself has microseconds.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import sys


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop with exact timers where that takes a trick, else the platform's usual one."""
    if sys.platform.startswith("linux"):
        return asyncio.SelectorEventLoop(_ExactEpoll())
    return asyncio.new_event_loop()


if sys.platform.startswith("linux"):

    class _ExactEpoll(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                ready, _, _ = select.select([self.fileno()], [], [], timeout)
                if not ready:
                    return []
                timeout = 0
            return super().select(timeout)
