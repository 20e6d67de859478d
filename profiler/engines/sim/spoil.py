"""What a fault makes of an event or a body that the dialect has encoded. Pure.

told            {"id":"chatcmpl-1","object":…
malformed-json  {"id":"chatcmpl-1","obj                its first half
invalid-utf8    {"x":"<ff fe c3>","id":"chatcmpl-1"…   a member whose text is no UTF-8
oversized       {"x":"xxxxxxxx…","id":"chatcmpl-1"…    a member that makes it too large
"""

from __future__ import annotations

import re

from profiler.engines.sim import faults

_NO_UTF8 = b"\xff\xfe\xc3"
_FIELD = re.compile(b"data: ?")


def spoilt_event(fault: str, event: bytes, oversized_bytes: int) -> bytes:
    """A server-sent event of one line of data, or a line of JSON, spoilt; it ends as it did."""
    data = event.rstrip(b"\r\n")
    start = _FIELD.match(data)
    field = start[0] if start else b""
    return field + spoilt_body(fault, data[len(field) :], oversized_bytes) + event[len(data) :]


def spoilt_body(fault: str, body: bytes, oversized_bytes: int) -> bytes:
    """A JSON object, spoilt."""
    if fault == faults.INVALID_UTF8:
        return b'{"x":"%b",' % _NO_UTF8 + body[1:]
    if fault == faults.OVERSIZED:
        return b'{"x":"%b",' % (b"x" * oversized_bytes) + body[1:]
    return body[: len(body) // 2]
