"""TGI's protocols behind the face that the server knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from profiler.engines.sim import tgi
from profiler.engines.sim.dialects import OWNER, TEXT, Dialect, Encoder, Page
from profiler.engines.sim.gauges import TgiGauges
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.request import Ask, BadRequest, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.tgi_request import (
    UNPARSABLE,
    UNREADABLE,
    parse_chat,
    parse_completion,
    parse_generate,
    tokens_of,
)
from profiler.engines.sim.traits import Traits

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/": "compatible",
    "/generate": "generate",
    "/generate_stream": "generate_stream",
}
_UNPROCESSABLE = 422


class TgiDialect(Dialect):
    """`/generate`, `/generate_stream`, `/` for either, chats and completions."""

    most_concurrent = tgi.MAX_CONCURRENT

    def __init__(self, model: str, profile: Profile, traits: Traits) -> None:
        super().__init__(model, profile, traits)
        self.gauges = TgiGauges()
        self._most = profile.max_concurrent or tgi.MAX_CONCURRENT

    def operation(self, path: str) -> str | None:
        """Native, and OpenAI's."""
        return _OPERATIONS.get(path)

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:  # noqa: ARG002 - TGI has no request ids
        """See `tgi_request`."""
        if operation == "chat":
            return parse_chat(body, self.served)
        if operation == "completion":
            return parse_completion(body, self.served)
        if operation == "compatible":
            streams = _wants_stream(body)
            return replace(parse_generate(body, self.served, stream=streams), listed=not streams)
        return parse_generate(body, self.served, stream=operation == "generate_stream")

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """See `tgi`."""
        if ask.operation == "generate":
            return tgi.GenerateStream(ask, answer, traits=self.traits)
        stream = tgi.ChatStream if ask.operation == "chat" else tgi.CompletionStream
        return stream(ask, answer, created=created, traits=self.traits)

    def stream_headers(self, ask: Ask) -> dict[str, str]:
        """No timing."""
        return {**tgi.stream_headers(ask), "x-accel-buffering": "no"}

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """With timing in headers."""
        if ask.operation == "generate":
            body: Any = tgi.generate_body(ask, answer)
            body = [body] if ask.listed else body
        elif ask.operation == "chat":
            body = tgi.chat_body(ask, answer, created=created)
        else:
            body = tgi.completion_body(ask, answer, created=created)
        return orjson.dumps(body), tgi.headers_of(ask, answer, spent)

    def unreadable(self, path: str, why: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """Its framework's answer, in plain text."""
        return BadRequest(f"{UNPARSABLE}: {why}", status=400)

    def overloaded(self) -> BadRequest:
        """At once, however short the wait would be."""
        return tgi.overloaded()

    def refusal(self, refusal: BadRequest, path: str) -> Page:  # noqa: ARG002 - the same for all
        """`error` and `error_type`; plain text where its framework refuses before TGI sees the request."""
        if refusal.message.startswith((UNREADABLE, UNPARSABLE)):
            return Page(refusal.message.encode(), TEXT)
        return Page(orjson.dumps(tgi.error_of(refusal)))

    def refused_stream(self, operation: str, body: Any, refusal: BadRequest) -> list[bytes] | None:
        """A request that can be read but not served is told so inside a 200, when it asked for a stream."""
        streams = operation == "generate_stream" or (operation != "generate" and _wants_stream(body))
        if not streams or refusal.status != _UNPROCESSABLE or refusal.message.startswith(UNREADABLE):
            return None
        return tgi.error_events(refusal, chat=operation == "chat", traits=self.traits)

    def failing(self, ask: Ask, message: str) -> list[bytes]:
        """An error event; in a chat the end after it."""
        refusal = tgi.generation_failed(message)
        return tgi.error_events(refusal, chat=ask.operation == "chat", traits=self.traits)

    def failed_body(self, ask: Ask, message: str) -> bytes:  # noqa: ARG002 - the same for both
        """The error object."""
        return orjson.dumps(tgi.error_of(tgi.generation_failed(message)))

    def page(self, path: str) -> Page | None:
        """Health, `/info` and the model."""
        if path in ("/health", "/ping"):
            return Page(b"")
        if path in ("/info", "/"):
            return Page(orjson.dumps(tgi.info_of(self.served, self._most)))
        if path == "/v1/models":
            listed = tgi.models_of(self.served)
            for card in listed["data"]:
                card["owned_by"] = OWNER
            return Page(orjson.dumps(listed))
        return None

    def query(self, path: str) -> Callable[[Any], bytes] | None:
        """Tokens of a text."""
        return (lambda body: orjson.dumps(tokens_of(body))) if path == "/tokenize" else None


def _wants_stream(body: Any) -> bool:
    return isinstance(body, dict) and body.get("stream") is True
