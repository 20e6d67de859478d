"""Documents to a collector, with patience that has an end, and an account of every span."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from profiler.exchange.address import Protocol, without_credentials
from profiler.exchange.documents import Object
from profiler.exchange.transports import Answer, Transport, transport

TIMEOUT_S: Final = 10.0  # for one answer
PATIENCE_S: Final = 30.0  # for one document, tries and pauses together
NEVER_SEEN_S: Final = 6.0  # for an address where nothing has answered yet: more likely nobody is there
MOST_REFUSALS: Final = 3  # documents, before the first is taken
FIRST_PAUSE_S: Final = 0.5  # then twice as long each time
_LONGEST_PAUSE_S: Final = 8.0


@dataclass
class Account:
    """What became of the spans."""

    endpoint: str  # without credentials
    protocol: Protocol
    sent: int = 0
    not_sent: int = 0
    reason: str | None = None  # of the last that was not sent
    trouble: str | None = None  # of the last try that will be repeated

    def lost(self, spans: int, reason: str) -> None:
        """Spans that the collector does not have."""
        self.not_sent += spans
        self.reason = reason


class Sender:
    """Sends documents one after the other.

    A collector that is down or busy is tried again with growing pauses, as OTLP's specification wants it; one that
    refuses (401, 404, another protocol) is not asked again: `given_up`.
    """

    def __init__(
        self,
        endpoint: str,
        protocol: Protocol,
        *,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        gives_up: bool = True,
        stop: threading.Event | None = None,
        way: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened before the first document.

        Args:
            endpoint: the collector's address.
            protocol: how to talk to it.
            timeout_s: for one answer.
            patience_s: for one document, all tries and pauses together.
            gives_up: whether, when patience with a document has ended, no other is tried.
            stop: ends pauses and further tries when it is set, from another thread.
            way: instead of a connection to the endpoint.
            clock: seconds, for the patience.
        """
        self.account = Account(without_credentials(endpoint), protocol)
        self.given_up = False
        self._refusals = 0
        self._way = way or transport(endpoint, protocol)
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._gives_up = gives_up
        self._stop = stop or threading.Event()
        self._clock = clock

    def send(self, document: Object) -> None:
        """Send it, or note why not."""
        spans = count_spans(document)
        if self.given_up or self._stop.is_set():
            self.account.lost(spans, self.account.reason or "there was no time left")
            return
        answer = self._patiently(document)
        if answer.too_large and spans > 1:
            for part in halves(document):
                self.send(part)
        elif answer.taken:
            rejected = min(max(answer.rejected, 0), spans)
            self.account.sent += spans - rejected
            if rejected:
                self.account.lost(rejected, f"rejected: {answer.reason or 'it gave no reason'}")
        else:
            self.account.lost(spans, answer.reason)
            self._refusals += 1
            refuses_all = self._gives_up and not self.account.sent and self._refusals >= MOST_REFUSALS
            self.given_up = self.given_up or answer.hopeless or refuses_all

    def _patiently(self, document: Object) -> Answer:
        began = self._clock()
        pause_s = FIRST_PAUSE_S
        while True:
            answer = self._way.send(document, self._timeout_s)
            if answer.taken or not answer.again:
                return answer
            self.account.trouble = answer.reason
            wait_s = max(answer.wait_s or 0.0, pause_s)  # `Retry-After: 0` is no leave to hammer
            never_seen = answer.unreachable and not self.account.sent
            patience_s = min(self._patience_s, NEVER_SEEN_S) if never_seen else self._patience_s
            if self._clock() + wait_s >= began + patience_s:
                return replace(answer, hopeless=self._gives_up)
            if self._stop.wait(wait_s):
                return answer
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Let go of connections."""
        self._way.close()


def count_spans(document: Object) -> int:
    """How many spans a document has."""
    return sum(
        len(scope_spans.get("spans") or ())
        for resource_spans in document["resourceSpans"]
        for scope_spans in resource_spans.get("scopeSpans") or ()
    )


def halves(document: Object) -> tuple[Object, Object]:
    """The same spans in two documents."""
    from profiler.exchange.documents import document as made
    from profiler.exchange.documents import items_of

    items = list(items_of(document))
    middle = len(items) // 2
    return made(items[:middle]), made(items[middle:])
