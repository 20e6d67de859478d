"""The OpenAI protocol as the hosted API speaks it: nothing of an engine's own, and nothing that it does not know.

A field that is not in the API's reference is refused with 400, so that what works with a lenient server and fails
there is seen here. Usage comes in a stream only if asked for; there are no timings, no output length can be forced,
and no request id of the client's is adopted.

Written from the API's reference (chat completions, completions, models, error codes).
"""

from __future__ import annotations

from typing import Any

import orjson

from profiler.engines.sim import plain
from profiler.engines.sim.dialects import OWNER, Dialect, Encoder, Page
from profiler.engines.sim.plain_request import read_chat, read_completion
from profiler.engines.sim.reading import Fields
from profiler.engines.sim.request import Ask, BadRequest, Json, Served, Spent
from profiler.engines.sim.speech import Answer

_COMPLETION_TOKENS = 16
_COMMON = (  # noqa: SIM905 - as text it can be read
    "model frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stop stream stream_options "
    "temperature top_p user"
).split()
_CHAT = (  # noqa: SIM905 - likewise
    "messages audio function_call functions max_completion_tokens metadata modalities moderation parallel_tool_calls "
    "prediction prompt_cache_key prompt_cache_retention reasoning_effort response_format safety_identifier "
    "service_tier store tool_choice tools top_logprobs verbosity web_search_options"
).split()
CHAT_FIELDS = frozenset([*_COMMON, *_CHAT])
"""All that `/v1/chat/completions` takes."""
COMPLETION_FIELDS = frozenset([*_COMMON, "prompt", "best_of", "echo", "suffix"])
"""All that `/v1/completions` takes."""
_KIND = "invalid_request_error"


def refuse(message: str, field: str | None = None, *, code: str | None = None, status: int = 400) -> BadRequest:
    """The API's error for a request that is wrong."""
    return BadRequest(message, status=status, type=_KIND, param=field, code=code)


class OpenAiDialect(Dialect):
    """Chats and completions."""

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:
        """As the reference has it."""
        fields = Fields(body, refuse)
        chat = operation == "chat"
        _check_fields(fields, CHAT_FIELDS if chat else COMPLETION_FIELDS)
        _check_model(fields, self.served)
        _check_sampling(fields)
        _check_stream_options(fields)
        known: dict[str, Any] = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{request_id}",
            "model": self.served.model,
            "room": self._room,
        }
        if chat:
            return read_chat(fields, refuse, **known)
        return read_completion(fields, refuse, default_tokens=_COMPLETION_TOKENS, **known)

    def _room(self, prompt_tokens: int) -> int:
        limit = self.served.context_tokens
        if prompt_tokens >= limit:
            raise refuse(
                f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
                f"{prompt_tokens} tokens. Please reduce the length of the messages.",
                "messages",
                code="context_length_exceeded",
            )
        return limit - prompt_tokens

    def _style(self, ask: Ask) -> plain.Style:
        chat = ask.operation == "chat"
        return plain.Style(
            about={"service_tier": "default", "system_fingerprint": None} if chat else {},
            choice={"logprobs": None},
            opening={"role": "assistant", "content": "", "refusal": None},
            message={"refusal": None, "annotations": []},
            before_usage={"usage": None},
            call_id=lambda long: f"call_{long[-24:]}",
            usage=_usage if chat else lambda ask, answer, _spent: plain.counted(ask, answer),
        )

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """See `plain.Stream`."""
        return plain.Stream(ask, answer, self._style(ask), created=created, traits=self.traits)

    def stream_headers(self, ask: Ask) -> dict[str, str]:
        """An id of the server's own."""
        return {"x-request-id": f"req_{ask.id.rpartition('-')[2]}"}

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """With an id of the server's own."""
        told = plain.body_of(ask, answer, spent, self._style(ask), created=created, traits=self.traits)
        return orjson.dumps(told), self.stream_headers(ask)

    def unreadable(self, path: str, why: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """Without saying where it goes wrong."""
        return refuse("We could not parse the JSON body of your request. The API expects a JSON payload.")

    def overloaded(self) -> BadRequest:
        """Its rate limit."""
        return BadRequest("Rate limit reached", status=429, type="requests", code="rate_limit_exceeded")

    def unauthorised(self) -> BadRequest:
        """A missing key and a wrong one look alike here."""
        return refuse("Incorrect API key provided.", code="invalid_api_key", status=401)

    def not_found(self, method: str, path: str) -> BadRequest:
        """With the path in it."""
        return refuse(f"Invalid URL ({method} {path})", status=404)

    def refusal(self, refusal: BadRequest, path: str) -> Page:  # noqa: ARG002 - the same for all
        """The API's error object."""
        return Page(orjson.dumps(_error(refusal)))

    def failing(self, ask: Ask, message: str) -> list[bytes]:  # noqa: ARG002 - the same for all
        """An error event, and nothing after it."""
        return [b"data: " + self._failed(message) + self.traits.line_end * 2]

    def failed_body(self, ask: Ask, message: str) -> bytes:  # noqa: ARG002 - the same for all
        """The error object."""
        return self._failed(message)

    def _failed(self, message: str) -> bytes:
        return orjson.dumps(_error(BadRequest(message, status=500, type="server_error")))

    def page(self, path: str) -> Page | None:
        """The models, and one of them."""
        card = {"id": self.served.model, "object": "model", "created": 0, "owned_by": OWNER}
        if path == "/v1/models":
            return Page(orjson.dumps({"object": "list", "data": [card]}))
        return Page(orjson.dumps(card)) if path == f"/v1/models/{self.served.model}" else None


def _check_fields(fields: Fields, known: frozenset[str]) -> None:
    odd = [name for name in fields.body if name not in known]
    if odd:
        plural = "s" if len(odd) > 1 else ""
        raise refuse(f"Unrecognized request argument{plural} supplied: {', '.join(odd)}")


def _check_model(fields: Fields, served: Served) -> None:
    model = fields.text("model")
    if not model:
        raise refuse("you must provide a model parameter")
    if model != served.model:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise refuse(message, code="model_not_found", status=404)


def _check_sampling(fields: Fields) -> None:
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = fields.number(name)
        if value is None or 0 <= value <= most:
            continue
        side, code = ("minimum", "decimal_below_min_value") if value < 0 else ("maximum", "decimal_above_max_value")
        expected = f"a value {'>= 0' if value < 0 else f'<= {most}'}"
        raise refuse(f"Invalid '{name}': decimal beyond the {side}. Expected {expected}, got {value}.", name, code=code)


def _check_stream_options(fields: Fields) -> None:
    options = fields.object("stream_options")
    if options and not fields.flag("stream"):
        raise refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    odd = next((name for name in options if name not in ("include_usage", "include_obfuscation")), None)
    if odd is not None:
        name = f"stream_options.{odd}"
        raise refuse(f"Unknown parameter: '{name}'.", name, code="unknown_parameter")


def _usage(ask: Ask, answer: Answer, spent: Spent) -> Json:
    """With the details that the API has of any model."""
    return {
        **plain.counted(ask, answer),
        "prompt_tokens_details": {"cached_tokens": spent.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": plain.thought_tokens(ask, answer),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _error(error: BadRequest) -> Json:
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
