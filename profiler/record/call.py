"""One attempt of an LLM call: from the transport's entry to the last byte, as a `chat` span."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from profiler import semconv as sc
from profiler.record import sse
from profiler.record.clock import Clock
from profiler.record.protocol import CHAT, EngineTiming, Json, Reply, error_text, parse_json, vllm_timing
from profiler.record.replay import Adaptation, StreamRewriter, body_from_stream, rewrite_body
from profiler.record.text import clean_message
from profiler.script import ScriptedCall

GAP_NS = 1_000  # Jaeger's critical path skips a sibling that begins exactly where the last one ends
ONE_WRITE_BYTES = 64 * 1024  # what a socket's send buffer takes at once, even on a fresh connection
_ERROR_BODY_LIMIT = 4096


class Script(NamedTuple):
    """The scripted call that an attempt replays."""

    ordinal: int
    said: ScriptedCall


@dataclass(frozen=True, slots=True)
class CallContext:
    """What an attempt needs to know of where it happens."""

    tracer: trace.Tracer
    clock: Clock
    span: trace.Span  # started
    start_ns: int
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
        self.reply = Reply()
        self.failed: str | None = None
        self.finished = False
        self.odd_chunks = 0
        self.streaming = bool(context.adaptation.body.get("stream"))
        self._sse = False
        self._error_status: int | None = None
        self._decoder = sse.Decoder()
        self._body = bytearray()
        self._last_chunk: Json = {}
        self._sent_ns: int | None = None
        self._headers_ns: int | None = None
        self._connect_started_ns: int | None = None
        self._connect_ns = 0
        self._done_ns: int | None = None
        self._last_ns: int | None = None
        self._inflate: Any = None
        self._rewriter = None
        if context.script is not None and self.streaming:
            self._rewriter = StreamRewriter(
                context.script.said, context.script.ordinal, context.operation, context.adaptation.choices
            )

    # --- the wire's events ---------------------------------------------------------------------------

    def on_trace(self, name: str) -> None:
        """An event of httpcore, such as `connection.connect_tcp.started`.

        A body that the kernel takes in one write counts as sent when that write begins. After it the kernel may
        run the server instead of us (20 ms on two busy cores), and a time taken then would hide the server's work.
        """
        if name.endswith(".send_request_body.started") or (
            name.endswith(".send_request_body.complete") and self._ctx.content_bytes > ONE_WRITE_BYTES
        ):
            self._sent_ns = self._ctx.clock.now_ns()
        elif name == "connection.connect_tcp.started":
            self._connect_started_ns = self._ctx.clock.now_ns()
        elif (
            name in ("connection.connect_tcp.complete", "connection.start_tls.complete")
            and self._connect_started_ns is not None
        ):
            self._connect_ns = self._ctx.clock.now_ns() - self._connect_started_ns

    def on_headers(self, status: int, content_type: str, content_encoding: str) -> None:
        """The response's head is there."""
        self._headers_ns = self._ctx.clock.now_ns()
        if status >= 300:  # noqa: PLR2004 - a redirect is no answer either: the client asks again
            self._error_status = status
            return
        if content_encoding in ("gzip", "deflate", "x-gzip"):
            self._inflate = zlib.decompressobj(wbits=47)  # either header, as found
        if self._inflate is not None or content_encoding in ("", "identity"):
            self._sse = content_type.startswith("text/event-stream")

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
        if self._error_status is not None:
            if len(self._body) < _ERROR_BODY_LIMIT:
                self._body += block
            return block
        self._last_ns = now_ns = self._ctx.clock.now_ns()
        if self._inflate is not None:
            block = self._inflate.decompress(block)
        if not self._sse:
            self._body += block
            return b"" if self.holds_body else block
        try:
            events = self._decoder.feed(block)
        except sse.EventTooLarge as error:
            self.failed = f"EventTooLarge: {error}"
            self._sse = False
            return self._decoder.rest() + block
        out = b"".join([self._event(event, now_ns) for event in events])
        return out if self._ctx.agent_streams else b""

    def _event(self, event: sse.Event, now_ns: int) -> bytes:
        """Account for one event; the bytes that the agent sees in its place."""
        if not event.data:
            return event.raw
        if event.data == b"[DONE]":
            self.reply.done = True
            self._done_ns = now_ns
            return event.raw
        chunk = parse_json(event.data)
        if chunk is None:
            return event.raw
        try:
            token = self.reply.take_chunk(chunk, now_ns)
        except (AttributeError, TypeError, ValueError):
            self.odd_chunks += 1  # not of the protocol: the agent is to see it as it came
            return event.raw
        self._last_chunk = chunk
        if not chunk.get("choices") and chunk.get("usage") and not self._ctx.adaptation.usage_wanted:
            return b""  # the agent did not ask for this chunk, and may not expect one without choices
        if self._rewriter is None:
            return event.raw
        rewritten = self._rewriter.rewrite(chunk, token=token)
        return sse.encode(orjson.dumps(rewritten))

    def end_of_body(self) -> bytes:
        """The engine's stream is over: what the agent still has to get."""
        if self._done_ns is None:
            self._done_ns = self._ctx.clock.now_ns()
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
        ctx, reply = self._ctx, self.reply
        end_ns = self._done_ns
        if end_ns is None:  # broken off: by an error now, by a client that stopped reading when the last bytes came
            seen_ns = self._last_ns or self._headers_ns
            end_ns = ctx.clock.now_ns() if error is not None or seen_ns is None else seen_ns
        # Without the client's own event (an in-process transport) the body is sent when the answer begins.
        sent_ns = self._sent_ns or self._headers_ns or end_ns
        error_type, message = self._failure(error)
        attributes = self._attributes(sent_ns)
        if error_type is None and not reply.finish_reasons and not reply.done:
            attributes[sc.CALL_TRUNCATED] = True
        timing = vllm_timing(reply.metrics)
        if timing is not None:
            attributes |= self._add_phases(timing, sent_ns, end_ns)
        if ctx.capture_content:
            attributes |= self._content()
        if error_type is not None:
            self.failed = error_type
            attributes[sc.ERROR_TYPE] = error_type
            ctx.span.set_status(Status(StatusCode.ERROR, clean_message(message)))
        ctx.span.set_attributes(attributes)
        ctx.span.end(end_ns)

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
        return None, ""

    def _attributes(self, sent_ns: int) -> dict[str, Any]:
        reply, start_ns = self.reply, self._ctx.start_ns
        optional = {
            sc.RESPONSE_ID: reply.response_id,
            sc.RESPONSE_MODEL: reply.model,
            sc.RESPONSE_FINISH_REASONS: self._finish_reasons(),
            sc.INPUT_TOKENS: reply.input_tokens,
            sc.OUTPUT_TOKENS: reply.output_tokens,
            sc.CACHED_TOKENS: reply.cached_tokens,
            sc.REASONING_TOKENS: reply.reasoning_tokens,
            sc.CONNECT_NS: self._connect_ns or None,
            sc.SENT_NS: sent_ns - start_ns,
            sc.HEADERS_NS: self._headers_ns - start_ns if self._headers_ns else None,
        }
        attributes: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
        if reply.token_times_ns:
            attributes[sc.CHUNK_TIMES_US] = [(at - sent_ns) // 1000 for at in reply.token_times_ns]
            attributes[sc.RESPONSE_TTFC] = (reply.token_times_ns[0] - sent_ns) / 1e9
        if self.odd_chunks:
            attributes[sc.ODD_CHUNKS] = self.odd_chunks
        if reply.reasoning_chunks:
            attributes[sc.REASONING_CHUNKS] = reply.reasoning_chunks
        return attributes

    def _finish_reasons(self) -> list[str] | None:
        if not self.reply.finish_reasons:
            return None
        return [self._ctx.script.said.finish] if self._ctx.script else self.reply.finish_reasons

    def _add_phases(self, timing: EngineTiming, sent_ns: int, end_ns: int) -> dict[str, Any]:
        tokens = self.reply.token_times_ns
        placed = place_phases(timing, sent_ns, tokens[0] if tokens else None, tokens[-1] if tokens else end_ns)
        parent = trace.set_span_in_context(self._ctx.span)
        for position, (name, start, end) in enumerate(placed):
            span = self._ctx.tracer.start_span(name, parent, SpanKind.INTERNAL, {sc.PHASE: name}, start_time=start)
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


def place_phases(timing: EngineTiming, sent_ns: int, first_ns: int | None, last_ns: int) -> list[tuple[str, int, int]]:
    """Put the engine's durations onto the client's clock.

    In-band timing has no absolute times, so the phases go to the latest place that agrees with what the client
    saw: the first token cannot have been made after it arrived, nor the last one.

        sent                        first chunk                 last chunk
          |--- on its way ---|queue|prefill|------ decode ------|
        with a first chunk that was held back:
          |-- on its way -|queue|prefill|.......first.. decode ..|

    Nothing begins before the sending; what would exceed the window is cut at its end.

    Returns:
        (name, start, end) for each of queue, prefill, decode that lasts; contiguous, in nanoseconds.
    """
    until_first = timing.queue_ns + timing.prefill_ns
    start = last_ns - until_first - timing.decode_ns
    if first_ns is not None:
        start = min(start, first_ns - until_first)
    at = max(start, sent_ns)
    placed = []
    durations = (timing.queue_ns, timing.prefill_ns, timing.decode_ns)
    for name, duration in zip(sc.ENGINE_PHASES, durations, strict=True):
        end = min(at + duration, last_ns)
        if end > at:
            placed.append((name, at, end))
        at = max(at, end)
    return placed
