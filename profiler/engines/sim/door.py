"""The listening socket, which can be shut for a while: new connections are refused, as when a server restarts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable

_BACKLOG = 1024
_AGAIN_S = 0.05


class Door:
    """A port that is open or shut; on Linux nobody else's connections can take it while it is shut."""

    def __init__(self, host: str, port: int) -> None:
        """Take the port; 0 takes a free one.

        Raises:
            OSError: it cannot be had.
            OverflowError: it is no port.
        """
        self._host = host
        # Bound and never listening. Elsewhere than on Linux it would keep the listening socket out, too.
        self._holder = _bound(host, port)
        self.port: int = self._holder.getsockname()[1]
        if not sys.platform.startswith("linux"):
            self._holder.close()
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Take connections.

        Raises:
            OSError: somebody else listens there.
        """
        self._factory = factory
        listener = _bound(self._host, self.port)
        self._server = await asyncio.get_running_loop().create_server(factory, sock=listener, backlog=_BACKLOG)

    def shut_for(self, seconds: float) -> None:
        """Refuse connections for so long; those that are open stay. Does nothing while it is shut already."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._opening = asyncio.get_running_loop().create_task(self._open_after(seconds))

    async def _open_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while self._server is None:
            with contextlib.suppress(OSError):
                await self.open(self._factory)
                return
            await asyncio.sleep(_AGAIN_S)

    def close(self) -> None:
        """Give the port back."""
        if self._opening is not None:
            self._opening.cancel()
        if self._server is not None:
            self._server.close()
        self._holder.close()


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)  # noqa: FBT003 - its only parameter
    try:
        bound.bind((host, port))
    except (OSError, OverflowError):
        bound.close()
        raise
    return bound
