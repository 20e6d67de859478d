"""The event loop with exact timers: it is an event loop like any other, and no timer comes early."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading

import pytest

from profiler.engines.sim.clockwork import new_loop


def run(main):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


def test_no_timer_comes_before_its_time_and_they_come_in_order():
    async def main():
        loop = asyncio.get_running_loop()
        begin = loop.time()
        came = []
        ended = loop.create_future()
        delays = [0.003, 0.0001, 0.0011, 0.0025, 0.0, 0.0004]
        for delay in delays:
            loop.call_at(begin + delay, lambda delay=delay: came.append((delay, loop.time() - begin)))
        loop.call_at(begin + 0.004, ended.set_result, None)
        await ended
        return came

    came = run(main())
    assert [delay for delay, _ in came] == sorted(delay for delay, _ in came)
    assert all(at >= delay for delay, at in came)


def test_sockets_are_served_while_a_timer_is_far_away():
    async def main():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            far = loop.call_later(3600, lambda: None)
            threading.Timer(0.01, theirs.sendall, [b"hello"]).start()
            try:
                return await loop.sock_recv(ours, 100)
            finally:
                far.cancel()

    assert run(main()) == b"hello"


def test_other_threads_wake_it():
    async def main():
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        threading.Timer(0.01, loop.call_soon_threadsafe, [woken.set_result, 7]).start()
        far = loop.call_later(3600, lambda: None)
        try:
            return await woken
        finally:
            far.cancel()

    assert run(main()) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="signals to oneself")
def test_signals_wake_it():
    async def main():
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, came.set)
        far = loop.call_later(3600, lambda: None)
        threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGUSR1]).start()
        try:
            await came.wait()
        finally:
            far.cancel()
            loop.remove_signal_handler(signal.SIGUSR1)
        return True

    assert run(main())
