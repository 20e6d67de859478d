"""An event loop whose timers are exact to some 50 µs instead of a millisecond.

`epoll_wait` takes whole milliseconds and asyncio rounds up, so a token would be late by half a millisecond in the
mean. Waiting in `select` for the epoll descriptor itself has microseconds.

A processor that sleeps takes its time to wake, on a virtual machine up to a millisecond. Where the engine's log has
to be exact and a core is to spare, its loop never sleeps.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import sys
import time


def new_loop(*, spin: bool = False) -> asyncio.AbstractEventLoop:
    """A loop with exact timers where that takes a trick, else the platform's usual one.

    With `spin` it takes a whole core, and notices what comes without having to be woken.
    """
    if spin:
        return asyncio.SelectorEventLoop(_Spinning())
    if sys.platform.startswith("linux"):
        return asyncio.SelectorEventLoop(_ExactEpoll())
    return asyncio.new_event_loop()


class _Spinning(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            found = super().select(0)
            if found or (until is not None and time.monotonic() >= until):
                return found


if sys.platform.startswith("linux"):

    class _ExactEpoll(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                ready, _, _ = select.select([self.fileno()], [], [], timeout)
                if not ready:
                    return []
                timeout = 0
            return super().select(timeout)
