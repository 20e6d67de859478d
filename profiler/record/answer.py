"""What an engine answers to one request: its bytes in, what they say and the agent's bytes out.

Nothing here reads a clock: each block comes with the time of its arrival, so it can be read when it comes or later.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from profiler.record import sse
from profiler.record.api import Api, Rewriter
from profiler.record.pattern import Pattern
from profiler.record.protocol import Json, parse_json
from profiler.record.replay import Adaptation
from profiler.script import ScriptedCall

_ERROR_BODY_LIMIT = 4096


class Script(NamedTuple):
    """The scripted call that an attempt replays."""

    ordinal: int
    said: ScriptedCall


class Answer:
    """Reads one answer; times are epoch nanoseconds."""

    def __init__(self, api: Api, adaptation: Adaptation, script: Script | None, *, agent_streams: bool) -> None:
        self.reply = api.reply()
        self.failed: str | None = None  # what is wrong with the answer, beginning with the kind of it
        self.odd_chunks = 0
        self.error_status: int | None = None
        self.last_ns: int | None = None  # when the last block came
        self.done_ns: int | None = None  # when the answer was complete
        self.body = bytearray()  # of an answer that is no stream
        self._api = api
        self._adaptation = adaptation
        self._script = script
        self._agent_streams = agent_streams
        self._add_text = self.reply.content.append
        self._add_time = self.reply.token_times_ns.append
        self._text_of: Callable[[bytes], str | None] | None = None  # where a text is all that a block can bring
        self._streams = False
        self._too_large = False
        self._decoder = api.decoder()
        self._pattern = Pattern()
        self._last_chunk: Json = {}
        self._inflate: Any = None
        self._rewriter: Rewriter | None = None
        self._passes_through = script is None and agent_streams
        if script is not None and api.streams(adaptation.body):
            self._rewriter = api.rewriter(script.said, script.ordinal, adaptation.choices)

    def begin(self, status: int, content_type: str, content_encoding: str) -> None:
        """The head of the response."""
        if status >= 300:  # noqa: PLR2004 - a redirect is no answer either: the client asks again
            self.error_status = status
            return
        if content_encoding in ("gzip", "deflate", "x-gzip"):
            self._inflate = zlib.decompressobj(wbits=47)  # either header, as found
            self._passes_through = False
        if self._inflate is not None or content_encoding in ("", "identity"):
            self._streams = content_type.startswith(self._api.stream_type)

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        return self._streams

    @property
    def passes_through(self) -> bool:
        """Whether it is a stream whose bytes the agent gets as they come, but for a chunk that it did not ask for."""
        return self._streams and self._passes_through

    @property
    def holds_body(self) -> bool:
        """Whether the agent's bytes are only known at the end (an unstreamed answer is rewritten whole)."""
        if self.error_status is not None:
            return False
        if self._streams:
            return not self._agent_streams
        return self._script is not None

    @property
    def rewrites(self) -> bool:
        """Whether the agent's bytes may differ from the engine's, so that lengths given in headers are void."""
        return self.error_status is None and (self._streams or self.holds_body or self._inflate is not None)

    @property
    def in_event(self) -> bool:
        """Whether an event has begun whose end has not come."""
        return bool(self._decoder.held)

    # --- the body ------------------------------------------------------------------------------------

    def feed(self, block: bytes, at_ns: int) -> bytes:
        """Take bytes that came from the engine at a time; return bytes for the agent (maybe none yet)."""
        text = self._text_of(block) if self._text_of is not None else None
        if text is not None:
            out = block if self._rewriter is None else self._rewritten()
            if out is not None:
                self.last_ns = at_ns
                self._add_text(text)
                self._add_time(at_ns)
                return out
        return self._feed_stream(block, at_ns) if self._streams else self._feed_whole(block, at_ns)

    def _feed_whole(self, block: bytes, at_ns: int) -> bytes:
        if self.error_status is not None:
            if len(self.body) < _ERROR_BODY_LIMIT:
                self.body += block
            return block
        self.last_ns = at_ns
        if self._inflate is not None:
            block = self._inflate.decompress(block)
        self.body += block
        return b"" if self.holds_body else block

    def _feed_stream(self, block: bytes, now_ns: int) -> bytes:
        reply, out = self.reply, None
        if reply.done or self._too_large:  # a client that clears the connection afterwards; a stream not worth reading
            return block if self._agent_streams else b""
        self.last_ns = now_ns
        if self._inflate is not None:
            block = self._inflate.decompress(block)
        if not self._decoder.held:
            text = self._pattern.text_of(block)
            if text is not None:
                out = block if self._rewriter is None else self._rewritten()
            if text is not None and out is not None:
                self._add_text(text)
                self._add_time(now_ns)
            elif (data := self._decoder.only_data(block)) is not None:
                out = self._event(data, block, now_ns)
        if out is None:
            try:
                out = b"".join([self._event(each.data, each.raw, now_ns) for each in self._decoder.feed(block)])
            except sse.EventTooLarge as error:
                self.failed = f"EventTooLarge: {error}"
                self._too_large, self._text_of = True, None
                return self._decoder.rest() + block
        # From here on a block of the known form needs nothing else of what is done here.
        plain = self._agent_streams and self._inflate is None and not self._decoder.held and not reply.done
        self._text_of = self._pattern.text_of if plain else None
        return out if self._agent_streams else b""

    def _rewritten(self) -> bytes | None:
        """What a script says in place of a block that differs from those before in its text alone.

        None, and nothing done, if that takes more.
        """
        rewriter = self._rewriter
        if rewriter is None:
            return None
        members = rewriter.next_members()
        return None if members is None else self._pattern.with_members(members)

    def _event(self, data: bytes, raw: bytes, now_ns: int) -> bytes:
        """Account for one event; the bytes that the agent sees in its place."""
        chunk = parse_json(data)
        if chunk is None:
            if data == b"[DONE]":
                self.reply.done = True
                self.done_ns = now_ns
            elif data:
                self.odd_chunks += 1
            return raw
        try:
            token = self.reply.take_chunk(chunk, now_ns)
        except (AttributeError, LookupError, TypeError, ValueError):
            self.odd_chunks += 1  # not of the protocol: the agent is to see it as it came
            return raw
        self._last_chunk = chunk
        if self.reply.done and self.done_ns is None:  # by what the last chunk says, where no mark follows it
            self.done_ns = now_ns
        if self.reply.text_alone:
            self._pattern.learn(raw)
        shown: Json | None = chunk
        if not self._adaptation.usage_wanted:
            shown = self._api.unasked(chunk, token=token)
        if shown is None:
            return b""
        if self._rewriter is not None and self.reply.error is None:
            shown = self._rewriter.rewrite(shown, token=token)
        return raw if shown is chunk else self._api.encode(shown)

    def end(self, at_ns: int) -> bytes:
        """The body is over: what the agent still has to get."""
        if self.done_ns is None:
            self.done_ns = at_ns
        if self.error_status is not None or self._too_large:
            return b""
        if self._streams:
            rest = self._decoder.rest()
            return self._assembled() if not self._agent_streams else rest
        body = self._api.parse_body(bytes(self.body))
        if body is not None:
            try:
                self.reply.take_body(body)
            except (AttributeError, LookupError, TypeError, ValueError):
                self.odd_chunks += 1
        else:
            self.failed = self.failed or "MalformedBody: the response is no JSON object"
        if not self.holds_body:
            return b""
        if body is None or self._script is None:
            return bytes(self.body)
        return self._api.dump_body(self._scripted(body))

    def _assembled(self) -> bytes:
        reply = self.reply
        if reply.error_said is not None:
            return self._api.dump_body(reply.error_said)
        body = self._api.body_of(self._last_chunk, reply)
        return self._api.dump_body(self._scripted(body))

    def _scripted(self, body: Json) -> Json:
        script = self._script
        if script is None:
            return body
        return self._api.rewrite_body(body, script.said, script.ordinal, self._adaptation.choices)

    @property
    def ended(self) -> bool:
        """Whether the engine came to its end, as far as the client read it."""
        return bool(self.reply.done or self.reply.finish_reasons)
