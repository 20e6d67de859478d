"""The OpenAI protocol as vLLM speaks it, behind the face that the server knows."""

from __future__ import annotations

from typing import Any

import orjson

from profiler.engines.sim import openai
from profiler.engines.sim.dialects import OWNER, Dialect, Encoder, Page
from profiler.engines.sim.gauges import VllmGauges
from profiler.engines.sim.openai_request import parse_chat, parse_completion, refuse
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.request import Ask, BadRequest, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.traits import Traits


class VllmDialect(Dialect):
    """Chats and completions, with vLLM's in-band metrics."""

    adopts_request_id = True

    def __init__(self, model: str, profile: Profile, traits: Traits) -> None:
        super().__init__(model, profile, traits)
        self.gauges = VllmGauges(model)

    def ask(self, operation: str, body: Any, request_id: str) -> Ask:
        """See `openai_request`."""
        return (parse_chat if operation == "chat" else parse_completion)(body, request_id, self.served)

    def encoder(self, ask: Ask, answer: Answer, created: int) -> Encoder:
        """See `openai.Stream`."""
        return openai.Stream(ask, answer, created=created, traits=self.traits)

    def body(self, ask: Ask, answer: Answer, spent: Spent, created: int) -> tuple[bytes, dict[str, str]]:
        """No headers of its own."""
        return orjson.dumps(openai.body_of(ask, answer, spent, created=created, traits=self.traits)), {}

    def refusal(self, refusal: BadRequest, path: str) -> Page:  # noqa: ARG002 - the same for all
        """VLLM's error object."""
        return Page(orjson.dumps(openai.error_of(refusal)))

    def failing(self, ask: Ask, message: str) -> list[bytes]:  # noqa: ARG002 - the same for all
        """An error event, then the end."""
        return openai.error_events(message, self.traits)

    def failed_body(self, ask: Ask, message: str) -> bytes:  # noqa: ARG002 - the same for all
        """The error object."""
        return orjson.dumps(openai.error_of(refuse(message)))

    def page(self, path: str) -> Page | None:
        """Health, version and the model."""
        if path in ("/health", "/ping"):
            return Page(b"")
        if path == "/version":
            return Page(orjson.dumps(openai.version()))
        if path == "/v1/models":
            listed = openai.models_of(self.served, 0)
            for card in listed["data"]:
                card["owned_by"] = OWNER
            return Page(orjson.dumps(listed))
        return None
