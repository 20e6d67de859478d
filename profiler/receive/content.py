"""The body of an OTLP request, of whatever encoding, as OpenTelemetry's own message; inflating ends at a limit."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, Final

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MOST_BYTES: Final = 4 << 20
"""Of a body, as it is sent and inflated; the exporters' batches of 512 spans are a tenth of that."""

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32  # whichever header it has
_PIECE: Final = 1 << 16
_DEEPEST: Final = 100  # values within values, as in protobuf's own parsers
_IDS: Final = {"traceId": 16, "spanId": 8, "parentSpanId": 8}  # bytes; in OTLP's JSON they are hexadecimal


class Refused(Exception):
    """A request that is not taken.

    Attributes:
        status: of HTTP: 400, 408, 413 or 415.
        kind: in a word or two, for counting.
    """

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind


def request_of(body: bytes, *, kind: str = PROTOBUF, encoding: str = "") -> ExportTraceServiceRequest:
    """Read a body.

    Args:
        body: as it came.
        kind: its content type, without parameters.
        encoding: its content encoding; "" and `identity` are none.

    Raises:
        Refused: it is too large, or not what it says it is.
    """
    if len(body) > MOST_BYTES:
        raise too_large()
    if encoding not in ("", "identity"):
        body = _inflated(body, encoding)
    if kind == PROTOBUF:
        return _from_protobuf(body)
    if kind == JSON:
        return _from_json(body)
    raise Refused(415, "content type", f"content type {kind[:60]!r}: send {PROTOBUF} or {JSON}")


def too_large() -> Refused:
    """What is said to a body beyond the limit."""
    return Refused(413, "too large", f"a request may have {MOST_BYTES} bytes, inflated too: send smaller batches")


def _inflated(body: bytes, encoding: str) -> bytes:
    """At most what is allowed is ever made of it: a body that would become more is refused when it gets there."""
    if encoding not in ("gzip", "deflate"):
        raise Refused(415, "content encoding", f"content encoding {encoding[:60]!r}: send gzip or none")
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    made, left = bytearray(), body
    try:
        while left and not inflater.eof:
            made += inflater.decompress(left, _PIECE)
            left = inflater.unconsumed_tail
            if len(made) > MOST_BYTES:
                raise too_large()
    except zlib.error as error:
        raise Refused(400, "not compressed", f"the body is not {encoding}") from error
    if not inflater.eof:
        raise Refused(400, "not compressed", f"the body is cut off: its {encoding} has no end")
    return bytes(made)


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise Refused(400, "not OTLP", "the body is no ExportTraceServiceRequest") from error
    return request


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    wrong = Refused(400, "not OTLP", "the body is not OTLP in JSON")
    try:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise wrong
        _ids_in_base64(document)
        request = ExportTraceServiceRequest()
        ParseDict(document, request, ignore_unknown_fields=True, max_recursion_depth=_DEEPEST)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise wrong from error
    return request


def _ids_in_base64(document: dict[str, Any]) -> None:
    """Ids as protobuf's own JSON has them; OTLP's differs in this alone.

    Raises:
        ValueError: an id that is none.
    """
    for resource_spans in _list(document, "resourceSpans"):
        for scope_spans in _list(resource_spans, "scopeSpans"):
            for span in _list(scope_spans, "spans"):
                for holder in (span, *_list(span, "links")):
                    for name, length in _IDS.items():
                        if holder.get(name):
                            holder[name] = _base64(holder[name], length)


def _list(holder: Any, name: str) -> list[Any]:
    found = holder.get(name) or []
    if not isinstance(found, list):
        raise TypeError(name)
    return found


def _base64(text: Any, length: int) -> str:
    try:
        raw = bytes.fromhex(text)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError(text) from error
    if len(raw) != length:
        raise ValueError(text)
    return base64.b64encode(raw).decode()
