"""The embedded engine's server: takes requests, lets the time model say when each token is made, writes it then.

    request -> ask (dialect) -> answer (speech) -> work (time model) -> tokens at their times -> events -> writes

One event loop in one process. Everything that is decided beforehand is decided when the request arrives; per token
there is one encoding and one write.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from profiler.engines.sim import faults
from profiler.engines.sim.dialects import make_dialect
from profiler.engines.sim.faults import FaultPlan
from profiler.engines.sim.generation import FaultInAnswer, Generation
from profiler.engines.sim.otlp import EngineSpans
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.pump import Pump
from profiler.engines.sim.request import Ask, BadRequest
from profiler.engines.sim.scheduler import PromptTooLong, Scheduler, Work
from profiler.engines.sim.speech import Answer, answer
from profiler.engines.sim.traits import Traits
from profiler.engines.sim.truthlog import TruthLog
from profiler.engines.sim.writer import Writer, reset
from profiler.truth import CLIENT_GONE, FAULTED, REFUSED_BY_SERVER, Truth, span_id_of

MAX_BODY_BYTES = 64 * 2**20
_MOST_BYTES_PER_TOKEN = 32
_FRAME_BYTES = 2**20  # tools, schemas and what else surrounds the text
JSON = "application/json"
_ON_PURPOSE = "the engine fails in the middle of the answer, on purpose"
EVENTS = "text/event-stream; charset=utf-8"


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


class _Handler(RequestHandler):
    """aiohttp's connection, which also notes when bytes came: parsing and waking the handler take their time."""

    __slots__ = ("received_ns",)

    def data_received(self, data: bytes) -> None:
        self.received_ns = time.monotonic_ns()
        super().data_received(data)


class SimServer(web.Server):
    """The server; `handler` per connection is made by calling it, as asyncio wants."""

    def __init__(self, options: ServerOptions, shut_door: Any) -> None:
        super().__init__(self._handle, request_factory=self._request, handler_cancellation=True, access_log=None)
        self._options = options
        self._shut_door = shut_door
        self._dialect = make_dialect(options.dialect, options.model, options.profile, options.traits)
        self._pump = Pump(Scheduler(options.profile, options.seed))
        self._log = TruthLog(options.truth)
        self._spans = EngineSpans(options.otlp_traces_endpoint, "vllm") if options.otlp_traces_endpoint else None
        self._numbers = itertools.count(1)
        self._seen: Counter[int] = Counter()
        self._inside = 0

    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY_BYTES)

    def close_log(self) -> None:
        """After the last request."""
        self._log.close()
        if self._spans is not None:
            self._spans.close()

    # --- one request -----------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._authorised(request):
            return self._refused(BadRequest("Unauthorized", status=401, type="Unauthorized"))
        if request.method == "GET":
            return self._page(request.path)
        operation = self._dialect.operation(request.path) if request.method == "POST" else None
        if operation is None:
            return self._refused(BadRequest("Not Found", status=404, type="NotFoundError"))
        content = await request.read()
        protocol = cast("_Handler", request.protocol)
        own_id = request.headers.get("X-Request-Id") or uuid.uuid4().hex
        truth = Truth(
            number=next(self._numbers),
            id=own_id,
            span_id=span_id_of(request.headers.get("traceparent")),
            path=request.path,
            arrival_ns=protocol.received_ns,
        )
        self._inside += 1
        try:
            response = await self._generate(request, operation, content, truth)
        except asyncio.CancelledError:
            truth.outcome = FAULTED if truth.fault in faults.ENDING else CLIENT_GONE
            raise
        else:
            truth.status = response.status
            return response
        finally:
            self._inside -= 1
            truth.end_ns = time.monotonic_ns()
            self._log.write(truth)

    def _authorised(self, request: web.BaseRequest) -> bool:
        key = self._options.api_key
        given = request.headers.get("Authorization", "")
        return key is None or request.path == "/health" or hmac.compare_digest(given.encode(), f"Bearer {key}".encode())

    def _page(self, path: str) -> web.Response:
        if path == "/metrics":
            page = self._dialect.gauges.page(self._pump.scheduler)
            return web.Response(body=page, content_type="text/plain", charset="utf-8")
        body = self._dialect.page(path)
        if body is None:
            return self._refused(BadRequest("Not Found", status=404, type="NotFoundError"))
        return web.Response(body=body, content_type=JSON) if body else web.Response()

    def _refused(self, refusal: BadRequest, headers: dict[str, str] | None = None) -> web.Response:
        return web.Response(
            status=refusal.status, body=self._dialect.refusal(refusal), content_type=JSON, headers=headers
        )

    async def _generate(
        self, request: web.BaseRequest, operation: str, content: bytes, truth: Truth
    ) -> web.StreamResponse:
        body = None
        try:
            body = self._read(content)
            ask = self._ask(operation, body, truth)
            fault = self._fault(request, ask)
            truth.fault, truth.stream = fault, ask.stream
            before = await self._fault_before_the_answer(request, truth)
            if before is not None:
                return before
            said = answer(ask, self._options.seed, self._options.traits)
            return await self._answer(request, ask, said, truth)
        except BadRequest as refusal:
            truth.outcome = REFUSED_BY_SERVER
            events = self._dialect.refused_stream(operation, body, refusal)
            if events is None:
                return self._refused(refusal)
            return web.Response(body=b"".join(events), headers={"Content-Type": EVENTS})

    def _read(self, content: bytes) -> Any:
        """The request's body.

        Raises:
            BadRequest: it is no JSON, or so long that cutting it into tokens would hold all streams up.
        """
        limit = self._options.profile.max_model_tokens * _MOST_BYTES_PER_TOKEN + _FRAME_BYTES
        if len(content) > limit:
            raise BadRequest(f"the request has {len(content)} bytes, this model takes {limit} at most")
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"the body is no JSON: {error}") from error

    def _ask(self, operation: str, body: Any, truth: Truth) -> Ask:
        limit = self._options.profile.max_concurrent
        if limit is not None and self._inside > limit:
            raise BadRequest("Model is overloaded", status=429, type="overloaded")
        ask = self._dialect.ask(operation, body, truth.id)
        truth.id, truth.prompt_tokens = ask.id or truth.id, len(ask.prompt)
        return ask

    async def _answer(self, request: web.BaseRequest, ask: Ask, said: Answer, truth: Truth) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise asyncio.CancelledError
        options = self._options
        failing = self._dialect.failing(ask, _ON_PURPOSE)
        generation = Generation(said, truth, options.traits, FaultInAnswer(options.faults, transport, failing))
        work = Work(str(truth.number), ask.prompt, generation.work_tokens, ask.key(), ask.cache_salt)
        try:
            progress = self._pump.submit(work, truth.arrival_ns, generation.on_token)
        except PromptTooLong as error:
            raise BadRequest(str(error)) from error
        generation.progress = progress
        created = int(time.time())
        response: web.StreamResponse
        try:
            if not ask.stream:
                await generation.done
                body, headers = self._dialect.body(ask, said, generation.spent(), created)
                response = self._whole(generation, ask, body, headers)
            else:
                response = await self._begin_stream(request, truth)
                writer = Writer(transport, truth, self._options.traits)
                generation.stream_to(writer, self._dialect.encoder(ask, said, created))
                await generation.done
                if transport.is_closing():
                    await asyncio.get_running_loop().create_future()  # cancelled as soon as the connection is gone
                await response.write_eof()
        finally:
            self._pump.cancel(work.id)
            generation.close()
        if generation.answered:
            self._dialect.gauges.finished(truth, said.finish)
            if self._spans is not None:
                self._spans.send(truth, ask, request.headers)
        return response

    async def _begin_stream(self, request: web.BaseRequest, truth: Truth) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": EVENTS, "Cache-Control": "no-cache"})
        response.enable_chunked_encoding()
        truth.headers_ns = time.monotonic_ns()
        await response.prepare(request)
        return response

    def _whole(self, generation: Generation, ask: Ask, body: bytes, headers: dict[str, str]) -> web.Response:
        body = generation.spoilt(body, self._dialect.failed_body(ask, _ON_PURPOSE))
        generation.truth.headers_ns = time.monotonic_ns()
        generation.truth.writes_ns.append(generation.truth.headers_ns)
        generation.truth.written_tokens.append(generation.truth.output_tokens or 0)
        return web.Response(body=body, content_type=JSON, headers=headers)

    # --- faults ----------------------------------------------------------------------------------------

    def _fault(self, request: web.BaseRequest, ask: Ask) -> str | None:
        asked = request.headers.get(faults.HEADER)
        if asked is not None:
            if asked not in faults.FAULTS:
                raise BadRequest(f"{faults.HEADER}: there is no fault {asked!r}")
            return asked
        if not self._options.faults.probabilities:
            return None
        key = ask.key()
        self._seen[key] += 1
        return self._options.faults.draw(self._options.seed, key, self._seen[key])

    async def _fault_before_the_answer(self, request: web.BaseRequest, truth: Truth) -> web.Response | None:
        fault, plan = truth.fault, self._options.faults
        if fault in faults.STATUS:
            truth.outcome = FAULTED
            headers = {"Retry-After": f"{plan.retry_after_s:g}"} if fault == faults.RATE_LIMIT else None
            status = faults.STATUS[fault]
            return self._refused(BadRequest(f"{fault}, on purpose", status=status, type="SimFault"), headers)
        if fault == faults.SLOW_HEADERS:
            await asyncio.sleep(plan.slow_s)
        elif fault == faults.HANG:
            truth.outcome = FAULTED
            await asyncio.get_running_loop().create_future()
        elif fault in (faults.RESET, faults.REFUSED):
            truth.outcome = FAULTED
            if fault == faults.REFUSED:
                self._shut_door(plan.refuse_s)
            if request.transport is not None:
                reset(request.transport)
            await asyncio.get_running_loop().create_future()  # cancelled at once: the connection is gone
        return None
