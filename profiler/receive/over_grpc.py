"""OTLP over gRPC: the service TraceService, by the gRPC project's own server.

It listens on a port of its own, to which the door passes connections on that begin as HTTP/2 does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from profiler.receive.content import MOST_BYTES, Refused, request_of

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_STOP_S: Final = 0.2
_AT_ONCE: Final = 16  # calls; more are told to come again
_MESSAGE_S: Final = 10.0  # for a call to send its message: one that never does must not keep a place
_STATUS: Final = {413: grpc.StatusCode.RESOURCE_EXHAUSTED}

Take = Callable[[ExportTraceServiceRequest, str], None]


class GrpcSide:
    """The server, and what it does with a call."""

    def __init__(self, take: Take, refuse: Callable[[str], None]) -> None:
        self._take = take
        self._refuse = refuse
        # Without a deserialiser: bytes. As a stream, which is the same on the wire, so that the call is ours, and can
        # be cut off, before its message is here.
        export = grpc.stream_unary_rpc_method_handler(self._export)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="spans-grpc")
        self._one_at_a_time = threading.Lock()  # decoded messages are large
        self._server = grpc.server(
            self._threads,
            handlers=(grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),),
            maximum_concurrent_rpcs=_AT_ONCE,
            # The limit holds for the inflated message, too: inflating stops there, with RESOURCE_EXHAUSTED.
            options=(("grpc.max_receive_message_length", MOST_BYTES), ("grpc.so_reuseport", 0)),
        )
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _export(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        cut_off = threading.Timer(_MESSAGE_S, context.cancel)
        cut_off.daemon = True
        cut_off.start()
        try:
            body = next(messages, None)
        finally:
            cut_off.cancel()
        if body is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a call without a message")
            return b""  # not reached: abort raises
        try:
            with self._one_at_a_time:
                self._take(request_of(body), "grpc")
        except Refused as refused:
            self._refuse(refused.kind)
            context.abort(_STATUS.get(refused.status, grpc.StatusCode.INVALID_ARGUMENT), str(refused))
        return b""

    def close(self) -> None:
        """End it, whoever is connected."""
        self._server.stop(_STOP_S).wait(_STOP_S * 2)
        self._threads.shutdown(wait=False)
