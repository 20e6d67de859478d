"""Whether the model is in memory, for servers that load it when it is needed and let it go when it is not.

    cold |== load ==|  requests … |--- keep alive ---| cold again
         ^ first request          ^ the last has ended

Requests that come while it is being loaded wait for the same load.
"""

from __future__ import annotations

KEEP_ALIVE_S = 300.0  # Ollama's default


class Loading:
    """The state of one model; times are nanoseconds of any one clock."""

    def __init__(self, load_ns: int) -> None:
        self._load_ns = load_ns
        self._ready_ns: int | None = None
        self._ends_ns: int | None = None  # when it is unloaded if nobody comes; None while it is in use, or for ever
        self._users = 0

    def begin(self, at_ns: int) -> int:
        """A request arrives; when the model is there for it. It has to `end`."""
        if self._ready_ns is None or (self._users == 0 and self._ends_ns is not None and self._ends_ns <= at_ns):
            self._ready_ns = at_ns + self._load_ns
        self._users += 1
        self._ends_ns = None
        return max(at_ns, self._ready_ns)

    def unload(self) -> None:
        """Let it go at once, if nobody uses it."""
        if not self._users:
            self._ready_ns = None

    def end(self, now_ns: int, keep_alive_s: float | None) -> None:
        """A request has ended, and says how long the model is to stay; less than 0 is for ever."""
        keep_s = KEEP_ALIVE_S if keep_alive_s is None else keep_alive_s
        self._users -= 1
        self._ends_ns = None if keep_s < 0 else now_ns + round(keep_s * 1e9)
