"""The receiver: a thread with its own event loop, from before the engine starts until the run's last spans are in."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan

from profiler import semconv as sc
from profiler.errors import EngineUnavailable
from profiler.receive.content import Refused
from profiler.receive.door import Door
from profiler.receive.forward import Forward, Offer
from profiler.receive.intake import Answered, Intake
from profiler.receive.over_grpc import GrpcSide
from profiler.receive.over_http import HttpSide
from profiler.store.manifest import EngineSpans, LoadingSpan

USUAL_PORT: Final = 4317  # of OTLP
TRACES_PATH: Final = "/v1/traces"
_TAKE_LIMIT_S: Final = 10.0
_STOP_LIMIT_S: Final = 2.0
_BACKLOG: Final = 64
_CALLS: Final = (sc.OP_CHAT, sc.OP_TEXT_COMPLETION)


class SpanReceiver:
    """Takes an engine's spans for one run.

        with SpanReceiver() as receiver:
            start an engine that sends to receiver.endpoint
            receiver.begin(is_ours, write)
            receiver.chain(spans)       # each that has been written
            receiver.wait(3.0)
            receiver.facts()

    Raises:
        EngineUnavailable: the port cannot be had.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = _listening(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self._intake = Intake(time.time_ns)
        self._loop = asyncio.new_event_loop()
        self._waited_s = 0.0
        self._forward: Forward | None = None
        self._closed = False
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="engine-spans", daemon=True)
        self._thread.start()
        started.wait()

    @property
    def endpoint(self) -> str:
        """Where spans are sent to, over HTTP; over gRPC the path does not matter."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{TRACES_PATH}"

    def begin(self, is_ours: Callable[[int], bool], write: Callable[[bytes], bool], offer: Offer | None = None) -> None:
        """The run begins: see `Intake.begin`; with `offer` chains are handed on with what the engine sent of them."""
        if offer is not None:
            self._forward = Forward(offer, self._intake.is_asked, self._loop.call_later)
            self._intake.forward = self._forward
        self._intake.begin(is_ours, write)

    def chain(self, spans: Sequence[ReadableSpan]) -> None:
        """A chain has been written. Never waits."""
        calls = [
            span.context.span_id
            for span in spans
            if span.attributes
            and span.attributes.get(sc.OPERATION) in _CALLS
            and sc.ERROR_TYPE not in span.attributes
            and not span.attributes.get(sc.CALL_TRUNCATED)
        ]
        self._soon(self._answered, spans, Answered(spans[0].context.trace_id, calls))

    def _answered(self, spans: Sequence[ReadableSpan], chain: Answered) -> None:
        if self._forward is not None:
            self._forward.chain(chain.trace_id, spans, chain.calls)
        self._intake.answered(chain)
        if self._forward is not None:
            self._forward.look(chain.trace_id)

    def wait(self, limit_s: float) -> float:
        """Until every call that was answered has its span of the engine, or for this long; how long it was."""
        began = time.monotonic()
        checked = threading.Event()
        self._soon(checked.set)  # what chains have told before has been looked at then
        if checked.wait(limit_s):
            self._intake.complete.wait(max(0.0, limit_s - (time.monotonic() - began)))
        self._waited_s = time.monotonic() - began
        if self._forward is not None:
            flushed = threading.Event()
            self._soon(self._forward.flush)
            self._soon(flushed.set)
            flushed.wait(_STOP_LIMIT_S)
        return self._waited_s

    def facts(self) -> EngineSpans:
        """What came so far, and what became of it."""
        return self._intake.facts(self.endpoint, self._waited_s)

    def loading(self) -> list[LoadingSpan]:
        """The engine's start, as far as it has been told."""
        return self._intake.loading()

    def close(self) -> None:
        """Take nothing more. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_LIMIT_S)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    # --- its thread --------------------------------------------------------------------------------------

    def _serve(self, started: threading.Event) -> None:
        loop, intake = self._loop, self._intake
        asyncio.set_event_loop(loop)
        grpc_side = GrpcSide(self._take_from_thread, lambda kind: self._soon(intake.refuse, kind))
        try:
            loop.run_until_complete(self._open(grpc_side.port))
            started.set()
            loop.run_forever()
        finally:
            started.set()
            self._door.close()
            self._server.close()
            grpc_side.close()
            with suppress(RuntimeError):
                loop.run_until_complete(self._http.server.shutdown(0.1))
                loop.run_until_complete(_cancel_all())
            loop.close()

    async def _open(self, grpc_port: int) -> None:
        self._http = HttpSide(self._intake.take, self._intake.refuse)
        self._door = Door(self._http.server, grpc_port, self._intake.refuse)
        self._server = await asyncio.get_running_loop().create_server(self._door, sock=self._socket, backlog=_BACKLOG)

    def _take_from_thread(self, request: ExportTraceServiceRequest, protocol: str) -> None:
        """Of gRPC, which has threads of its own: what is sent faster than it can be sorted has to wait."""

        async def take() -> None:
            self._intake.take(request, protocol)

        try:
            asyncio.run_coroutine_threadsafe(take(), self._loop).result(_TAKE_LIMIT_S)
        except (NotInTime, CancelledError, RuntimeError) as error:
            raise Refused(400, "ended", "the run is over") from error

    def _soon(self, call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, *arguments)


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        raise EngineUnavailable(
            f"spans of the engine cannot be received on {host}:{port}: {error.strerror}",
            remedy="end what listens there, or name another port with --engine-spans"
            if taken
            else "name another address with --engine-spans, such as 4317 or 0.0.0.0:4317",
        ) from error
    return listener
