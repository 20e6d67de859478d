"""Finished chains on their way to the figures: what runs them hands them over and goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress

from opentelemetry.sdk.trace import ReadableSpan

from profiler.metrics.figures import Figures

QUEUE_CHAINS = 10_000  # memory is bounded: about 20 kB per waiting chain


class Feed:
    """A thread that puts chains into figures."""

    def __init__(self, figures: Figures) -> None:
        self.left_out = 0  # chains that are in no figure: the queue was full, or they could not be read
        self._figures = figures
        self._queue: queue.Queue[Sequence[ReadableSpan] | None] = queue.Queue(QUEUE_CHAINS)
        self._thread = threading.Thread(target=self._work, name="metrics", daemon=True)
        self._thread.start()

    def offer(self, spans: Sequence[ReadableSpan]) -> None:
        """Take a finished chain. Never waits."""
        try:
            self._queue.put_nowait(spans)
        except queue.Full:
            self.left_out += 1

    def _work(self) -> None:
        while (spans := self._queue.get()) is not None:
            try:
                self._figures.take(spans)
            except Exception:  # noqa: BLE001 - figures must never fail a run; it is counted and told
                self.left_out += 1

    def close(self, wait_s: float) -> None:
        """Put in what is waiting, for no longer than that."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=wait_s)
        self._thread.join(wait_s)
