"""One face for the dialects: which paths there are, how requests are read, how answers are written."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from profiler.engines.sim import openai
from profiler.engines.sim.gauges import Gauges, VllmGauges
from profiler.engines.sim.openai_request import parse_chat, parse_completion, refuse
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.request import Ask, BadRequest, Served, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.traits import Traits

OWNER = "sim"  # of the model: what tells a client, and a reader of its records, that this is no real engine


class Encoder(Protocol):
    """Encodes one streamed answer as server-sent events."""

    def opening(self) -> list[bytes]:
        """Before the first token."""

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """For the pieces from `begin` up to `end`."""

    def closing(self, spent: Spent) -> list[bytes]:
        """After the last token."""


class Dialect(Protocol):
    """What the server needs of a protocol."""

    gauges: Gauges

    def operation(self, path: str) -> str | None:
        """What a POST to a path asks for; None if there is no such path."""

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:
        """Read a request's body.

        Raises:
            BadRequest: it is refused.
        """

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """For a streamed answer."""

    def stream_headers(self, ask: Ask) -> dict[str, str]:
        """Headers that go with it."""

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """A whole answer, and headers that go with it.

        Raises:
            BadRequest: the answer cannot be told in this dialect.
        """

    def refusal(self, refusal: BadRequest) -> bytes:
        """The body of an error."""

    def refused_stream(self, operation: str, body: Any, refusal: BadRequest) -> list[bytes] | None:
        """The events of a 200 that says so, where the dialect refuses a stream in such a way."""

    def failing(self, ask: Ask, message: str) -> list[bytes]:
        """How a stream ends whose engine fails in the middle, inside a 200."""

    def failed_body(self, ask: Ask, message: str) -> bytes:
        """An error in place of an answer, inside a 200."""

    def page(self, path: str) -> bytes | None:
        """What a GET of a path answers; None if there is no such path."""


class VllmDialect:
    """The OpenAI protocol as vLLM speaks it."""

    def __init__(self, model: str, profile: Profile, traits: Traits) -> None:
        self._served = Served(model, profile.max_model_tokens)
        self._traits = traits
        self.gauges: Gauges = VllmGauges(model)

    def operation(self, path: str) -> str | None:
        """Chats and completions."""
        return {"/v1/chat/completions": "chat", "/v1/completions": "completion"}.get(path)

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:
        """See `openai_request`."""
        return (parse_chat if operation == "chat" else parse_completion)(body, request_id, self._served)

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """See `openai.Stream`."""
        return openai.Stream(ask, answer, created=created, traits=self._traits)

    def stream_headers(self, ask: Ask) -> dict[str, str]:  # noqa: ARG002 - the same for all
        """None of its own."""
        return {}

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """No headers of its own."""
        return orjson.dumps(openai.body_of(ask, answer, spent, created=created, traits=self._traits)), {}

    def refusal(self, refusal: BadRequest) -> bytes:
        """VLLM's error object."""
        return orjson.dumps(openai.error_of(refusal))

    def refused_stream(self, operation: str, body: Any, refusal: BadRequest) -> list[bytes] | None:  # noqa: ARG002
        """Never: the status says it."""
        return None

    def failing(self, ask: Ask, message: str) -> list[bytes]:  # noqa: ARG002 - the same for all
        """An error event, then the end."""
        return openai.error_events(message, self._traits)

    def failed_body(self, ask: Ask, message: str) -> bytes:  # noqa: ARG002 - the same for all
        """The error object."""
        return self.refusal(refuse(message))

    def page(self, path: str) -> bytes | None:
        """Health, version and the model."""
        if path in ("/health", "/ping"):
            return b""
        if path == "/version":
            return orjson.dumps(openai.version())
        if path == "/v1/models":
            listed = openai.models_of(self._served, 0)
            for card in listed["data"]:
                card["owned_by"] = OWNER
            return orjson.dumps(listed)
        return None


def make_dialect(name: str, model: str, profile: Profile, traits: Traits) -> Dialect:
    """The dialect of a name, `vllm` or `tgi`."""
    if name == "tgi":
        from profiler.engines.sim.tgi_dialect import TgiDialect

        return TgiDialect(model, profile, traits)
    return VllmDialect(model, profile, traits)
