"""The APIs that a recording follows, by the method and path of a request, and what it must know of each.

    /chat/completions, /completions      OpenAI's, whoever serves it
    /generate, /generate_stream, /       TGI's own (`tgi.py`)
    /api/chat, /api/generate             Ollama's own (`ollama.py`)

Any other request passes as it is.
"""

from __future__ import annotations

from typing import Any, Protocol

from profiler.record.ollama import OllamaChat, OllamaGenerate
from profiler.record.openai import OpenAiChat, OpenAiCompletion
from profiler.record.protocol import Json, Reply
from profiler.record.replay import Adaptation, Terms
from profiler.record.sse import Event
from profiler.record.tgi import TgiCompatible, TgiGenerate, TgiGenerateStream
from profiler.script import ScriptedCall


class Decoder(Protocol):
    """Cuts a stream into its events."""

    @property
    def held(self) -> bytes:
        """The beginning of what no event has ended."""

    def feed(self, block: bytes) -> list[Event]:
        """The events that are complete."""

    def rest(self) -> bytes:
        """Hand over what is held."""

    @staticmethod
    def only_data(block: bytes) -> bytes | None:
        """The data of a block that is one whole event, seen at a glance; otherwise None."""


class Rewriter(Protocol):
    """Spreads a script's words over an answer's chunks."""

    def next_members(self) -> bytes | None:
        """The members of the delta of a chunk that brings text alone; None if it takes more."""

    def rewrite(self, chunk: Json, *, token: bool) -> Json:
        """The chunk with the script's words; the input is not changed."""


class Api(Protocol):
    """One API, as far as timing and replaying need it."""

    name: str
    operation: str
    stream_type: str  # media type of a streamed answer
    unasked_mark: bytes  # in every block that may hold what was asked for on the agent's behalf

    def accepts(self, body: Json) -> bool:
        """Whether a request's body asks for an answer by this API: paths are no proof."""

    def only_loads(self, body: Json) -> bool:
        """Whether it is of this API but only has a model loaded or unloaded: no call."""

    def streams(self, body: Json) -> bool:
        """Whether it asks for a stream."""

    def adapt(self, body: Json, scripted: ScriptedCall | None, terms: Terms) -> Adaptation:
        """The request as it is to be sent."""

    def reply(self) -> Reply:
        """What takes the answer."""

    def decoder(self) -> Decoder:
        """What cuts a streamed answer."""

    def encode(self, chunk: Json) -> bytes:
        """One event of a stream."""

    def parse_body(self, data: bytes) -> Json | None:
        """The object of a whole answer; None if it is none."""

    def dump_body(self, body: Json) -> bytes:
        """A whole answer's bytes."""

    def rewriter(self, scripted: ScriptedCall, ordinal: int, choices: int) -> Rewriter:
        """What replays a script over a stream."""

    def unasked(self, chunk: Json, *, token: bool) -> Json | None:
        """A chunk without what was asked for on the agent's behalf; the same if there is nothing, None for no chunk."""

    def rewrite_body(self, body: Json, scripted: ScriptedCall, ordinal: int, choices: int) -> Json:
        """A whole answer with a script's words; the input is not changed."""

    def body_of(self, last: Json, reply: Reply) -> Json:
        """The whole answer that says what a stream said, for an agent that did not ask for one."""

    def prompt(self, body: Json) -> tuple[list[Any] | None, Any]:
        """The messages of a request, or its one text, and its tools; None for no prompt."""

    def fields(self, body: Json) -> Json:
        """The request's parameters under OpenAI's names."""


_BY_PATH: dict[str, Api] = {
    "/chat/completions": OpenAiChat(),
    "/completions": OpenAiCompletion(),
    "/generate": TgiGenerate(),
    "/generate_stream": TgiGenerateStream(),
    "/api/chat": OllamaChat(),
    "/api/generate": OllamaGenerate(),
}
_AT_THE_ROOT: Api = TgiCompatible()
_OTHERS = frozenset({"responses", "embeddings", "embed", "messages", "rerank"})


def api_of(method: str, path: str) -> Api | None:
    """The API of a request, by its method and path; None for any other traffic."""
    if method != "POST":
        return None
    if path in ("", "/"):
        return _AT_THE_ROOT
    head, _, last = path.rpartition("/")
    if last in ("completions", "chat", "generate"):
        api = _BY_PATH.get(f"/{head.rpartition('/')[2]}/{last}")
        if api is not None:
            return api
    return _BY_PATH.get(f"/{last}")


def is_other_operation(method: str, path: str) -> bool:
    """Whether it looks like work for an engine that is not followed: other APIs, embeddings."""
    return method == "POST" and path.rsplit("/", 1)[-1] in _OTHERS
