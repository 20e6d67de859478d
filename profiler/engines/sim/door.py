"""The listening socket, which can be shut for a while: new connections are refused, as when a server restarts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_BACKLOG = 1024


class Door:
    """Holds a port; `open` and `shut` as often as wanted, nobody else can take it in between."""

    def __init__(self, host: str, port: int) -> None:
        """Take the port.

        Raises:
            OSError: it cannot be had.
        """
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setblocking(False)  # noqa: FBT003 - its only parameter
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._factory: Callable[[], asyncio.Protocol] | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Take connections."""
        self._factory = factory
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(factory, sock=self._socket.dup(), backlog=_BACKLOG)

    def shut_for(self, seconds: float) -> None:
        """Refuse connections for so long; those that are open stay. Does nothing while it is shut already."""
        if self._server is None or self._factory is None:
            return
        self._server.close()
        self._server = None
        self._socket.shutdown(socket.SHUT_RD)  # the port stays bound, and nothing listens
        self._opening = asyncio.get_running_loop().create_task(self._open_after(seconds))

    async def _open_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        assert self._factory is not None
        await self.open(self._factory)

    def close(self) -> None:
        """Give the port back."""
        if self._opening is not None:
            self._opening.cancel()
        if self._server is not None:
            self._server.close()
        self._socket.close()
