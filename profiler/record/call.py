"""One attempt of an LLM call: from the transport's entry to the last byte, as a `chat` span."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from opentelemetry.trace import SpanKind

from profiler import semconv as sc
from profiler.record import cost as costs
from profiler.record import sse
from profiler.record.arrival import Line
from profiler.record.clock import Clock
from profiler.record.cost import Cost
from profiler.record.digests import Digests
from profiler.record.lag import LagProbe
from profiler.record.pattern import Pattern
from profiler.record.placement import GAP_NS, place_phases
from profiler.record.protocol import CHAT, EngineTiming, Json, Reply, error_text, parse_json, vllm_timing
from profiler.record.replay import Adaptation, StreamRewriter, body_from_stream, rewrite_body
from profiler.record.spans import Span
from profiler.record.text import clean_message
from profiler.script import ScriptedCall

ONE_WRITE_BYTES = 64 * 1024  # what a socket's send buffer takes at once, even on a fresh connection
_ERROR_BODY_LIMIT = 4096

# The client's own events, by the part of their name that is the same for all its protocols.
_CONNECTING = frozenset({"connect_tcp.started", "connect_unix_socket.started"})
_CONNECTED = frozenset({"connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete"})
_EVENTS = _CONNECTING | _CONNECTED
_EVENTS |= {"send_request_headers.started", "send_request_body.started", "send_request_body.complete"}


class Script(NamedTuple):
    """The scripted call that an attempt replays."""

    ordinal: int
    said: ScriptedCall


@dataclass(frozen=True, slots=True)
class CallContext:
    """What an attempt needs to know of where it happens."""

    clock: Clock
    cost: Cost
    lag: LagProbe | None
    span: Span
    operation: str
    adaptation: Adaptation
    content_bytes: int  # of the request as it is sent
    agent_streams: bool
    script: Script | None
    capture_content: bool


class Call:
    """Follows one attempt; `feed` gives back the bytes that the agent is to see."""

    def __init__(self, context: CallContext) -> None:
        self._ctx = context
        self.cost = context.cost
        self.reply = Reply()
        self.failed: str | None = None
        self.finished = False
        self.odd_chunks = 0
        self.streaming = bool(context.adaptation.body.get("stream"))
        self._perf_ns = context.clock.perf_ns
        self._epoch_ns = context.clock.at(0)
        self._add_text = self.reply.content.append
        self._add_time = self.reply.token_times_ns.append
        self._text_of: Callable[[bytes], str | None] | None = None  # where a text is all that a block can bring
        self._line: Line | None = None
        self._sse = False
        self._error_status: int | None = None
        self._decoder = sse.Decoder()
        self._pattern = Pattern()
        self._body = bytearray()
        self._last_chunk: Json = {}
        self._handed_over_ns: int | None = None
        self._connection_ns: int | None = None  # the pool has given us a connection, or leave to open one
        self._sent_ns: int | None = None
        self._headers_ns: int | None = None
        self._connect_started_ns: int | None = None
        self._connect_ns = 0
        self._done_ns: int | None = None
        self._last_ns: int | None = None
        self._inflate: Any = None
        self._rewriter = None
        self._passes_through = context.script is None and context.agent_streams
        if context.script is not None and self.streaming:
            self._rewriter = StreamRewriter(
                context.script.said, context.script.ordinal, context.operation, context.adaptation.choices
            )

    # --- the wire's events ---------------------------------------------------------------------------

    def begun(self, began_ns: int) -> None:
        """The HTTP client gets the request now: what passes until it has a connection is waiting for one.

        `began_ns` is when the recorder began with the call, by the clock of `cost`.
        """
        self.cost.calls += 1
        self.cost.call(began_ns)
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

    def on_headers(self, status: int, content_type: str, content_encoding: str, line: Line | None = None) -> None:
        """The response's head is there, over a connection whose times may be known."""
        self._line = line
        self._headers_ns = self._arrival_ns()
        if line is not None and line.wrote_ns is not None and self._sent_ns is not None:
            wrote_ns = self._ctx.clock.at(line.wrote_ns)
            if self._ctx.content_bytes <= ONE_WRITE_BYTES and self._sent_ns <= wrote_ns <= self._headers_ns:
                self._sent_ns = wrote_ns
        if status >= 300:  # noqa: PLR2004 - a redirect is no answer either: the client asks again
            self._error_status = status
            return
        if content_encoding in ("gzip", "deflate", "x-gzip"):
            self._inflate = zlib.decompressobj(wbits=47)  # either header, as found
            self._passes_through = False
        if self._inflate is not None or content_encoding in ("", "identity"):
            self._sse = content_type.startswith("text/event-stream")

    def _arrival_ns(self) -> int:
        """When what is in hand now arrived: by its connection, if that can tell, otherwise now."""
        line = self._line
        if line is None or line.read_ns is None:
            return self._ctx.clock.now_ns()
        return self._ctx.clock.at(line.read_ns)

    @property
    def script(self) -> ScriptedCall | None:
        """What the agent was told, if a script was replayed."""
        return self._ctx.script.said if self._ctx.script else None

    @property
    def holds_body(self) -> bool:
        """Whether the agent's bytes are only known at the end (an unstreamed answer is rewritten whole)."""
        if self._error_status is not None:
            return False
        if self._sse:
            return not self._ctx.agent_streams
        return self._ctx.script is not None

    @property
    def rewrites(self) -> bool:
        """Whether the agent's bytes may differ from the engine's, so that lengths given in headers are void."""
        return self._error_status is None and (self._sse or self.holds_body or self._inflate is not None)

    def feed(self, block: bytes) -> bytes:
        """Take bytes from the engine, return bytes for the agent (maybe none yet)."""
        if not self._sse:
            return self._feed_whole(block)
        cost = self.cost
        cost.chunks = chunks = cost.chunks + 1
        timed = chunks % costs.TIME_EVERY == 0
        began_ns = costs.now_ns() if timed else 0
        text = self._text_of(block) if self._text_of is not None else None
        if text is not None:
            line = self._line
            read_ns = self._perf_ns() if line is None or line.read_ns is None else line.read_ns
            self._last_ns = read_ns + self._epoch_ns
            self._add_text(text)
            self._add_time(self._last_ns)
            out = block
        else:
            out = self._feed_stream(block)
        if timed:
            cost.chunk(began_ns)
        return out

    def _feed_whole(self, block: bytes) -> bytes:
        if self._error_status is not None:
            if len(self._body) < _ERROR_BODY_LIMIT:
                self._body += block
            return block
        self._last_ns = self._arrival_ns()
        if self._inflate is not None:
            block = self._inflate.decompress(block)
        self._body += block
        return b"" if self.holds_body else block

    def _feed_stream(self, block: bytes) -> bytes:
        reply, out = self.reply, None
        if reply.done:  # a client that clears the connection afterwards
            return block if self._ctx.agent_streams else b""
        self._last_ns = now_ns = self._arrival_ns()
        if self._inflate is not None:
            block = self._inflate.decompress(block)
        if not self._decoder.held:
            text = self._pattern.text_of(block)
            out = None if text is None else self._text(block)
            if text is not None and out is not None:
                self._add_text(text)
                self._add_time(now_ns)
            elif (data := sse.only_data(block)) is not None:
                out = self._event(data, block, now_ns)
        if out is None:
            try:
                out = b"".join([self._event(each.data, each.raw, now_ns) for each in self._decoder.feed(block)])
            except sse.EventTooLarge as error:
                self.failed = f"EventTooLarge: {error}"
                self._sse = False
                return self._decoder.rest() + block
        # From here on a block of the known form needs nothing else of what is done here.
        plain = self._passes_through and not self._decoder.held and not reply.done
        self._text_of = self._pattern.text_of if plain else None
        return out if self._ctx.agent_streams else b""

    def _text(self, block: bytes) -> bytes | None:
        """What the agent sees of a block that differs from those before in its text alone; None if that takes more."""
        if self._rewriter is None:
            return block
        said = self._rewriter.next_text()
        if said is not None:
            return self._pattern.with_text(said)
        delta = self._rewriter.next_delta()
        return None if delta is None else self._pattern.with_delta(delta)

    def _event(self, data: bytes, raw: bytes, now_ns: int) -> bytes:
        """Account for one event; the bytes that the agent sees in its place."""
        chunk = parse_json(data)
        if chunk is None:
            if data == b"[DONE]":
                self.reply.done = True
                self._done_ns = now_ns
            elif data:
                self.odd_chunks += 1
            return raw
        try:
            token = self.reply.take_chunk(chunk, now_ns)
        except (AttributeError, TypeError, ValueError):
            self.odd_chunks += 1  # not of the protocol: the agent is to see it as it came
            return raw
        self._last_chunk = chunk
        if token and len(self.reply.token_times_ns) == 1 and self._ctx.lag is not None and self._sent_ns is not None:
            self._ctx.lag.first_token(self._ctx.clock.perf(self._sent_ns), now_ns - self._sent_ns)
        if self.reply.text_alone:
            self._pattern.learn(raw)
        if not token and not chunk.get("choices") and chunk.get("usage") and not self._ctx.adaptation.usage_wanted:
            return b""  # the agent did not ask for this chunk, and may not expect one without choices
        if self._rewriter is None:
            return raw
        return sse.encode(orjson.dumps(self._rewriter.rewrite(chunk, token=token)))

    def end_of_body(self) -> bytes:
        """The engine's stream is over: what the agent still has to get."""
        if self._done_ns is None:
            self._done_ns = self._arrival_ns()
        if self._error_status is not None:
            return b""
        if self._sse:
            rest = self._decoder.rest()
            return self._assembled() if not self._ctx.agent_streams else rest
        body = parse_json(bytes(self._body))
        if body is not None:
            try:
                self.reply.take_body(body)
            except (AttributeError, TypeError, ValueError):
                self.odd_chunks += 1
        else:
            self.failed = self.failed or "MalformedBody: the response is no JSON object"
        if not self.holds_body:
            return b""
        script = self._ctx.script
        if body is None or script is None:
            return bytes(self._body)
        return json.dumps(
            rewrite_body(body, script.said, script.ordinal, self._ctx.operation, self._ctx.adaptation.choices)
        ).encode()

    def _assembled(self) -> bytes:
        reply = self.reply
        if reply.error is not None:
            return json.dumps({"error": {"message": reply.error}}).encode()
        calls = [reply.tool_calls[index] for index in sorted(reply.tool_calls)]
        finish = reply.finish_reasons[0] if reply.finish_reasons else None
        body = body_from_stream(self._last_chunk, "".join(reply.content), calls, finish, reply.usage)
        script = self._ctx.script
        if script is not None:
            body = rewrite_body(body, script.said, script.ordinal, self._ctx.operation, self._ctx.adaptation.choices)
        return json.dumps(body).encode()

    # --- the end -------------------------------------------------------------------------------------

    def finish(self, error: BaseException | None = None) -> None:
        """Close the span. Safe to call more than once; the first call counts."""
        if self.finished:
            return
        self.finished = True
        began_ns = costs.now_ns()
        ctx, reply = self._ctx, self.reply
        end_ns = self._done_ns
        if end_ns is None:  # broken off: by an error now, by a client that stopped reading when the last bytes came
            seen_ns = self._last_ns or self._headers_ns
            end_ns = ctx.clock.now_ns() if error is not None or seen_ns is None else seen_ns
        # Without the client's own event (an in-process transport) the body is sent when the answer begins.
        sent_ns = self._sent_ns or self._headers_ns or end_ns
        error_type, message = self._failure(error)
        attributes = ctx.span.attributes
        attributes.update(self._attributes(sent_ns))
        if error_type is None and not reply_ended(reply):
            attributes[sc.CALL_TRUNCATED] = True
        timing = vllm_timing(reply.metrics)
        if timing is not None:
            attributes.update(self._add_phases(timing, sent_ns, end_ns))
        if ctx.capture_content:
            attributes.update(self._content())
        if error_type is not None:
            self.failed = error_type
            attributes[sc.ERROR_TYPE] = error_type
            ctx.span.error = clean_message(message)
        ctx.span.end(end_ns)
        self.cost.call(began_ns)

    def add_digests(self, digests: Digests) -> None:
        """Say what was sent, without its content. It takes time: for when nobody waits any more."""
        ctx = self._ctx
        ctx.span.attributes.update(digests.of(ctx.operation, ctx.adaptation.body))

    def _failure(self, error: BaseException | None) -> tuple[str | None, str]:
        if error is not None:
            return type(error).__qualname__, str(error)
        if self._error_status is not None:
            body = parse_json(bytes(self._body)) or {}
            return str(self._error_status), error_text(body) or bytes(self._body).decode("utf-8", "replace")
        if self.reply.error is not None:
            return "engine_error", self.reply.error
        if self.failed is not None:
            return self.failed.partition(":")[0], self.failed
        if self.odd_chunks and not reply_ended(self.reply):
            return "MalformedEvent", "the client stopped reading after an event that is not of the protocol"
        return None, ""

    def _attributes(self, sent_ns: int) -> dict[str, Any]:
        reply, start_ns = self.reply, self._ctx.span.start_ns
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
            sc.LOOP_LAG_MAX_NS: self._loop_lag_ns(),
        }
        attributes: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
        if reply.token_times_ns:
            attributes[sc.CHUNK_TIMES_US] = tuple([(at - sent_ns) // 1000 for at in reply.token_times_ns])
            attributes[sc.RESPONSE_TTFC] = (reply.token_times_ns[0] - sent_ns) / 1e9
        if self.odd_chunks:
            attributes[sc.ODD_CHUNKS] = self.odd_chunks
        if reply.reasoning_chunks:
            attributes[sc.REASONING_CHUNKS] = reply.reasoning_chunks
        return attributes

    def _loop_lag_ns(self) -> int | None:
        if self._ctx.lag is None:
            return None
        return self._ctx.lag.max_since(self._ctx.clock.perf(self._ctx.span.start_ns))

    def _finish_reasons(self) -> tuple[str, ...] | None:
        if not self.reply.finish_reasons:
            return None
        return (self._ctx.script.said.finish,) if self._ctx.script else tuple(self.reply.finish_reasons)

    def _add_phases(self, timing: EngineTiming, sent_ns: int, end_ns: int) -> dict[str, Any]:
        tokens = self.reply.token_times_ns
        placed = place_phases(timing, sent_ns, tokens[0] if tokens else None, tokens[-1] if tokens else end_ns)
        for position, (name, start, end) in enumerate(placed):
            span = self._ctx.span.child(name, SpanKind.INTERNAL, {sc.PHASE: name}, start)
            follows = position + 1 < len(placed) and end - start > GAP_NS
            span.end(end - GAP_NS if follows else end)
        return {
            sc.ENGINE_SOURCE: timing.source,
            sc.ENGINE_QUEUE_NS: timing.queue_ns,
            sc.ENGINE_PREFILL_NS: timing.prefill_ns,
            sc.ENGINE_DECODE_NS: timing.decode_ns,
        }

    def _content(self) -> dict[str, Any]:
        script = self._ctx.script
        if script is not None:
            said: Json = script.said.model_dump(include={"content", "tool_calls"})
        else:
            said = {
                "content": "".join(self.reply.content),
                "tool_calls": list(self.reply.tool_calls.values()),
            }
        body = self._ctx.adaptation.body
        asked = body.get("messages") if self._ctx.operation == CHAT else body.get("prompt")
        return {
            sc.INPUT_MESSAGES: json.dumps(asked, ensure_ascii=False),
            sc.OUTPUT_MESSAGES: json.dumps([{"role": "assistant", **said}], ensure_ascii=False),
        }


def reply_ended(reply: Reply) -> bool:
    """Whether the engine came to its end, as far as the client read it."""
    return bool(reply.done or reply.finish_reasons)
