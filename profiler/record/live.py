"""Live export over OTLP: a finished chain goes to a collector (such as Jaeger) while the run goes on.

A thread of its own sends; a collector that is down, slow or wrong costs the run nothing but that thread's waiting.
What could not be sent is counted and told at the end. What is sent is made for viewers: see `exchange/present.py`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

import orjson
from opentelemetry.sdk.trace import ReadableSpan

from profiler.exchange.address import endpoint_from_env, protocol_of, viewer_url
from profiler.exchange.documents import items_of
from profiler.exchange.sending import Sender
from profiler.exchange.viewer import find_viewer
from profiler.exchange.writing import batches
from profiler.record.text import clean_message
from profiler.store.manifest import Export
from profiler.store.otlp import encode

__all__ = ["LiveExport", "endpoint_from_env", "protocol_of"]

QUEUE_CHAINS = 10_000  # memory is bounded: about 20 kB per waiting chain
BATCH_SPANS = 1_000
SEND_TIMEOUT_S = 5.0
FLUSH_S = 5.0  # at the end, for a collector that has taken something before
LAST_TRY_S = 1.0  # for one that never has

_Piece = tuple[Sequence[ReadableSpan], Sequence[bytes]]  # a chain's spans, and lines of its engine's


class LiveExport:
    """Sends chains in the background and keeps account of what arrived."""

    def __init__(self, endpoint: str, viewer: str | None = None) -> None:
        """Start the thread; nothing is connected to before the first chain.

        Args:
            endpoint: the collector's address.
            viewer: address of the Jaeger that shows what is sent there; looked for beside the endpoint if None.

        Raises:
            UsageError: one of them is no address, or the standard variables hold nonsense.
        """
        self.endpoint = endpoint
        self.protocol = protocol_of(endpoint)
        self._viewer = None if viewer is None else viewer_url(viewer)
        self._stop = threading.Event()
        self._sender = Sender(
            endpoint,
            self.protocol,
            timeout_s=SEND_TIMEOUT_S,
            patience_s=SEND_TIMEOUT_S,
            gives_up=False,
            stop=self._stop,
        )
        self._queue: queue.Queue[_Piece | None] = queue.Queue(QUEUE_CHAINS)
        self._offered = 0
        self._failure: str | None = None  # of this side
        self._thread = threading.Thread(target=self._send_all, name="otlp-export", daemon=True)
        self._thread.start()

    def offer(self, spans: Sequence[ReadableSpan], lines: Sequence[tuple[bytes, int]] = ()) -> None:
        """Take a chain to be sent. Never waits: with the queue full, the chain counts as not sent.

        Args:
            spans: the chain's own.
            lines: of OTLP JSON, what the engine sent of it, each with how many spans it has.
        """
        self._offered += len(spans) + sum(number for _, number in lines)
        try:
            self._queue.put_nowait((spans, [line for line, _ in lines]))
        except queue.Full:
            self._failure = self._failure or "the collector is too slow"

    def _send_all(self) -> None:
        while (piece := self._queue.get()) is not None:
            spans, lines = piece
            try:
                own = [encode(spans)] if spans else []
                items = [item for line in [*own, *lines] for item in items_of(orjson.loads(line))]
                for document in batches(items, BATCH_SPANS):
                    self._sender.send(document)
            except Exception as error:  # noqa: BLE001 - a collector must never fail a run; it is counted and told
                self._failure = f"{type(error).__name__}: {error}"

    def close(self, wait_s: float | None = None) -> Export:
        """Send what is waiting, for a bounded time, and tell what became of everything."""
        account = self._sender.account
        if wait_s is None:
            wait_s = FLUSH_S if account.sent else LAST_TRY_S
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            try:
                self._queue.put(None, timeout=0.05)
                break
            except queue.Full:
                continue
        self._thread.join(max(0.0, deadline - time.monotonic()))
        sent, reason = account.sent, account.reason or self._failure or account.trouble
        self._stop.set()
        if not self._thread.is_alive():
            self._sender.close()
        not_sent = self._offered - sent
        return Export(
            endpoint=account.endpoint,
            protocol=self.protocol,
            sent=sent,
            not_sent=not_sent,
            error=clean_message(reason or "no answer in time") if not_sent else None,
            viewer=self._viewer or (find_viewer(self.endpoint) if sent else None),
        )
