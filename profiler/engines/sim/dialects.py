"""One face for the dialects: which paths there are, how requests are read, how answers are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from profiler.engines.sim.gauges import Gauges, NoGauges
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.request import Ask, BadRequest, Served, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.traits import Traits

OWNER = "sim"  # of the model: what tells a client, and a reader of its records, that this is no real engine
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

_MODULES = {
    "vllm": "vllm_dialect:VllmDialect",
    "tgi": "tgi_dialect:TgiDialect",
    "ollama": "ollama_dialect:OllamaDialect",
    "openai": "openai_dialect:OpenAiDialect",
    "llama.cpp": "llamacpp_dialect:LlamaCppDialect",
}
DIALECTS = tuple(_MODULES)
"""The names of the dialects."""


class Encoder(Protocol):
    """Encodes one streamed answer as events."""

    def opening(self) -> list[bytes]:
        """Before the first token."""

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """For the pieces from `begin` up to `end`."""

    def closing(self, spent: Spent) -> list[bytes]:
        """After the last token."""


class Page(NamedTuple):
    """An answer that takes no generation."""

    body: bytes
    content_type: str = JSON


class Dialect(ABC):
    """What the server needs of a protocol. What is here is what most servers do; each dialect says where it differs."""

    most_concurrent: int | None = None
    """Requests beyond which the server refuses more, where the profile does not say; None queues them."""
    adopts_request_id = False
    """Whether an answer's id is made from the client's `X-Request-Id`."""
    loads_model = False
    """Whether the model is loaded by the first request that needs it."""

    def __init__(self, model: str, profile: Profile, traits: Traits) -> None:
        self.served = Served(model, profile.max_model_tokens)
        self.traits = traits
        self.gauges: Gauges = NoGauges()

    def operation(self, path: str) -> str | None:
        """What a POST to a path asks for; None if nothing is generated there."""
        return {"/v1/chat/completions": "chat", "/v1/completions": "completion"}.get(path)

    @abstractmethod
    def ask(self, operation: str, body: Any, request_id: str) -> Ask:
        """Read a request's body.

        Raises:
            BadRequest: it is refused.
        """

    @abstractmethod
    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """For a streamed answer."""

    def stream_type(self, ask: Ask) -> str:  # noqa: ARG002 - the same for all
        """The content type of a streamed answer."""
        return EVENTS

    def stream_headers(self, ask: Ask) -> dict[str, str]:  # noqa: ARG002 - none
        """Other headers that go with it."""
        return {}

    @abstractmethod
    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """A whole answer, and headers that go with it.

        Raises:
            BadRequest: the answer cannot be told in this dialect.
        """

    def only(self, ask: Ask) -> bytes:  # noqa: ARG002 - none
        """The answer to a request that is only about the model's being loaded: nothing, where there are none such."""
        return b""

    def unreadable(self, path: str, why: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """The error for a body that is no JSON."""
        return BadRequest(f"the body is no JSON: {why}")

    def overloaded(self) -> BadRequest:
        """The error for a request too many."""
        return BadRequest("Model is overloaded", status=429, type="overloaded")

    def unauthorised(self) -> BadRequest:
        """The error for a request without the key."""
        return BadRequest("Unauthorized", status=401, type="Unauthorized")

    def not_found(self, method: str, path: str) -> BadRequest:  # noqa: ARG002 - the same for all
        """The error for a path that there is not."""
        return BadRequest("Not Found", status=404, type="NotFoundError")

    @abstractmethod
    def refusal(self, refusal: BadRequest, path: str) -> Page:
        """The body of an error."""

    def refused_stream(self, operation: str, body: Any, refusal: BadRequest) -> list[bytes] | None:  # noqa: ARG002
        """The events of a 200 that says so, where the dialect refuses a stream in such a way."""
        return None

    @abstractmethod
    def failing(self, ask: Ask, message: str) -> list[bytes]:
        """How a stream ends whose engine fails in the middle, inside a 200."""

    @abstractmethod
    def failed_body(self, ask: Ask, message: str) -> bytes:
        """An error in place of an answer, inside a 200."""

    @abstractmethod
    def page(self, path: str) -> Page | None:
        """What a GET of a path answers; None if there is no such path."""

    def query(self, path: str) -> Callable[[Any], bytes] | None:  # noqa: ARG002 - none
        """What answers a POST to a path without generating anything, given the body; None if there is no such path.

        What it returns may raise BadRequest.
        """
        return None


def make_dialect(name: str, model: str, profile: Profile, traits: Traits) -> Dialect:
    """The dialect of a name, one of `DIALECTS`."""
    module, _, kind = _MODULES[name].partition(":")
    made: type[Dialect] = getattr(import_module(f"profiler.engines.sim.{module}"), kind)
    return made(model, profile, traits)
