"""The floor: bare sockets under asyncio, stamped as soon as the loop hands the bytes over, looked at afterwards.

    python socket_loop.py '{"url", "model", "streams", "requests", "output_tokens"}'

What is left as error here is the operating system's, the loop's and the server's, and no client's. Prints one JSON
object per request: {"id", "ttft_ns", "tpot_ns", "error"}.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any
from urllib.parse import urlsplit

_BETWEEN_EVENTS = re.compile(rb"\r\n\r\n|\n\n")
_FIELDS = ("content", "reasoning", "reasoning_content", "tool_calls")


class Stream(asyncio.Protocol):
    """One answer: the blocks as they came, with their times."""

    def __init__(self, ended: asyncio.Future[None]) -> None:
        self.blocks: list[tuple[int, bytes]] = []
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        """Stamp first."""
        self.blocks.append((time.perf_counter_ns(), data))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The server closes after one answer, as it is asked to."""
        self._ended.set_result(None)


async def one(load: dict[str, Any], number: int) -> dict[str, Any]:
    """One request on a connection of its own."""
    address = urlsplit(load["url"])
    body = {
        "model": load["model"],
        "messages": [{"role": "user", "content": f"Count from {number}."}],
        "max_tokens": load["output_tokens"],
        "min_tokens": load["output_tokens"],
        "ignore_eos": True,
        "stream": True,
    }
    content = json.dumps(body).encode()
    request_id = f"floor-{number}"
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        f"X-Request-Id: {request_id}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    transport, stream = await loop.create_connection(lambda: Stream(ended), address.hostname, address.port)
    sent_ns = time.perf_counter_ns()
    transport.write(head.encode() + content)
    await ended
    return {"id": request_id, **figures(stream.blocks, sent_ns, load["output_tokens"]), "error": None}


def figures(blocks: list[tuple[int, bytes]], sent_ns: int, tokens: int) -> dict[str, float | None]:
    """TTFT and TPOT from stamped blocks."""
    raw = body = b""
    bearing: list[int] = []
    for at_ns, data in blocks:
        raw += data
        if raw.startswith(b"HTTP/"):
            _, head_end, raw_body = raw.partition(b"\r\n\r\n")
            if not head_end:
                continue
            raw = raw_body
        raw, more = _unchunked(raw)
        *events, body = _BETWEEN_EVENTS.split(body + more)
        bearing += [at_ns for event in events if _has_output(event)]
    if not bearing:
        return {"ttft_ns": None, "tpot_ns": None}
    in_first = tokens / len(bearing)  # as many in each, as far as one can tell
    pace = (bearing[-1] - bearing[0]) / (tokens - in_first) if tokens > in_first else None
    return {"ttft_ns": bearing[0] - sent_ns, "tpot_ns": pace}


def _unchunked(raw: bytes) -> tuple[bytes, bytes]:
    """(what is left, the body of the complete chunks of HTTP's framing)."""
    body = b""
    while True:
        size, line_end, rest = raw.partition(b"\r\n")
        if not line_end or len(rest) < int(size, 16) + 2:
            return raw, body
        body += rest[: int(size, 16)]
        raw = rest[int(size, 16) + 2 :]


def _has_output(event: bytes) -> bool:
    for line in event.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"data: {"):
            choices = json.loads(line.removeprefix(b"data: ")).get("choices") or [{}]
            return any(choices[0].get("delta", {}).get(field) for field in _FIELDS)
    return False


async def main() -> None:
    """All requests, so many at once."""
    load = json.loads(sys.argv[1])
    numbers = iter(range(load["requests"]))

    async def stream() -> None:
        for number in numbers:
            print(json.dumps(await one(load, number)))

    await asyncio.gather(*(stream() for _ in range(load["streams"])))


if __name__ == "__main__":
    asyncio.run(main())
