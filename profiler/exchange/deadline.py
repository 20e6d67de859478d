"""An end for a whole HTTP exchange: httpx's own timeouts begin anew with every byte that drips in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

_CONNECTED: Final = ("connect_tcp.complete", "start_tls.complete")


class Deadline:
    """Cuts off the connection of a client that makes one request at a time.

    deadline = Deadline()
    with deadline.within(1.0), client.stream("GET", url, extensions=deadline.extensions) as response: ...
    """

    def __init__(self) -> None:
        self.passed = False
        self._socket: socket.socket | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """To be given to each request."""
        return {"trace": self._trace}

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Whatever is asked inside fails after this long, with an error of httpx; `passed` tells why."""
        self.passed = False
        timer = threading.Timer(seconds, self._cut_off)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(_CONNECTED):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.passed:
                self._cut_off()

    def _cut_off(self) -> None:
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
