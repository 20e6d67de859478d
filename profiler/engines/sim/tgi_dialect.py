"""TGI's two protocols behind the face that the server knows."""

from __future__ import annotations

from typing import Any

import orjson

from profiler.engines.sim import tgi
from profiler.engines.sim.dialects import OWNER, Encoder
from profiler.engines.sim.gauges import Gauges, TgiGauges
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.request import Ask, BadRequest, Served, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.tgi_request import parse_chat, parse_generate
from profiler.engines.sim.traits import Traits

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/generate": "generate",
    "/generate_stream": "generate_stream",
}
_UNPROCESSABLE = 422


class TgiDialect:
    """`/generate`, `/generate_stream` and chat, as text-generation-inference speaks them."""

    def __init__(self, model: str, profile: Profile, traits: Traits) -> None:
        self._served = Served(model, profile.max_model_tokens)
        self._traits = traits
        self.gauges: Gauges = TgiGauges()

    def operation(self, path: str) -> str | None:
        """Native and chat."""
        return _OPERATIONS.get(path)

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:  # noqa: ARG002 - TGI has no request ids
        """See `tgi_request`."""
        if operation == "chat":
            return parse_chat(body, self._served)
        return parse_generate(body, self._served, stream=operation == "generate_stream")

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """See `tgi`."""
        if ask.operation == "chat":
            return tgi.ChatStream(ask, answer, created=created, traits=self._traits)
        return tgi.GenerateStream(ask, answer, traits=self._traits)

    def stream_headers(self, ask: Ask) -> dict[str, str]:
        """No timing."""
        return tgi.stream_headers(ask)

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """With timing in headers."""
        chat = ask.operation == "chat"
        body = tgi.chat_body(ask, answer, created=created) if chat else tgi.generate_body(ask, answer)
        return orjson.dumps(body), tgi.headers_of(ask, answer, spent)

    def refusal(self, refusal: BadRequest) -> bytes:
        """`error` and `error_type`."""
        return orjson.dumps(tgi.error_of(refusal))

    def refused_stream(self, operation: str, body: Any, refusal: BadRequest) -> list[bytes] | None:
        """A request that can be read but not served is told so inside a 200, when it asked for a stream."""
        streams = operation == "generate_stream" or (isinstance(body, dict) and body.get("stream") is True)
        if not streams or refusal.status != _UNPROCESSABLE or refusal.message.startswith("Failed to deserialize"):
            return None
        return tgi.error_events(refusal, chat=operation == "chat", traits=self._traits)

    def failing(self, ask: Ask, message: str) -> list[bytes]:
        """An error event; in a chat the end after it."""
        refusal = tgi.generation_failed(message)
        return tgi.error_events(refusal, chat=ask.operation == "chat", traits=self._traits)

    def failed_body(self, ask: Ask, message: str) -> bytes:  # noqa: ARG002 - the same for both
        """The error object."""
        return self.refusal(tgi.generation_failed(message))

    def page(self, path: str) -> bytes | None:
        """Health, `/info` and the model."""
        if path in ("/health", "/ping"):
            return b""
        if path in ("/info", "/"):
            return orjson.dumps(tgi.info_of(self._served))
        if path == "/v1/models":
            listed = tgi.models_of(self._served)
            for card in listed["data"]:
                card["owned_by"] = OWNER
            return orjson.dumps(listed)
        return None
