"""The port that can be shut for a while."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from profiler.engines.sim.door import Door

HOST = "127.0.0.1"


class Greeting(asyncio.Protocol):
    def connection_made(self, transport):
        transport.abort()


def connects(port):
    try:
        socket.create_connection((HOST, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


async def settle():
    """Let connections that were made end, which takes some rounds of the loop."""
    for _ in range(10):
        await asyncio.sleep(0.001)


async def connects_at_last(port):
    for _ in range(2000):
        if await asyncio.to_thread(connects, port):
            return await settle()
        await asyncio.sleep(0.005)
    raise AssertionError("it stays shut")


def with_door(check, port=0):
    async def run():
        door = Door(HOST, port)
        try:
            await check(door)
        finally:
            await settle()
            door.close()

    asyncio.run(run())


def test_nobody_is_let_in_before_it_is_open():
    async def check(door):
        assert not await asyncio.to_thread(connects, door.port)
        await door.open(Greeting)
        assert await asyncio.to_thread(connects, door.port)

    with_door(check)


def test_it_opens_again_at_the_same_port_as_often_as_it_is_shut():
    async def check(door):
        await door.open(Greeting)
        for _ in range(3):
            door.shut_for(0.05)
            assert not connects(door.port)
            await connects_at_last(door.port)

    with_door(check)


def test_shutting_what_is_shut_changes_nothing():
    async def check(door):
        await door.open(Greeting)
        door.shut_for(0.01)
        door.shut_for(1000)
        await connects_at_last(door.port)

    with_door(check)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a second bound socket keeps the port on Linux only")
def test_nobody_else_is_given_the_port_while_it_is_shut():
    async def check(door):
        await door.open(Greeting)
        door.shut_for(1000)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, door.port))

    with_door(check)


def test_a_taken_port_is_refused():
    with socket.create_server((HOST, 0)) as taken, pytest.raises(OSError, match="in use"):
        Door(HOST, taken.getsockname()[1])


def test_what_is_no_port_is_refused():
    with pytest.raises(OverflowError):
        Door(HOST, 70_000)


def test_a_door_that_was_closed_while_shut_stays_closed():
    async def run():
        door = Door(HOST, 0)
        await door.open(Greeting)
        door.shut_for(0.01)
        door.close()
        await asyncio.sleep(0.05)
        return door.port

    assert not connects(asyncio.run(run()))
