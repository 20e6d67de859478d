"""Ollama's own protocol and its `/v1`, behind the face that the server knows.

`/v1` has neither durations nor a choice of tools, its ids are of three digits and not unique, and an engine that fails
in the middle of a stream leaves an empty chunk there and no [DONE].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

import orjson

from profiler.engines.sim import ollama, plain
from profiler.engines.sim.dialects import OWNER, TEXT, Dialect, Encoder, Page
from profiler.engines.sim.ollama_request import check_model, parse_chat, parse_completion, parse_native, refuse
from profiler.engines.sim.reading import Fields
from profiler.engines.sim.request import Ask, BadRequest, Json, Spent
from profiler.engines.sim.speech import Answer

LINES = "application/x-ndjson"
WHOLE = "application/json; charset=utf-8"
_OPERATIONS = {
    "/api/chat": "native chat",
    "/api/generate": "native generate",
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
}
_IDS = 999
_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_CHATS = plain.Style(
    about={"system_fingerprint": "fp_ollama"},
    every={"role": "assistant", "content": ""},
    empty={"role": "assistant", "content": ""},
    whole_calls=True,
    call_index=True,
    call_id=ollama.call_id,
    no_content="",
)
_COMPLETIONS = replace(_CHATS, before_usage={"usage": _NO_USAGE})


class OllamaDialect(Dialect):
    """`/api/chat`, `/api/generate`, chats and completions."""

    most_concurrent = 512  # OLLAMA_MAX_QUEUE
    loads_model = True

    def operation(self, path: str) -> str | None:
        """Native, and OpenAI's."""
        return _OPERATIONS.get(path)

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:
        """See `ollama_request`."""
        _, native, kind = operation.rpartition(" ")
        if native:
            return parse_native(kind, body, self.served)
        number = crc32(request_id.encode()) % _IDS
        if operation == "chat":
            return parse_chat(body, f"chatcmpl-{number}", self.served)
        return parse_completion(body, f"cmpl-{number}", self.served)

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """See `ollama.Stream` and `plain.Stream`."""
        if ask.native:
            return ollama.Stream(ask, answer, traits=self.traits)
        return plain.Stream(ask, answer, _style(ask), created=created, traits=self.traits)

    def stream_type(self, ask: Ask) -> str:
        """Lines of JSON, or events."""
        return LINES if ask.native else "text/event-stream"

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """No headers of its own."""
        if ask.native:
            return orjson.dumps(ollama.body_of(ask, answer, spent, traits=self.traits)), {"Content-Type": WHOLE}
        told = plain.body_of(ask, answer, spent, _style(ask), created=created, traits=self.traits)
        return orjson.dumps(told), {}

    def only(self, ask: Ask) -> bytes:
        """That it is loaded, or let go."""
        return orjson.dumps(ollama.only_of(ask))

    def unreadable(self, path: str, why: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """What Go says of it."""
        return refuse(f"invalid JSON: {why}")

    def overloaded(self) -> BadRequest:
        """Its queue is long, and ends."""
        return BadRequest("server busy, please try again.  maximum pending requests exceeded", status=503)

    def unauthorised(self) -> BadRequest:
        """By itself it asks for no key; this is what its hosted sister says."""
        return BadRequest("unauthorized", status=401)

    def not_found(self, method: str, path: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """Its framework's, in plain text."""
        return BadRequest("404 page not found", status=404, type=TEXT)

    def refusal(self, refusal: BadRequest, path: str) -> Page:
        """A text in `error`; under `/v1` an object as OpenAI's."""
        if refusal.type == TEXT:
            return Page(refusal.message.encode(), TEXT)
        if not path.startswith("/v1"):
            return Page(orjson.dumps({"error": refusal.message}), WHOLE)
        kind = _TYPES.get(refusal.status, "api_error")
        error = {"message": refusal.message, "type": kind, "param": None, "code": None}
        return Page(orjson.dumps({"error": error}))

    def failing(self, ask: Ask, message: str) -> list[bytes]:
        """A line that says so; under `/v1` it is lost, and what comes is an empty chunk."""
        if ask.native:
            return [orjson.dumps({"error": message}) + self.traits.line_end]
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        if ask.operation == "completion":
            choice = {"index": 0, "text": "", "finish_reason": None}
        about = {"id": ask.id, "object": "chat.completion.chunk", "created": 0, "model": "", **_CHATS.about}
        return [b"data: " + orjson.dumps({**about, "choices": [choice]}) + self.traits.line_end * 2]

    def failed_body(self, ask: Ask, message: str) -> bytes:  # noqa: ARG002 - the same for all
        """The error object."""
        return orjson.dumps({"error": message})

    def page(self, path: str) -> Page | None:
        """That it runs, its version, and the model."""
        if path == "/":
            return Page(b"Ollama is running", TEXT)
        if path == "/api/version":
            return Page(orjson.dumps({"version": ollama.VERSION}))
        if path == "/api/tags":
            return Page(orjson.dumps({"models": [self._card()]}), WHOLE)
        if path == "/v1/models":
            card = {"id": self._tagged, "object": "model", "created": 0, "owned_by": OWNER}
            return Page(orjson.dumps({"object": "list", "data": [card]}))
        return None

    def query(self, path: str) -> Callable[[Any], bytes] | None:
        """What is known of the model."""
        return self._show if path == "/api/show" else None

    @property
    def _tagged(self) -> str:
        name = self.served.model
        return name if ":" in name else f"{name}:latest"

    def _card(self) -> Json:
        digest = f"{crc32(self._tagged.encode()):08x}" * 8
        common = {"name": self._tagged, "model": self._tagged, "modified_at": ollama.moment(0)}
        return {**common, "size": 0, "digest": digest, "details": _details()}

    def _show(self, body: Any) -> bytes:
        check_model(Fields(body, refuse), self.served)
        return orjson.dumps(
            {
                "modelfile": "",
                "template": "{{ .Prompt }}",
                "details": _details(),
                "model_info": {"general.architecture": OWNER, f"{OWNER}.context_length": self.served.context_tokens},
                "capabilities": ["completion", "tools"],
                "modified_at": ollama.moment(0),
            }
        )


def _details() -> Json:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": OWNER,
        "families": [OWNER],
        "parameter_size": "",
        "quantization_level": "",
    }


def _style(ask: Ask) -> plain.Style:
    return _CHATS if ask.operation == "chat" else _COMPLETIONS
