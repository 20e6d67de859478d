"""The OpenAI protocol as llama.cpp's server speaks it.

`timings` goes with the last chunk of a stream and with every body: milliseconds, to the microsecond. `prompt_ms` is
the time of the prompt tokens that were computed (`prompt_n`; `cache_n` were there already) up to the first token, and
`predicted_ms` from there to the last. There is no time in the queue: a request that waits for a slot waits untold.

It answers to any model's name, takes `ignore_eos` and no `min_tokens`, checks no ranges, and adopts no request id.
Written from the server's sources and README.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from profiler.engines.sim import plain
from profiler.engines.sim.dialects import OWNER, Dialect, Encoder, Page
from profiler.engines.sim.gauges import LlamaGauges
from profiler.engines.sim.plain_request import read_chat, read_completion
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.prompt import tokenise
from profiler.engines.sim.reading import Fields
from profiler.engines.sim.request import Ask, BadRequest, Json, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.traits import Traits

BUILD = "b7000-sim"
_LIMITS = ("max_tokens", "max_completion_tokens")
_NS_PER_US = 1000
_US_PER_MS = 1000.0
_MS_PER_S = 1000.0


def refuse(message: str, _field: str | None = None) -> BadRequest:
    """The server's error for a request that is wrong."""
    return BadRequest(message, type="invalid_request_error")


class LlamaCppDialect(Dialect):
    """Chats and completions, with `timings`."""

    def __init__(self, model: str, profile: Profile, traits: Traits) -> None:
        super().__init__(model, profile, traits)
        self.gauges = LlamaGauges()
        self._slots = profile.max_running

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:
        """What it does not know it does not look at."""
        fields = Fields(body, refuse)
        fields.body = {name: value for name, value in fields.body.items() if not _says_nothing(name, value)}
        known: dict[str, Any] = {
            "id": f"chatcmpl-{request_id}",
            "model": fields.text("model") or self.served.model,
            "room": self._room,
        }
        ask = (
            read_chat(fields, refuse, **known)
            if operation == "chat"
            else read_completion(fields, refuse, default_tokens=None, **known)
        )
        return replace(ask, ignore_eos=fields.flag("ignore_eos"), schema=_schema(fields, ask.schema))

    def _room(self, prompt_tokens: int) -> int:
        limit = self.served.context_tokens
        if prompt_tokens >= limit:
            raise BadRequest(
                f"the request exceeds the available context size. try increasing the context size or enable "
                f"context shift ({prompt_tokens} tokens, {limit} available)",
                type="exceed_context_size_error",
                more={"n_prompt_tokens": prompt_tokens, "n_ctx": limit},
            )
        return limit - prompt_tokens

    def _style(self, ask: Ask) -> plain.Style:
        chat = ask.operation == "chat"
        return plain.Style(
            about={"system_fingerprint": BUILD},
            choice={} if chat else {"logprobs": None},
            usage_with_finish=not chat,
            call_id=lambda long: long[-32:],
            opening={"role": "assistant", "content": None},
            reasoning="reasoning_content",
            last=lambda ask, answer, spent: {"timings": timings_of(ask, answer, spent)},
        )

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """See `plain.Stream`."""
        return plain.Stream(ask, answer, self._style(ask), created=created, traits=self.traits)

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """No headers of its own."""
        told = plain.body_of(ask, answer, spent, self._style(ask), created=created, traits=self.traits)
        return orjson.dumps(told), {}

    def unreadable(self, path: str, why: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """Its JSON library's exception, as an error of the server."""
        return BadRequest(f"[json.exception.parse_error.101] parse error: {why}", status=500, type="server_error")

    def overloaded(self) -> BadRequest:
        """It queues by itself; this is for a profile that sets a limit."""
        return BadRequest("no slot available", status=503, type="unavailable_error")

    def unauthorised(self) -> BadRequest:
        """A missing key and a wrong one look alike."""
        return BadRequest("Invalid API Key", status=401, type="authentication_error")

    def not_found(self, method: str, path: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """In the words of a server of files."""
        return BadRequest("File Not Found", status=404, type="not_found_error")

    def refusal(self, refusal: BadRequest, path: str) -> Page:  # noqa: ARG002 - the same for all
        """Its error object."""
        return Page(orjson.dumps(_error(refusal)))

    def failing(self, ask: Ask, message: str) -> list[bytes]:
        """An error event, and nothing after it."""
        return [b"data: " + self.failed_body(ask, message) + self.traits.line_end * 2]

    def failed_body(self, ask: Ask, message: str) -> bytes:  # noqa: ARG002 - the same for all
        """The error object."""
        return orjson.dumps(_error(BadRequest(message, status=500, type="server_error")))

    def page(self, path: str) -> Page | None:
        """Health, properties and the model."""
        if path in ("/health", "/v1/health"):
            return Page(b'{"status":"ok"}')
        if path == "/props":
            return Page(orjson.dumps(self._props()))
        if path in ("/v1/models", "/models"):
            meta = {"vocab_type": 2, "n_vocab": 2**17, "n_ctx_train": self.served.context_tokens}
            card = {"id": self.served.model, "object": "model", "created": 0, "owned_by": OWNER, "meta": meta}
            return Page(orjson.dumps({"object": "list", "data": [card]}))
        return None

    def _props(self) -> Json:
        return {
            "default_generation_settings": {"n_ctx": self.served.context_tokens},
            "total_slots": self._slots,
            "model_alias": self.served.model,
            "model_path": f"{self.served.model}.gguf",
            "modalities": {"vision": False, "audio": False},
            "build_info": BUILD,
        }

    def query(self, path: str) -> Callable[[Any], bytes] | None:
        """Tokens of a text."""
        return _tokens if path == "/tokenize" else None


def timings_of(ask: Ask, answer: Answer, spent: Spent) -> Json:
    """The server's own timing; a rate without time is not told."""
    computed, predicted = len(ask.prompt) - spent.cached_tokens, len(answer.pieces)
    prompt_ms = spent.prefill_ns // _NS_PER_US / _US_PER_MS
    predicted_ms = spent.decode_ns // _NS_PER_US / _US_PER_MS
    return {
        "cache_n": spent.cached_tokens,
        "prompt_n": computed,
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": prompt_ms / computed if computed else None,
        "prompt_per_second": computed / prompt_ms * _MS_PER_S if prompt_ms else None,
        "predicted_n": predicted,
        "predicted_ms": predicted_ms,
        "predicted_per_token_ms": predicted_ms / predicted,
        "predicted_per_second": predicted / predicted_ms * _MS_PER_S if predicted_ms else None,
    }


def _says_nothing(name: str, value: Any) -> bool:
    """No tools, and a limit below 0, which is none."""
    return value == [] if name == "tools" else name in _LIMITS and type(value) is int and value < 0


def _schema(fields: Fields, asked: Json | None) -> Json | None:
    """Its own way to ask for JSON, beside OpenAI's."""
    own = fields.object("json_schema")
    return own or asked


def _tokens(body: Any) -> bytes:
    text = Fields(body, refuse).text("content")
    return orjson.dumps({"tokens": [number % 2**17 for number in tokenise(text or "")]})


def _error(error: BadRequest) -> Json:
    return {"error": {"code": error.status, "message": error.message, "type": error.type, **error.more}}
