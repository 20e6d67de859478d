"""Traces out of Jaeger, by its API of version 3: window after window of time, from the oldest.

    since |--window--|--window--|----longer----|-half-|-half-|--------| until

The API gives whole traces, and of a window with more than asked for some it chooses itself; there are no further pages.
So a window that comes back full is asked for again in two halves, and one that comes back nearly empty makes the next
one longer. Parameters are sent with both of the spellings that versions of Jaeger know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from profiler.errors import BackendUnavailable, DataError
from profiler.exchange.address import without_credentials
from profiler.exchange.deadline import Deadline
from profiler.exchange.documents import Item, items_of
from profiler.exchange.reading import documents_in
from profiler.exchange.transports import spoken_at
from profiler.store.dialects import NotSpans
from profiler.store.parse import MALFORMED

PAGE: Final = 100  # traces asked for at once
TIMEOUT_S: Final = 30.0
MOST_BYTES: Final = 256 << 20  # of one answer
_SHORTEST_NS: Final = 1_000_000  # a window that is not halved any more
_LONGEST_NS: Final = 7 * 24 * 3600 * 10**9
_FIRST_NS: Final = 600 * 10**9
_TRIES: Final = 4
_FIRST_PAUSE_S: Final = 0.5
_AGAIN: Final = (429, 500, 502, 503, 504)
_UNAUTHORIZED: Final = (401, 403)
_NOT_FOUND: Final = 404
_MOST_SHOWN: Final = 200


class _TooMuch(Exception):
    """An answer that is larger than what is read at once."""


class _NothingFound(Exception):
    """Jaeger's way of saying that there is nothing in a window."""


@dataclass(frozen=True)
class Window:
    """What a stretch of time held."""

    start_ns: int
    end_ns: int
    items: list[Item]
    full: bool  # there may be more than Jaeger gives at once, and the window cannot be made shorter


class JaegerApi:
    """A Jaeger's query service."""

    def __init__(
        self,
        base: str,
        *,
        token: str | None = None,
        page: int = PAGE,
        timeout_s: float = TIMEOUT_S,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is asked yet.

        Args:
            base: address of its interface, such as http://127.0.0.1:16686.
            token: sent as `Authorization: Bearer …`.
            page: traces that are asked for at once.
            timeout_s: for an answer.
            pause: how to wait before another try.
        """
        self.base = base.rstrip("/")
        self._shown = without_credentials(self.base)
        self._page = page
        self._pause = pause
        headers = {"authorization": f"Bearer {token}"} if token else {}
        host = urlsplit(base).hostname or ""
        local = host in ("localhost", "::1") or host.startswith("127.")
        self._client = httpx.Client(timeout=timeout_s, headers=headers, trust_env=not local, follow_redirects=False)
        self._timeout_s = timeout_s
        self._deadline = Deadline()

    def services(self) -> list[str]:
        """Names of the services that it has traces of.

        Raises:
            BackendUnavailable: it cannot be reached, refuses, or is no Jaeger.
        """
        try:
            answer = next(documents_in(self._get("/api/v3/services", {})), None)
        except (*MALFORMED, _NothingFound, _TooMuch) as error:
            raise self._no_jaeger() from error
        found = answer.get("services") if isinstance(answer, dict) else None
        if found is None and answer == {}:
            return []  # as protobuf's JSON leaves out what is empty
        if not isinstance(found, list):
            raise self._no_jaeger()
        return sorted(map(str, found))

    def windows(self, service: str, since_ns: int, until_ns: int) -> Iterator[Window]:
        """All traces of a service with a span that starts from `since_ns` up to `until_ns`, by windows.

        Raises:
            BackendUnavailable: it stopped answering, or answers what cannot be read.
        """
        at, width = since_ns, _FIRST_NS
        while at < until_ns:
            end = min(at + width, until_ns)
            items = self._window(service, at, end)
            found = None if items is None else len({item.trace_id for item in items})
            shortest = end - at <= _SHORTEST_NS
            if (found is None or found >= self._page) and not shortest:
                width = max((end - at) // 2, _SHORTEST_NS)
                continue
            if items is None:
                raise BackendUnavailable(
                    f"{self._shown} has more than {MOST_BYTES >> 20} MB of spans within a millisecond",
                    remedy="ask for fewer traces at once with --page",
                )
            yield Window(at, end, items, full=bool(found and found >= self._page))
            at = end
            if not found or found < self._page // 4:
                width = min((2 if found else 8) * width, _LONGEST_NS)

    def _window(self, service: str, start_ns: int, end_ns: int) -> list[Item] | None:
        """Spans of one window; None if the answer is too large."""
        query = {
            ("query.service_name", "query.serviceName"): service,
            ("query.start_time_min", "query.startTimeMin"): _rfc3339(start_ns),
            ("query.start_time_max", "query.startTimeMax"): _rfc3339(end_ns),
            ("query.num_traces", "query.searchDepth"): str(self._page),
        }
        parameters = {name: value for names, value in query.items() for name in names}
        try:
            text = self._get("/api/v3/traces", parameters)
            documents = [each for each in documents_in(text) if each != {}]
            return [item for document in documents for item in items_of(_without_errors(document))]
        except _NothingFound:
            return []
        except _TooMuch:
            return None
        except MALFORMED as error:
            said = str(error) if isinstance(error, NotSpans) else "it is no JSON of spans"
            raise BackendUnavailable(
                f"{self._shown} answered what cannot be read as traces: {said}",
                remedy="is it a Jaeger? its interface is on port 16686 by convention",
            ) from error

    def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            try:
                return self._once(path, parameters, last=last)
            except (httpx.TransportError, TimeoutError) as error:
                if last or isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError):
                    raise self._unreachable(error) from error
            except _TryAgain:
                pass
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._unreachable(error) from error
            self._pause(pause_s)
            pause_s *= 2
        raise AssertionError  # the last try returns or raises

    def _once(self, path: str, parameters: dict[str, str], *, last: bool) -> bytes:
        content = bytearray()
        with (
            self._deadline.within(4 * self._timeout_s),
            self._client.stream(
                "GET", self.base + path, params=parameters, extensions=self._deadline.extensions
            ) as response,
        ):
            for block in response.iter_bytes():
                content += block
                if len(content) > MOST_BYTES:
                    raise _TooMuch
        if self._deadline.passed:
            raise TimeoutError(self._late())
        status = response.status_code
        if status == httpx.codes.OK:
            return bytes(content)
        said = _message(bytes(content))
        if status == _NOT_FOUND and "no traces found" in said.lower():
            raise _NothingFound
        if status in _AGAIN and not last:
            raise _TryAgain
        if status in _UNAUTHORIZED:
            raise BackendUnavailable(
                f"{self._shown} answered {status}: {said}", remedy="name the variable that holds a key with --token-env"
            )
        if status == _NOT_FOUND:
            raise self._no_jaeger(f" ({status} for {path})")
        raise BackendUnavailable(f"{self._shown} answered {status}: {said}")

    def _late(self) -> str:
        return f"its answer was not over after {4 * self._timeout_s:g} s"

    def _unreachable(self, error: Exception) -> BackendUnavailable:
        if spoken_at(self.base) == "grpc":
            return BackendUnavailable(
                f"{self._shown} speaks gRPC, not HTTP/1.1",
                remedy="give the address of Jaeger's interface: port 16686 by convention",
            )
        text = self._late() if self._deadline.passed else str(error)
        said = " ".join(text.split())[:_MOST_SHOWN] or f"no answer within {self._timeout_s:g} s"
        return BackendUnavailable(
            f"{self._shown} cannot be reached: {said}", remedy="profiler jaeger starts one, or says how"
        )

    def _no_jaeger(self, why: str = "") -> BackendUnavailable:
        return BackendUnavailable(
            f"{self._shown} does not answer as Jaeger's API of version 3 does{why}",
            remedy="give the address of Jaeger's interface (port 16686 by convention), of release 1.46 or newer",
        )

    def close(self) -> None:
        """Close connections."""
        self._client.close()


class _TryAgain(Exception):
    """It may answer in a moment."""


def _without_errors(document: Any) -> Any:
    """A stream of results may end in an error.

    Raises:
        NotSpans: it does.
    """
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        raise NotSpans(f"an error: {str(error.get('message', ''))[:_MOST_SHOWN]}")
    return document


def _message(content: bytes) -> str:
    """What an answer that is no success says."""
    text = " ".join(content[:2000].decode("utf-8", "replace").split())
    try:
        error = next(documents_in(content)).get("error")
        text = str(error.get("message", text)) if isinstance(error, dict) else text
    except (*MALFORMED, StopIteration):
        pass
    return "".join(character if character.isprintable() else "?" for character in text)[:_MOST_SHOWN]


def _rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def check_service(services: list[str], wanted: str | None, base: str) -> str:
    """The service to import.

    Raises:
        DataError: there is none, it is not there, or several are and none was named.
    """
    if not services:
        raise DataError(
            f"{base} has no traces yet", remedy="send it some: profiler export RUN --to http://127.0.0.1:4318"
        )
    listed = ", ".join(services[:20]) + (f" and {len(services) - 20} more" if len(services) > 20 else "")  # noqa: PLR2004
    if wanted is None and len(services) > 1:
        raise DataError(f"{base} has several services: {listed}", remedy="name one with --service")
    if wanted is not None and wanted not in services:
        raise DataError(f"{base} has no service {wanted}; it has {listed}", remedy="name one of them with --service")
    return wanted if wanted is not None else services[0]
