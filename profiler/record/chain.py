"""One chain: its root span, its place in the script, the calls that are made in it."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.trace import SpanKind

from profiler import semconv as sc
from profiler.errors import ScriptMismatch
from profiler.record.answer import Script as Replayed
from profiler.record.api import Api
from profiler.record.call import Call, CallContext
from profiler.record.digests import Digests
from profiler.record.graph import GraphHandler, active_handler
from profiler.record.protocol import Json
from profiler.record.recorder import Recorder
from profiler.record.replay import Adaptation, Terms
from profiler.record.request import Place
from profiler.record.servers import VLLM, Server
from profiler.record.text import clean_message
from profiler.record.wire import Outgoing, Refused
from profiler.script import Cursor, Script, ScriptedCall, ToolCall

active_chain: ContextVar[Chain | None] = ContextVar("profiler_chain", default=None)


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What is the same for all chains of a run."""

    agent_name: str
    provider: str
    server: Server = VLLM  # which kind of server the engine is
    model: str | None = None  # that it serves
    engine: tuple[str, int] | None = None  # host and port; calls to others are recorded as they are
    script: Script | None = None
    force_stream: bool = False
    capture_content: bool = False
    seed: int | None = None
    salt: str | None = None  # base of the prefix-cache salt; None leaves the cache shared


@dataclass(slots=True)
class _RecordedCall:
    call: Call
    place: str
    ordinal: int
    attempt: int
    engine: bool  # made to the engine under test, not to somebody else's server
    retried: bool = False


class Chain:
    """The recording of one chain."""

    def __init__(
        self,
        recorder: Recorder,
        options: RecordingOptions,
        *,
        task_id: str,
        repeat: int,
        warmup: bool,
        tags: Sequence[str] = (),
    ) -> None:
        self._recorder = recorder
        self._options = options
        self.task_id = task_id
        self.repeat = repeat
        self.warmup = warmup
        self.failure: BaseException | None = None
        self.mismatch: ScriptMismatch | None = None
        self._cursor: Cursor | None = options.script.cursor(task_id) if options.script else None
        self._ordinals: dict[str, int] = {}
        self._attempts: dict[tuple[str, int], list[_RecordedCall]] = {}
        self._calls: list[_RecordedCall] = []
        self._over = False
        self._lock = threading.Lock()  # an agent may call from several threads at once
        attributes: dict[str, Any] = {
            sc.OPERATION: sc.OP_INVOKE_AGENT,
            sc.AGENT_NAME: options.agent_name,
            sc.PROVIDER: options.provider,
            sc.TASK_ID: task_id,
            sc.REPEAT: repeat,
        }
        if tags:
            attributes[sc.TASK_TAGS] = tuple(tags)
        if warmup:
            attributes[sc.WARMUP] = True
        self.start_ns = self._end_ns = recorder.clock.now_ns()
        self._root = recorder.start_trace(f"{sc.OP_INVOKE_AGENT} {options.agent_name}", attributes, self.start_ns)
        self.trace_id = self._root.trace_id
        self._digests = Digests(recorder.digest_key)
        recorder.later(self.trace_id, self._settle)
        self._handler = GraphHandler(recorder.clock, recorder.cost, self._root)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this the chain of the current context: its calls, steps and tools are recorded."""
        tokens = active_chain.set(self), active_handler.set(self._handler)
        try:
            yield
        finally:
            active_handler.reset(tokens[1])
            active_chain.reset(tokens[0])

    # --- calls -----------------------------------------------------------------------------------------

    def begin_call(self, api: Api, url: Any, content: bytes, body: Json) -> Outgoing:
        """Open a `chat` span and say what is to be sent.

        Raises:
            Refused: the script lacks this call (the mismatch is kept in `mismatch`), or the chain is over.
        """
        if self._over:  # what a chain that was given up left running must not reach the engine
            raise Refused(f"the chain of task {self.task_id!r} is over")
        with self._lock:
            return self._begin(api, url, content, body)

    def _begin(self, api: Api, url: Any, content: bytes, body: Json) -> Outgoing:
        options, clock = self._options, self._recorder.clock
        start_ns = clock.now_ns()
        node = self._handler.current()
        fingerprint = hash(content)  # 64 bits with a key: a client's retry sends the same bytes
        host, port = url.host, url.port or (443 if url.scheme == "https" else 80)
        place = node.place
        engine = options.engine is None or _same_server((host, port), options.engine)
        if engine:
            attempt, ordinal, scripted = self._next(place, fingerprint)
            adaptation = api.adapt(body, scripted, self._terms())
        else:  # somebody else's server may refuse a field that it does not know
            place = f"{place}@{host}:{port}"
            attempt, ordinal = self._number(place, fingerprint)
            scripted = None
            adaptation = Adaptation(body, ())
        sent = adaptation.body
        span = node.span.child(f"{api.operation} {sent.get('model', '')}".strip(), SpanKind.CLIENT, {}, start_ns)
        sent_content = _dumps(sent) if adaptation.changed else content
        context = CallContext(
            clock=clock,
            cost=self._recorder.cost,
            lag=self._recorder.lag.here() if self._recorder.lag else None,
            span=span,
            place=Place(options.provider, host, port, place, ordinal, attempt),
            api=api,
            adaptation=adaptation,
            content_bytes=len(sent_content),
            agent_streams=api.streams(body) or not api.streams(sent),
            script=Replayed(ordinal, scripted) if scripted else None,
            capture_content=options.capture_content,
            digests=self._digests,
            counts=not self.warmup,
        )
        recorded = _RecordedCall(Call(context), place, ordinal, attempt, engine)
        self._attempts.setdefault((place, fingerprint), []).append(recorded)
        self._calls.append(recorded)
        headers = [
            (b"traceparent", b"00-%032x-%016x-01" % (span.trace_id, span.span_id)),
            (b"accept-encoding", b"identity"),
        ]
        return Outgoing(recorded.call, sent_content, headers)

    def _next(self, place: str, fingerprint: int) -> tuple[int, int, ScriptedCall | None]:
        """(attempt, ordinal, scripted call) of a request at a place."""
        if self._cursor is None:
            return *self._number(place, fingerprint), None
        failed = self._failed_attempt(place, fingerprint)
        if failed is not None:
            self._cursor.give_back(place, failed.ordinal)
        try:
            ordinal, scripted = self._cursor.take(place)
        except ScriptMismatch as mismatch:
            self.mismatch = self.mismatch or mismatch
            raise Refused(mismatch.message) from mismatch
        return failed.attempt + 1 if failed else 1, ordinal, scripted

    def _number(self, place: str, fingerprint: int) -> tuple[int, int]:
        """(attempt, ordinal) of a request that no script governs."""
        failed = self._failed_attempt(place, fingerprint)
        if failed is not None:
            return failed.attempt + 1, failed.ordinal
        self._ordinals[place] = self._ordinals.get(place, 0) + 1
        return 1, self._ordinals[place]

    def _failed_attempt(self, place: str, fingerprint: int) -> _RecordedCall | None:
        """The attempt that this request repeats: the same bytes at the same place, failed and not repeated yet."""
        for before in self._attempts.get((place, fingerprint), ()):
            if before.call.finished and before.call.failed is not None and not before.retried:
                before.retried = True
                return before
        return None

    def _terms(self) -> Terms:
        options = self._options
        seed = None if options.seed is None else options.seed + self.repeat - 1
        return Terms(options.server, options.model, self._cache_salt(), seed, options.force_stream)

    def _cache_salt(self) -> str | None:
        """Repetitions of a task must not find each other's prompts in the prefix cache."""
        if self._options.salt is None:
            return None
        return f"{self._options.salt}-{'w' if self.warmup else 'r'}{self.repeat}"

    # --- the end ---------------------------------------------------------------------------------------

    def finish(self, error: BaseException | None) -> None:
        """End the chain and write it."""
        self.end(error)
        self.deliver()

    def deliver(self) -> None:
        """Write the chain, which has ended."""
        self._recorder.deliver(self.trace_id)

    def _settle(self) -> None:
        """Do what was put off while the agent ran."""
        self._handler.settle()
        for recorded in self._calls:
            recorded.call.settle()

    def end(self, error: BaseException | None) -> None:
        """End the root span and whatever below it is still open."""
        self._over = True
        self.failure = self.mismatch or error
        for recorded in self._calls:
            recorded.call.finish()
        self._handler.close_all("unfinished")
        if self._cursor is not None and self._cursor.unused():
            self._root.attributes[sc.UNUSED_SCRIPT_CALLS] = self._cursor.unused()
        if self.failure is not None:
            self._root.attributes[sc.ERROR_TYPE] = type(self.failure).__qualname__
            self._root.error = clean_message(str(self.failure))
        self._end_ns = self._recorder.clock.now_ns()
        self._root.end(self._end_ns)

    @property
    def e2e_ns(self) -> int:
        """Duration; 0 before the end."""
        return self._end_ns - self.start_ns

    @property
    def call_count(self) -> int:
        """Attempts of LLM calls so far."""
        return len(self._calls)

    @property
    def timings_not_believed(self) -> int:
        """Calls of a chain that has ended whose engine told longer durations than they took."""
        return sum(recorded.call.not_believed for recorded in self._calls)

    def spoken(self) -> list[ScriptedCall]:
        """What the model said in this chain, as a script keeps it; failed attempts left out."""
        said = []
        for recorded in self._calls:
            reply = recorded.call.reply
            tokens = reply.output_tokens or len(reply.token_times_ns)  # a stream left early has no count
            if recorded.call.failed or not recorded.engine or not tokens:
                continue
            script = recorded.call.script
            if script is not None:
                said.append(script)
                continue
            tools = tuple(
                ToolCall(name=tool["name"], arguments=_arguments(tool["arguments"]))
                for _, tool in sorted(reply.tool_calls.items())
            )
            said.append(
                ScriptedCall(
                    place=recorded.place,
                    content="".join(reply.content),
                    tool_calls=tools,
                    output_tokens=tokens,
                    finish_reason=reply.finish_reasons[0] if reply.finish_reasons else None,
                )
            )
        return said


def _same_server(one: tuple[str, int], other: tuple[str, int]) -> bool:
    return one[1] == other[1] and _canonical(one[0]) == _canonical(other[0])


def _canonical(host: str) -> str:
    return "127.0.0.1" if host in ("localhost", "::1", "0.0.0.0") else host  # noqa: S104


def new_salt() -> str:
    """A salt of its own for each run: runs against one engine must not find each other's prompts."""
    return secrets.token_hex(6)


def _arguments(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text or "{}")  # strict: what it takes can be written and sent again
    except ValueError:
        return {"_unparsed": text}
    return value if isinstance(value, dict) else {"_unparsed": text}


def _dumps(body: Json) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a seed of more than 64 bits
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
