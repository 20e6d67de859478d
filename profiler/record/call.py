"""One attempt of an LLM call: from the transport's entry to the last byte, as a `chat` span.

While the agent waits, times are taken and little else. What an answer that the agent gets as it comes says is read from
a tape, when its chain has ended:

    block  block  block  …  end | … the agent goes on … | chain's end   tape read, span filled and ended
    ^ noted with its time  ^ noted                        ^ `settle`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from opentelemetry.trace import SpanKind

from profiler import semconv as sc
from profiler.record import cost as costs
from profiler.record.answer import Answer, Script
from profiler.record.api import Api
from profiler.record.arrival import Line
from profiler.record.clock import Clock
from profiler.record.cost import TIME_EVERY, Cost
from profiler.record.digests import Digests
from profiler.record.lag import LagProbe
from profiler.record.placement import is_credible, place_phases
from profiler.record.protocol import Json, Reply, error_text, parse_json
from profiler.record.replay import Adaptation
from profiler.record.request import Place, request_attributes
from profiler.record.spans import Span
from profiler.record.text import clean_message
from profiler.record.timing import EngineTiming
from profiler.script import ScriptedCall

ONE_WRITE_BYTES = 64 * 1024  # what a socket's send buffer takes at once, even on a fresh connection
# A longer tape is read at once: half a millisecond's work, and a bound on what is kept.
TAPE_BLOCKS = 255

# The client's own events, by the part of their name that is the same for all its protocols.
_CONNECTING = frozenset({"connect_tcp.started", "connect_unix_socket.started"})
_CONNECTED = frozenset({"connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete"})
_EVENTS = _CONNECTING | _CONNECTED
_EVENTS |= {"send_request_headers.started", "send_request_body.started", "send_request_body.complete"}


class CallContext(NamedTuple):
    """What an attempt needs to know of where it happens."""

    clock: Clock
    cost: Cost
    lag: LagProbe | None
    span: Span
    place: Place
    api: Api
    adaptation: Adaptation
    content_bytes: int  # of the request as it is sent
    agent_streams: bool
    script: Script | None
    capture_content: bool
    digests: Digests
    counts: bool = True  # whether its chain is one of those that are measured, and not for warm-up


class Call:
    """Follows one attempt; `feed` gives back the bytes that the agent is to see."""

    def __init__(self, context: CallContext) -> None:
        self._ctx = context
        self._answer = Answer(context.api, context.adaptation, context.script, agent_streams=context.agent_streams)
        self._cost = context.cost
        self.finished = False
        self._settled = False
        self._failed: str | None = None
        self._error: tuple[str, str] | None = None  # what broke it off: kind and words
        self._perf_ns = context.clock.perf_ns
        self._line: Line | None = None
        self._headers: Mapping[str, str] = {}
        # Blocks that have reached the agent and were not read yet, with the counter's value; None while that cannot be.
        self._tape: list[tuple[bytes, int]] | None = None
        self._is_stream = False
        self._may_tape = False
        self._unasked = context.api.unasked_mark
        self._all_passes = context.adaptation.usage_wanted  # no chunk has to be taken out for the agent
        self._handed_over_ns: int | None = None
        self._connection_ns: int | None = None  # the pool has given us a connection, or leave to open one
        self._sent_ns: int | None = None
        self._headers_ns: int | None = None
        self._connect_started_ns: int | None = None
        self._connect_ns = 0
        self._body_end_ns: int | None = None  # of an answer that is still to be read
        self._finished_ns = 0
        self._lag_ns: int | None = None

    # --- the wire's events ---------------------------------------------------------------------------

    def begun(self, began_ns: int) -> None:
        """The HTTP client gets the request now: what passes until it has a connection is waiting for one.

        `began_ns` is when the recorder began with the call, by the clock of `cost`.
        """
        self._cost.calls += 1
        self._cost.call(began_ns)
        self._handed_over_ns = self._ctx.clock.now_ns()

    def on_trace(self, name: str) -> None:
        """An event of httpcore, such as `connection.connect_tcp.started`.

        A body that the kernel takes in one write counts as sent when that write begins. After it the kernel may
        run the server instead of us (20 ms on two busy cores), and a time taken then would hide the server's work.
        """
        _, _, event = name.partition(".")
        if event not in _EVENTS:
            return
        now_ns = self._ctx.clock.now_ns()
        if event == "send_request_body.started":
            self._sent_ns = now_ns
        elif event == "send_request_body.complete":
            if self._ctx.content_bytes > ONE_WRITE_BYTES:
                self._sent_ns = now_ns
        elif event in _CONNECTED:
            if self._connect_started_ns is not None:
                self._connect_ns = now_ns - self._connect_started_ns
        else:
            self._connection_ns = self._connection_ns or now_ns
            if event in _CONNECTING:
                self._connect_started_ns = now_ns

    def on_headers(
        self,
        status: int,
        content_type: str,
        content_encoding: str,
        line: Line | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The response's head is there, over a connection whose times may be known."""
        self._line = line
        self._headers = headers or {}
        self._headers_ns = self._arrival_ns()
        if line is not None and line.wrote_ns is not None and self._sent_ns is not None:
            wrote_ns = self._ctx.clock.at(line.wrote_ns)
            if self._ctx.content_bytes <= ONE_WRITE_BYTES and self._sent_ns <= wrote_ns <= self._headers_ns:
                self._sent_ns = wrote_ns
        self._answer.begin(status, content_type, content_encoding)
        self._is_stream = self._answer.is_stream
        self._may_tape = self._answer.passes_through
        self._tape = [] if self._may_tape else None

    def _arrival_ns(self) -> int:
        """When what is in hand now arrived: by its connection, if that can tell, otherwise now."""
        line = self._line
        if line is None or line.read_ns is None:
            return self._ctx.clock.now_ns()
        return self._ctx.clock.at(line.read_ns)

    @property
    def holds_body(self) -> bool:
        """Whether the agent's bytes are only known at the end."""
        return self._answer.holds_body

    @property
    def rewrites(self) -> bool:
        """Whether the agent's bytes may differ from the engine's, so that lengths given in headers are void."""
        return self._answer.rewrites

    def feed(self, block: bytes) -> bytes:
        """Take bytes from the engine, return bytes for the agent (maybe none yet)."""
        tape = self._tape
        # What may be the chunk that the agent did not ask for is read now, and whole.
        if tape is None or not (self._all_passes or (block[-2:] == b"\n\n" and self._unasked not in block)):
            return self._feed_now(block)
        number = len(tape)
        timed = number % TIME_EVERY == TIME_EVERY - 1
        began_ns = costs.now_ns() if timed else 0
        line = self._line
        tape.append((block, self._perf_ns() if line is None or line.read_ns is None else line.read_ns))
        if timed:
            self._cost.chunk(began_ns)
            if number >= TAPE_BLOCKS - 1:
                self._read_tape()
        return block

    def _feed_now(self, block: bytes) -> bytes:
        if self._tape:
            self._read_tape()
        answer = self._answer
        if not self._is_stream:
            return answer.feed(block, self._arrival_ns())
        cost = self._cost
        cost.chunks = chunks = cost.chunks + 1
        timed = chunks % TIME_EVERY == 0
        began_ns = costs.now_ns() if timed else 0
        out = answer.feed(block, self._arrival_ns())
        if timed:
            cost.chunk(began_ns)
        if self._may_tape:  # what follows the beginning of an event belongs to it
            self._tape = None if answer.in_event else []
        return out

    def _read_tape(self) -> None:
        began_ns = costs.now_ns()
        tape, self._tape = self._tape or [], []
        feed, epoch_ns = self._answer.feed, self._ctx.clock.at(0)
        for block, perf_ns in tape:
            feed(block, perf_ns + epoch_ns)
        self._cost.tape(began_ns, len(tape))

    def end_of_body(self) -> bytes:
        """The engine's answer is over: what the agent still has to get."""
        answer, now_ns = self._answer, self._arrival_ns()
        if self._tape is not None or not (self._is_stream or answer.holds_body):
            self._body_end_ns = now_ns  # the agent has it all: there is time to read it
            return b""
        return answer.end(now_ns)

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more comes. Safe to call more than once; the first call counts."""
        if self.finished:
            return
        self.finished = True
        began_ns = costs.now_ns()
        ctx = self._ctx
        self._finished_ns = ctx.clock.now_ns()
        if error is not None:
            self._error = type(error).__qualname__, str(error)
        if ctx.lag is not None:
            self._lag_ns = ctx.lag.max_since(ctx.clock.perf(ctx.span.start_ns))
        self._cost.call(began_ns)

    # --- when nobody waits any more ------------------------------------------------------------------

    @property
    def script(self) -> ScriptedCall | None:
        """What the agent was told, if a script was replayed."""
        return self._ctx.script.said if self._ctx.script else None

    @property
    def reply(self) -> Reply:
        """What was answered, of a call that is over."""
        self.settle()
        return self._answer.reply

    @property
    def not_believed(self) -> bool:
        """Whether the engine told durations that a call which is over cannot have had."""
        self.settle()
        return sc.ENGINE_NOT_BELIEVED in self._ctx.span.attributes

    @property
    def failed(self) -> str | None:
        """Why a call that is over has failed, if it has."""
        self.settle()
        return self._failed

    def settle(self) -> None:
        """Read what is left and end the span, of a call that is over. Safe to call more than once."""
        if self._settled or not self.finished:
            return
        self._settled = True
        if self._tape:
            self._read_tape()
        began_ns = costs.now_ns()
        ctx, answer = self._ctx, self._answer
        if self._body_end_ns is not None:
            answer.end(self._body_end_ns)
        end_ns = answer.done_ns
        if end_ns is None:  # broken off: by an error then, by a client that stopped reading when the last bytes came
            seen_ns = answer.last_ns or self._headers_ns
            end_ns = self._finished_ns if self._error is not None or seen_ns is None else seen_ns
        answer.reply.take_headers(self._headers)
        # Without the client's own event (an in-process transport) the body is sent when the answer begins.
        sent_ns = self._sent_ns or self._headers_ns or end_ns
        error_type, message = self._failure()
        attributes = ctx.span.attributes
        attributes.update(request_attributes(ctx.place, ctx.api, ctx.adaptation, scripted=ctx.script is not None))
        attributes.update(self._attributes(sent_ns))
        attributes.update(ctx.digests.of(*ctx.api.prompt(ctx.adaptation.body)))
        if error_type is None and ctx.adaptation.may_hide and answer.reply.content and not answer.reply.tool_calls:
            attributes[sc.CALL_HIDDEN] = True
        if error_type is None and not answer.ended:
            attributes[sc.CALL_TRUNCATED] = True
        timing = answer.reply.timing(self._headers)
        if timing is not None and sc.CALL_HIDDEN in attributes:
            timing = replace(timing, untold_ns=None)  # it tells of the second generation alone
        if timing is not None and not is_credible(timing, end_ns - ctx.span.start_ns):
            attributes[sc.ENGINE_NOT_BELIEVED] = timing.source
        elif timing is not None:
            attributes.update(self._add_phases(timing, sent_ns, end_ns))
        if ctx.capture_content:
            attributes.update(self._content())
        if error_type is not None:
            self._failed = error_type
            attributes[sc.ERROR_TYPE] = error_type
            ctx.span.error = clean_message(message)
        ctx.span.end(end_ns)
        self._cost.call(began_ns)

    def _failure(self) -> tuple[str | None, str]:
        answer = self._answer
        if self._error is not None:
            return self._error
        if answer.error_status is not None:
            body = parse_json(bytes(answer.body)) or {}
            return str(answer.error_status), error_text(body) or bytes(answer.body).decode("utf-8", "replace")
        if answer.reply.error is not None:
            return answer.reply.error_code or "engine_error", answer.reply.error
        if answer.failed is not None:
            return answer.failed.partition(":")[0], answer.failed
        if answer.odd_chunks and not answer.ended:
            return "MalformedEvent", "the client stopped reading after an event that is not of the protocol"
        return None, ""

    def _attributes(self, sent_ns: int) -> dict[str, Any]:
        ctx, reply, start_ns = self._ctx, self._answer.reply, self._ctx.span.start_ns
        waited_ns = None
        if self._handed_over_ns is not None and self._connection_ns is not None:
            waited_ns = self._connection_ns - self._handed_over_ns
        optional = {
            sc.RESPONSE_ID: reply.response_id,
            sc.RESPONSE_MODEL: reply.model,
            sc.RESPONSE_FINISH_REASONS: self._finish_reasons(),
            sc.INPUT_TOKENS: reply.input_tokens,
            sc.OUTPUT_TOKENS: reply.output_tokens,
            sc.CACHED_TOKENS: reply.cached_tokens,
            sc.REASONING_TOKENS: reply.reasoning_tokens,
            sc.POOL_WAIT_NS: waited_ns,
            sc.CONNECT_NS: self._connect_ns or None,
            sc.SENT_NS: sent_ns - start_ns,
            sc.HEADERS_NS: self._headers_ns - start_ns if self._headers_ns else None,
            sc.LOOP_LAG_MAX_NS: self._lag_ns,
        }
        attributes: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
        if reply.token_times_ns:
            ttft_ns = reply.token_times_ns[0] - sent_ns
            attributes[sc.CHUNK_TIMES_US] = tuple([(at - sent_ns) // 1000 for at in reply.token_times_ns])
            attributes[sc.RESPONSE_TTFC] = ttft_ns / 1e9
            if ctx.lag is not None and self._sent_ns is not None and ctx.counts:
                ctx.lag.first_token(ctx.clock.perf(sent_ns), ttft_ns)
        if self._answer.odd_chunks:
            attributes[sc.ODD_CHUNKS] = self._answer.odd_chunks
        if reply.reasoning_chunks:
            attributes[sc.REASONING_CHUNKS] = reply.reasoning_chunks
        return attributes

    def _finish_reasons(self) -> tuple[str, ...] | None:
        reasons = self._answer.reply.finish_reasons
        if not reasons:
            return None
        return (self._ctx.script.said.finish,) if self._ctx.script else tuple(reasons)

    def _add_phases(self, timing: EngineTiming, sent_ns: int, end_ns: int) -> dict[str, Any]:
        tokens = self._answer.reply.token_times_ns
        placed = place_phases(timing, sent_ns, tokens[0] if tokens else None, tokens[-1] if tokens else end_ns)
        for name, start, end in placed:
            self._ctx.span.child(name, SpanKind.INTERNAL, {sc.PHASE: name}, start).end(end)
        told = {
            sc.ENGINE_SOURCE: timing.source,
            sc.ENGINE_LOAD_NS: timing.load_ns,
            sc.ENGINE_QUEUE_NS: timing.queue_ns,
            sc.ENGINE_PREFILL_NS: timing.prefill_ns,
            sc.ENGINE_DECODE_NS: timing.decode_ns,
            sc.ENGINE_INFERENCE_NS: timing.inference_ns,
            sc.ENGINE_PRECISION_NS: timing.precision_ns if timing.precision_ns > 1 else None,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _content(self) -> dict[str, Any]:
        script, reply = self._ctx.script, self._answer.reply
        if script is not None:
            said: Json = script.said.model_dump(include={"content", "tool_calls"})
        else:
            said = {"content": "".join(reply.content), "tool_calls": list(reply.tool_calls.values())}
        asked, _ = self._ctx.api.prompt(self._ctx.adaptation.body)
        return {
            sc.INPUT_MESSAGES: json.dumps(asked, ensure_ascii=False),
            sc.OUTPUT_MESSAGES: json.dumps([{"role": "assistant", **said}], ensure_ascii=False),
        }
