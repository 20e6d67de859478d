"""The kernel's stamps: real sockets, a loop that is held while bytes come."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from time import perf_counter_ns, time_ns

import pytest

from profiler.kernel_time import StampedSocket, kernel_stamping, stamp_reads

MS = 1_000_000
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux stamps")


def hold(ns: int) -> None:
    until = perf_counter_ns() + ns
    while perf_counter_ns() < until:
        pass


class Keep(asyncio.Protocol):
    """Keeps what comes, with its stamp."""

    def __init__(self, *, stamped: bool = True) -> None:
        self.stamped = stamped
        self.came: list[tuple[bytes, int | None]] = []
        self.got = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.stamps = stamp_reads(transport) if self.stamped else None

    def data_received(self, data):
        self.came.append((data, self.stamps.received_ns if self.stamps else None))
        self.got.set()


async def connected(protocol):
    """A protocol's transport and the blocking socket at the other end."""
    ours, theirs = tcp_pair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    return transport, theirs


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


@pytest.fixture
def stamping():
    """The kernel stamps from some moment on: wait for it."""

    async def stamped_yet() -> bool:
        protocol = Keep()
        transport, theirs = await connected(protocol)
        theirs.sendall(b"?")
        await protocol.got.wait()
        transport.close()
        theirs.close()
        await asyncio.sleep(0)
        return protocol.came[0][1] is not None

    with kernel_stamping():
        for _ in range(1000):
            if asyncio.run(stamped_yet()):
                break
        yield


@linux
def test_bytes_are_stamped_when_they_came_and_not_when_the_loop_had_time(stamping):
    async def run():
        protocol = Keep()
        transport, theirs = await connected(protocol)
        before_ns = perf_counter_ns()
        theirs.sendall(b"early")
        sent_ns = perf_counter_ns()
        hold(50 * MS)
        await protocol.got.wait()
        seen_ns = perf_counter_ns()
        transport.close()
        theirs.close()
        await asyncio.sleep(0)
        return before_ns, sent_ns, seen_ns, protocol.came

    before_ns, sent_ns, seen_ns, came = asyncio.run(run())
    ((data, stamp_ns),) = came
    assert data == b"early"
    assert before_ns - MS < stamp_ns < sent_ns + 25 * MS < seen_ns


@linux
def test_bytes_that_waited_together_have_the_newest_stamp(stamping):
    async def run():
        protocol = Keep()
        transport, theirs = await connected(protocol)
        theirs.sendall(b"one")
        hold(30 * MS)
        second_ns = perf_counter_ns()
        theirs.sendall(b"two")
        hold(30 * MS)
        await protocol.got.wait()
        transport.close()
        theirs.close()
        await asyncio.sleep(0)
        return second_ns, protocol.came

    second_ns, came = asyncio.run(run())
    assert [data for data, _ in came] == [b"onetwo"]
    assert came[0][1] > second_ns - 5 * MS


@linux
def test_everything_else_passes_through_to_the_socket():
    async def run():
        protocol = Keep()
        transport, theirs = await connected(protocol)
        transport.write(b"to you")
        got = await asyncio.to_thread(theirs.recv, 100)
        name = transport.get_extra_info("socket").getsockname()
        peer = theirs.getpeername()
        transport.close()
        await asyncio.sleep(0)
        end = await asyncio.to_thread(theirs.recv, 100)
        theirs.close()
        return got, name == peer, end

    assert asyncio.run(run()) == (b"to you", True, b"")


class Scripted:
    """A socket whose messages are made up."""

    def __init__(self, *messages) -> None:
        self.messages = list(messages)

    def recvmsg(self, _size, _room):
        return b"x", self.messages, 0, ("", 0)


def message(ago_ns: int, kind: int = 35, layout: str = "@ll"):
    at = time_ns() - ago_ns
    return socket.SOL_SOCKET, kind, struct.pack(layout, at // 10**9, at % 10**9)


def test_a_stamp_is_moved_from_the_wall_clock_to_the_counter():
    for _ in range(5):  # between its two clocks the test may lose its turn
        before_ns = perf_counter_ns()
        stamped = StampedSocket(Scripted(message(5 * MS)))
        assert stamped.recv(10) == b"x"
        moved = before_ns - 6 * MS < stamped.received_ns < perf_counter_ns() - 4 * MS
        if moved:
            break
    assert moved


@pytest.mark.parametrize(
    "messages",
    [
        list,
        lambda: [message(-60_000 * MS)],
        lambda: [message(60_000 * MS)],
        lambda: [message(0, kind=29)],
        lambda: [(1, 35, b"short")],
    ],
    ids=["none", "in the future", "a minute ago", "of another kind", "of another size"],
)
def test_what_cannot_be_a_stamp_is_none(messages):
    stamped = StampedSocket(Scripted(*messages()))
    stamped.recv(10)
    assert stamped.received_ns is None


def test_a_transport_without_a_plain_socket_is_left_alone():
    class Foreign:
        _sock = object()

    transport = Foreign()
    before = transport._sock
    assert stamp_reads(transport) is None
    assert transport._sock is before
    assert stamp_reads(object()) is None
