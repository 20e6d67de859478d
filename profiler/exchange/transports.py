"""One document to a collector, once: over HTTP or gRPC, and what came of it in words of our own."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from profiler.exchange.address import (
    Protocol as Name,
)
from profiler.exchange.address import (
    certificate_from_env,
    gzip_from_env,
    headers_from_env,
    traces_url,
)
from profiler.exchange.deadline import Deadline
from profiler.exchange.documents import Object, encoded
from profiler.store.parse import MALFORMED

_MOST_ANSWERED: Final = 1 << 20  # bytes of an answer that are read: it says little
_MOST_SHOWN: Final = 200
_AGAIN: Final = (429, 502, 503, 504)  # by OTLP's specification; all others are final
_UNAUTHORIZED: Final = (401, 403)
_TOO_LARGE: Final = 413
_NOT_FOUND: Final = (404, 405)
_OK: Final = 200
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS: Final = 4
_FRAME: Final = 9


@dataclass(frozen=True)
class Answer:
    """What a collector said to one document."""

    taken: bool
    again: bool = False  # worth another try
    wait_s: float | None = None  # that it asks for
    rejected: int = 0  # spans of a document that was taken otherwise
    reason: str = ""
    hopeless: bool = False  # no document will fare better
    too_large: bool = False
    unreachable: bool = False


class Transport(Protocol):
    """A way to a collector."""

    def send(self, document: Object, timeout_s: float) -> Answer:
        """Send one document; never raises for what the other side does."""

    def close(self) -> None:
        """Let go of connections."""


def transport(endpoint: str, protocol: Name) -> Transport:
    """The way to an endpoint. Headers, certificate and compression are those of the standard variables."""
    return OverGrpc(endpoint) if protocol == "grpc" else OverHttp(endpoint, as_json=protocol == "http/json")


class OverHttp:
    """OTLP/HTTP, protobuf or JSON."""

    def __init__(self, endpoint: str, *, as_json: bool = False) -> None:
        import httpx

        self._errors = httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError
        self._timed_out = httpx.TimeoutException
        self._refused = httpx.ConnectError
        self._url = traces_url(endpoint)
        self._json = as_json
        kind = "application/json" if as_json else "application/x-protobuf"
        self._headers = {**headers_from_env(), "content-type": kind}
        self._gzip = gzip_from_env()
        verify: Any = certificate_from_env() or True
        self._deadline = Deadline()
        self._client = httpx.Client(verify=verify, trust_env=not _is_loopback(endpoint))

    def send(self, document: Object, timeout_s: float) -> Answer:
        """Post it."""
        if self._json:
            body = encoded(document)
        else:
            from profiler.exchange.protobuf import request_of

            body = request_of(document).SerializeToString()
        headers = self._headers
        if self._gzip:
            body, headers = gzip.compress(body, 1), {**headers, "content-encoding": "gzip"}
        try:
            with (
                self._deadline.within(timeout_s),
                self._client.stream(
                    "POST",
                    self._url,
                    content=body,
                    headers=headers,
                    timeout=timeout_s,
                    extensions=self._deadline.extensions,
                ) as response,
            ):
                content = b""
                for block in response.iter_bytes():
                    content += block
                    if len(content) > _MOST_ANSWERED:
                        break
                if not self._deadline.passed:  # else a body without a stated length only seems to be over
                    return self._judge(response.status_code, response.headers, content)
            return _late(timeout_s)
        except self._timed_out:
            return _late(timeout_s)
        except self._refused as error:
            reason = f"it cannot be reached ({_short(error)})"
            return Answer(taken=False, again=True, unreachable=True, reason=reason)
        except self._errors as error:
            if self._deadline.passed:
                return _late(timeout_s)
            hint = _hint(self._url, "grpc")
            said = hint or f"what answers is no collector ({_short(error)})"
            return Answer(taken=False, again=not hint, reason=said, hopeless=bool(hint))

    def _judge(self, status: int, headers: Any, content: bytes) -> Answer:
        if status // 100 == 2:  # noqa: PLR2004
            return self._accepted(status, headers, content)
        said = _said(content)
        reason = f"it answered {status}" + (f": {said}" if said else "")
        if status in _AGAIN:
            return Answer(taken=False, again=True, wait_s=_seconds(headers.get("retry-after")), reason=reason)
        if status in _UNAUTHORIZED:
            reason += " (a key goes into OTEL_EXPORTER_OTLP_HEADERS)"
        elif status in _NOT_FOUND:
            reason += f" (is {urlsplit(self._url).path} its path for traces?)"
        large = status == _TOO_LARGE
        return Answer(taken=False, reason=reason, hopeless=status in (*_UNAUTHORIZED, *_NOT_FOUND), too_large=large)

    def _accepted(self, status: int, headers: Any, content: bytes) -> Answer:
        """A success may tell of spans that were not taken; and not everything that says 200 is a collector."""
        kind = headers.get("content-type", "").partition(";")[0].strip()
        try:
            rejected, message = _of_json(content) if kind == "application/json" else _of_protobuf(content, kind)
        except MALFORMED:
            said = _said(content)
            return Answer(
                taken=False, hopeless=True, reason=f"it answered {status}, but not as a collector does: {said}"
            )
        return Answer(taken=True, rejected=rejected, reason=message)

    def close(self) -> None:
        """Close connections."""
        self._client.close()


def _of_json(content: bytes) -> tuple[int, str]:
    value = json.loads(content or b"{}")
    if not isinstance(value, dict) or value.keys() - {"partialSuccess"}:
        raise ValueError
    partial = value.get("partialSuccess") or {}
    return int(partial.get("rejectedSpans") or 0), str(partial.get("errorMessage") or "")


def _of_protobuf(content: bytes, kind: str) -> tuple[int, str]:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    if kind.startswith("text/html"):
        raise ValueError
    try:
        partial = ExportTraceServiceResponse.FromString(content).partial_success
    except DecodeError as error:
        if kind == "application/x-protobuf":
            raise ValueError from error
        return 0, ""  # "OK" as plain text: there are such collectors
    return partial.rejected_spans, partial.error_message


class OverGrpc:
    """OTLP/gRPC."""

    def __init__(self, endpoint: str) -> None:
        import grpc
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

        parts = urlsplit(endpoint)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        target = f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        options = [("grpc.enable_retries", 0)]
        if _is_loopback(endpoint):
            options.append(("grpc.enable_http_proxy", 0))
        if parts.scheme == "https":
            certificate = certificate_from_env()
            root = None
            if certificate:
                with open(certificate, "rb") as file:  # noqa: PTH123
                    root = file.read()
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(root), options)
        else:
            self._channel = grpc.insecure_channel(target, options)
        self._endpoint = endpoint
        self._headers = tuple(headers_from_env().items())
        self._compression = grpc.Compression.Gzip if gzip_from_env() else None
        self._error: type[Exception] = grpc.RpcError
        self._codes = grpc.StatusCode
        stub: Any = TraceServiceStub
        self._export = stub(self._channel).Export

    def send(self, document: Object, timeout_s: float) -> Answer:
        """Call Export."""
        from profiler.exchange.protobuf import request_of

        try:
            response = self._export(
                request_of(document), timeout=timeout_s, metadata=self._headers, compression=self._compression
            )
        except self._error as error:
            return self._judge(error, timeout_s)
        return Answer(
            taken=True,
            rejected=response.partial_success.rejected_spans,
            reason=response.partial_success.error_message,
        )

    def _judge(self, error: Any, timeout_s: float) -> Answer:
        codes, code = self._codes, error.code()
        said = _said((error.details() or "").encode("utf-8", "replace"))
        if code is codes.DEADLINE_EXCEEDED and not _hint(self._endpoint, "http"):
            return _late(timeout_s)
        if code in (codes.UNAUTHENTICATED, codes.PERMISSION_DENIED):
            reason = f"it refused ({code.name}: {said}; a key goes into OTEL_EXPORTER_OTLP_HEADERS)"
            return Answer(taken=False, hopeless=True, reason=reason)
        if code is codes.UNIMPLEMENTED:
            return Answer(taken=False, hopeless=True, reason="it speaks gRPC but takes no traces")
        hint = _hint(self._endpoint, "http")
        if hint:
            return Answer(taken=False, hopeless=True, reason=hint)
        again = code in (codes.UNAVAILABLE, codes.ABORTED, codes.DATA_LOSS, codes.RESOURCE_EXHAUSTED)
        large = code is codes.RESOURCE_EXHAUSTED and "larger than max" in said
        if code is codes.UNAVAILABLE:
            return Answer(taken=False, again=True, unreachable=True, reason=f"it cannot be reached ({said})")
        return Answer(taken=False, again=again and not large, too_large=large, reason=f"{code.name}: {said}")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _late(timeout_s: float) -> Answer:
    return Answer(taken=False, again=True, reason=f"no answer within {timeout_s:g} s")


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _short(error: BaseException) -> str:
    return _said(str(error).encode("utf-8", "replace")) or type(error).__name__


def _said(content: bytes) -> str:
    text = " ".join(content[: 4 * _MOST_SHOWN].decode("utf-8", "replace").split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text or ""))
    except ValueError:
        return None


def _hint(endpoint: str, other: str) -> str:
    """What to do if the other of the two protocols is spoken there; empty if not."""
    spoken = spoken_at(endpoint)
    if spoken != other:
        return ""
    if other == "grpc":
        return "it speaks gRPC, not HTTP/1.1: give --protocol grpc, or its HTTP port (4318 by convention)"
    return "it speaks HTTP/1.1, not gRPC: give --protocol http/protobuf, or its gRPC port (4317 by convention)"


def spoken_at(endpoint: str, timeout_s: float = 1.0) -> str | None:
    """`grpc`, `http` or None, by how it answers the first bytes of HTTP/2. Without TLS only."""
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or not parts.hostname:
        return None
    answer = b""
    with suppress(OSError), socket.create_connection((parts.hostname, parts.port or 80), timeout_s) as connection:
        connection.sendall(_PREFACE)
        while len(answer) < _FRAME and (block := connection.recv(64)):
            answer += block
    if answer.startswith(b"HTTP/1") or answer.lstrip().startswith((b"<", b"{")):
        return "http"
    return "grpc" if len(answer) >= _FRAME and answer[3] == _SETTINGS else None
