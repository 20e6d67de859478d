"""The embedded engine's server: takes requests, lets the time model say when each token is made, writes it then.

    request -> ask (dialect) -> answer (speech) -> work (time model) -> tokens at their times -> events -> writes

One event loop in one process. Everything that is decided beforehand is decided when the request arrives; per token
there is one encoding and one write.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from profiler.engines.sim import faults
from profiler.engines.sim.connection import Connection, transport_of, until_cancelled
from profiler.engines.sim.delays import Delays, delays_of
from profiler.engines.sim.dialects import EVENTS, JSON, make_dialect
from profiler.engines.sim.faults import FaultPlan
from profiler.engines.sim.generation import Generation
from profiler.engines.sim.injection import Injector, break_off
from profiler.engines.sim.loading import Loading
from profiler.engines.sim.otlp import EngineSpans
from profiler.engines.sim.pages import Pages
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.pump import Pump
from profiler.engines.sim.request import Ask, BadRequest
from profiler.engines.sim.scheduler import PromptTooLong, Scheduler
from profiler.engines.sim.speech import Answer, answer
from profiler.engines.sim.spoil import spoilt_body
from profiler.engines.sim.traits import Traits
from profiler.engines.sim.truthlog import TruthLog
from profiler.truth import CLIENT_GONE, FAULTED, OK, REFUSED_BY_SERVER, Truth, span_id_of

EVENT_STREAM = "text/event-stream"
_MOST_BYTES_PER_TOKEN = 32
_OK = 200
_FRAME_BYTES = 2**20  # tools, schemas and what else surrounds the text
_ON_PURPOSE = "the engine fails in the middle of the answer, on purpose"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """All that the server is told."""

    profile: Profile
    model: str
    dialect: str
    seed: int = 0
    traits: Traits = field(default_factory=Traits)
    faults: FaultPlan = field(default_factory=lambda: FaultPlan({}))
    truth: Path | None = None
    otlp_traces_endpoint: str | None = None
    api_key: str | None = field(default=None, repr=False)

    @property
    def most_body_bytes(self) -> int:
        """A body beyond this cannot fit into the model, and cutting it into tokens would hold all streams up."""
        return self.profile.max_model_tokens * _MOST_BYTES_PER_TOKEN + _FRAME_BYTES


class SimServer(web.Server):
    """The server; `handler` per connection is made by calling it, as asyncio wants."""

    def __init__(self, options: ServerOptions, shut_door: Callable[[float], None]) -> None:
        super().__init__(self._handle, request_factory=self._request, handler_cancellation=True, access_log=None)
        self._options = options
        self._injector = Injector(options.faults, options.seed, shut_door)
        self._dialect = make_dialect(options.dialect, options.model, options.profile, options.traits)
        self._most_concurrent = options.profile.max_concurrent or self._dialect.most_concurrent
        self._loading = Loading(round(options.profile.load_us * 1000)) if self._dialect.loads_model else None
        self._pump = Pump(Scheduler(options.profile, options.seed))
        self._pages = Pages(
            self._dialect,
            self._pump.scheduler,
            api_key=options.api_key,
            most_body_bytes=options.most_body_bytes,
        )
        self._log = TruthLog(options.truth)
        self._spans = EngineSpans(options.otlp_traces_endpoint, "vllm") if options.otlp_traces_endpoint else None
        self._numbers = itertools.count(1)
        self._inside = 0

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        limit = self._options.most_body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=limit)

    def close_log(self) -> None:
        """After the last request."""
        self._log.close()
        if self._spans is not None:
            self._spans.close()

    # --- one request -----------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        denied = self._pages.denied(request)
        if denied is not None:
            return denied
        operation = self._dialect.operation(request.path)
        if operation is None or request.method != "POST":
            return await self._pages.other(request)
        return await self._served(request, operation)

    async def _served(self, request: web.BaseRequest, operation: str) -> web.StreamResponse:
        """Answer a request that goes into the ground truth, and write it there."""
        truth = Truth(
            number=next(self._numbers),
            id=(self._dialect.adopts_request_id and _told_id(request)) or uuid.uuid4().hex,
            span_id=span_id_of(request.headers.get("traceparent")),
            path=request.path,
            arrival_ns=cast("Connection", request.protocol).received_ns,
        )
        self._inside += 1
        try:
            response = await self._respond(request, operation, truth)
            truth.status = response.status
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            _client_gone(truth)
            return web.Response()  # nobody gets it, and aiohttp wants one
        except asyncio.CancelledError:
            _client_gone(truth)
            raise
        else:
            return response
        finally:
            self._inside -= 1
            truth.end_ns = time.monotonic_ns()
            self._log.write(truth)

    async def _respond(self, request: web.BaseRequest, operation: str, truth: Truth) -> web.StreamResponse:
        body = None
        try:
            body = await self._pages.json_of(request, lambda: _arrived(request, truth))
            ask = self._ask(operation, body, truth)
            truth.stream = ask.stream
            truth.fault = self._injector.fault_of(request, ask)
            if truth.fault in faults.STATUS:
                truth.outcome = FAULTED
                return self._pages.refused(request, *self._injector.refusal(truth.fault))
            await self._injector.before_the_answer(request, truth)
            if ask.only:
                return await self._loaded(ask, truth)
            said = answer(ask, self._options.seed, self._options.traits)
            return await self._answer(request, ask, said, truth)
        except BadRequest as refusal:
            truth.outcome = REFUSED_BY_SERVER
            events = self._dialect.refused_stream(operation, body, refusal)
            if events is None:
                return self._pages.refused(request, refusal)
            return web.Response(body=b"".join(events), headers={"Content-Type": EVENTS})

    async def _loaded(self, ask: Ask, truth: Truth) -> web.Response:
        """Answer a request that is only about the model's being in memory."""
        assert self._loading is not None
        if ask.only == "load":
            truth.load_ns = self._loading.begin(truth.arrival_ns) - truth.arrival_ns
            try:
                await asyncio.sleep(truth.load_ns / 1e9)
            finally:
                self._loading.end(time.monotonic_ns(), ask.keep_alive_s)
        else:
            self._loading.unload()
        return web.Response(body=self._dialect.only(ask), headers={"Content-Type": JSON})

    def _ask(self, operation: str, body: Any, truth: Truth) -> Ask:
        if self._most_concurrent is not None and self._inside > self._most_concurrent:
            raise self._dialect.overloaded()
        ask = self._dialect.ask(operation, body, truth.id)
        truth.id, truth.prompt_tokens = ask.id or truth.id, len(ask.prompt)
        return ask

    async def _answer(self, request: web.BaseRequest, ask: Ask, said: Answer, truth: Truth) -> web.StreamResponse:
        options = self._options
        delays = delays_of(request.headers) if truth.fault is None else Delays()
        traits = options.traits
        if traits.keep_alive_s is not None and not self._dialect.stream_type(ask).startswith(EVENT_STREAM):
            traits = replace(traits, keep_alive_s=None)  # comments are of server-sent events
        generation = Generation(ask, said, truth, traits, oversized_bytes=options.faults.oversized_bytes, delays=delays)
        at_ns = time.monotonic_ns() if truth.fault == faults.SLOW_HEADERS else truth.arrival_ns
        if self._loading is not None:
            ready_ns = self._loading.begin(at_ns)
            truth.load_ns, at_ns = ready_ns - at_ns, ready_ns
        work_id = None
        try:
            work_id = generation.submit(self._pump, at_ns)
            if ask.stream:
                return await self._stream(request, ask, said, generation, truth)
            return await self._whole(request, ask, said, generation, truth)
        except PromptTooLong as error:
            raise BadRequest(str(error)) from error
        finally:
            if work_id is not None:
                self._pump.cancel(work_id)
            if self._loading is not None:
                self._loading.end(time.monotonic_ns(), ask.keep_alive_s)
            generation.close()
            if truth.said_all:
                self._dialect.gauges.finished(truth, said.finish)
                if self._spans is not None:
                    self._spans.send(truth, ask, request.headers)

    async def _stream(
        self, request: web.BaseRequest, ask: Ask, said: Answer, generation: Generation, truth: Truth
    ) -> web.StreamResponse:
        created = int(time.time())
        kind = self._dialect.stream_type(ask)
        headers = {"Content-Type": kind, "Cache-Control": "no-cache", **self._dialect.stream_headers(ask)}
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        truth.headers_ns, truth.status = time.monotonic_ns(), _OK
        await response.prepare(request)
        transport = transport_of(request)
        encoder = self._dialect.encoder(ask, said, created)
        generation.stream_to(transport, encoder, self._dialect.failing(ask, _ON_PURPOSE))
        await generation.done
        if transport.is_closing():
            await until_cancelled()
        await response.write_eof()
        return response

    async def _whole(
        self, request: web.BaseRequest, ask: Ask, said: Answer, generation: Generation, truth: Truth
    ) -> web.StreamResponse:
        created = int(time.time())
        await generation.done
        body, headers = self._dialect.body(ask, said, generation.spent(), created)
        truth.headers_ns, truth.status, fault = time.monotonic_ns(), _OK, truth.fault
        if fault in faults.IN_THE_ANSWER:
            truth.outcome = FAULTED
            if fault in (faults.TRUNCATED, faults.RESET_STREAM):
                await break_off(request, body, by_reset=fault == faults.RESET_STREAM)
            if fault == faults.ERROR_IN_200:
                body = self._dialect.failed_body(ask, _ON_PURPOSE)
            else:
                body = spoilt_body(fault, body, self._options.faults.oversized_bytes)
        response = web.Response(body=body, headers={"Content-Type": JSON, **headers})
        truth.headers_ns = time.monotonic_ns()
        truth.writes_ns.append(truth.headers_ns)
        truth.written_tokens.append(truth.output_tokens or 0)
        await response.prepare(request)
        await response.write_eof()
        return response


def _arrived(request: web.BaseRequest, truth: Truth) -> None:
    truth.arrival_ns = cast("Connection", request.protocol).received_ns


def _client_gone(truth: Truth) -> None:
    if truth.outcome == OK and not truth.said_all:
        truth.outcome = CLIENT_GONE


def _told_id(request: web.BaseRequest) -> str | None:
    told = request.headers.get("X-Request-Id", "")
    return told if told.isprintable() else None  # neither JSON nor a log takes bytes that are no text
