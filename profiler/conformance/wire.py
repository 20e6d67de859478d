"""Requests to the server under examination, and what comes back, with the time of each block."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from profiler.engines.trouble import explain_transport
from profiler.engines.url import is_loopback, unversioned
from profiler.errors import EngineUnavailable
from profiler.record.sse import Decoder

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]
MOST_BYTES = 16 * 2**20
_OK = 200
_SHOWN = 160


@dataclass(slots=True)
class Heard:
    """One answer, as far as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    sent_ns: int = 0
    ended_ns: int = 0
    events: list[tuple[int, Any]] = field(default_factory=list)
    """Of a stream: when each event came, and its JSON; text where it is none."""
    broken: str | None = None
    """Why it did not end well."""

    @property
    def ok(self) -> bool:
        """A 200 without an error in it."""
        return self.status == _OK and self.broken is None and self.error is None

    @property
    def json(self) -> Any:
        """The body's JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def kind(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def chunks(self) -> list[Json]:
        """The objects of a stream."""
        return [data for _, data in self.events if isinstance(data, dict)]

    @property
    def error(self) -> str | None:
        """What an error says, in a body or inside a stream; None if there is none."""
        for value in [*self.chunks, self.json]:
            error = value.get("error") if isinstance(value, dict) else None
            if error:
                told = error.get("message") if isinstance(error, dict) else error
                return str(told or error)
        return None

    @property
    def says(self) -> str:
        """Status and error in a few words."""
        text = self.error or self.broken or self.body[:_SHOWN].decode(errors="replace").strip()
        shown = " ".join(text.split())[:_SHOWN]
        return f"HTTP {self.status}: {shown}" if shown else f"HTTP {self.status}"


class Wire:
    """A client of one server.

    Args:
        base_url: as `url.normalise` returns it, with the `/v1`.
        api_key: sent as a bearer token.
        timeout_s: for each request as a whole.
    """

    def __init__(self, base_url: str, *, api_key: str | None, timeout_s: float) -> None:
        import httpx

        self.base_url = base_url
        self.root = unversioned(base_url)
        self.timeout_s = timeout_s
        self.authorised = bool(api_key)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(headers=headers, timeout=timeout_s, trust_env=not is_loopback(base_url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str) -> Heard:
        """A page.

        Raises:
            EngineUnavailable: no answer came.
        """
        return self._ask("GET", url, None, {})

    def post(self, url: str, body: Json | bytes, headers: Mapping[str, str] | None = None) -> Heard:
        """What comes back for a JSON object, or for bytes that are none.

        Raises:
            EngineUnavailable: no answer came.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask("POST", url, content, {"Content-Type": "application/json", **(headers or {})})

    def chat(self, body: Json, headers: Mapping[str, str] | None = None) -> Heard:
        """What comes back for a chat.

        Raises:
            EngineUnavailable: no answer came.
        """
        return self.post(f"{self.base_url}/chat/completions", body, headers)

    def _ask(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], *, again: bool = True
    ) -> Heard:
        import httpx

        sent_ns = time.monotonic_ns()
        heard = Heard(0, {}, sent_ns=sent_ns)
        try:
            with self._client.stream(method, url, content=content, headers=dict(headers)) as response:
                heard.status, heard.headers = response.status_code, dict(response.headers)
                self._read(response, heard, sent_ns)
        except httpx.HTTPError as error:
            if not heard.status and again and isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
                # A server may close a connection between two requests, after an error of its own above all.
                return self._ask(method, url, content, headers, again=False)
            if not heard.status:
                raise explain_transport(error, url, self.timeout_s) from error
            heard.broken = f"the answer broke off: {error or type(error).__name__}"
        except httpx.InvalidURL as error:
            raise EngineUnavailable(f"{url} cannot be asked: {error}", remedy="Check --base-url.") from error
        heard.ended_ns = time.monotonic_ns()
        return heard

    def _read(self, response: httpx.Response, heard: Heard, sent_ns: int) -> None:
        deadline_ns = sent_ns + round(self.timeout_s * 1e9)
        events = _Events(heard.kind)
        for block in response.iter_bytes():
            now_ns = time.monotonic_ns()
            heard.body += block
            heard.events += [(now_ns, data) for data in events.feed(block)]
            if len(heard.body) > MOST_BYTES:
                heard.broken = f"the answer exceeds {MOST_BYTES // 2**20} MiB"
                return
            if now_ns > deadline_ns:
                heard.broken = f"the answer did not end within {self.timeout_s:g} s"
                return


class _Events:
    """Events of a stream, be they server-sent or lines of JSON."""

    def __init__(self, kind: str) -> None:
        self._sse = Decoder() if kind == "text/event-stream" else None
        self._lines = kind == "application/x-ndjson"
        self._rest = b""

    def feed(self, block: bytes) -> list[Any]:
        if self._sse is not None:
            return [_parsed(event.data) for event in self._sse.feed(block) if event.data]
        if not self._lines:
            return []
        *lines, self._rest = (self._rest + block).split(b"\n")
        return [_parsed(line) for line in lines if line.strip()]


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")
