"""Whether a collector took figures: the exporter looks at the status alone, and goes wherever it is sent."""

from __future__ import annotations

import time
from typing import Any, Final

import requests
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

_MOST_BYTES: Final = 1 << 20  # of an answer, which says little
_BLOCK: Final = 1 << 14
_SUCCESS: Final = range(200, 300)
_ELSEWHERE: Final = range(300, 400)
_PROTOBUF: Final = "application/x-protobuf"


class NotTaken(requests.RequestException):
    """An answer that is a success by its status only."""


class Session(requests.Session):
    """For the exporter: follows no redirect, reads a bounded answer in a bounded time, and believes only a collector's.

    Raises:
        NotTaken: from `request`, of an answer that does not say that all was taken.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def request(self, *arguments: Any, **named: Any) -> requests.Response:
        """As the base class does, and then look at the answer."""
        until = time.monotonic() + self._timeout_s
        named |= {"allow_redirects": False, "stream": True}
        with super().request(*arguments, **named) as response:
            if response.status_code in _ELSEWHERE:
                raise NotTaken(f"it answered {response.status_code}, which leads elsewhere")
            if response.status_code in _SUCCESS:
                _check(response.headers.get("content-type", ""), _read(response, until))
        return response


def _read(response: requests.Response, until: float) -> bytes:
    content = b""
    while block := response.raw.read1(_BLOCK, decode_content=True):
        content += block
        if len(content) > _MOST_BYTES or time.monotonic() > until:
            raise NotTaken("its answer does not end")
    return content


def _check(content_type: str, content: bytes) -> None:
    kind = content_type.partition(";")[0].strip()
    if kind.startswith("text/html"):
        raise NotTaken("what answers is no collector, but a web page")
    try:
        partial = ExportMetricsServiceResponse.FromString(content).partial_success
    except DecodeError as error:
        if kind == _PROTOBUF:
            raise NotTaken("it did not answer as a collector does") from error
        return  # "OK" as plain text: there are such collectors
    if partial.rejected_data_points:
        raise NotTaken(f"it rejected {partial.rejected_data_points} data points: {partial.error_message}")
