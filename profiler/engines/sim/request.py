"""What a request asks for and what it took, in no dialect's words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Operation = Literal["chat", "completion", "generate"]


@dataclass(frozen=True, slots=True)
class Served:
    """The model that the engine pretends to serve."""

    model: str
    context_tokens: int  # prompt and output together
    any_model: bool = False  # answer to every name, as TGI does when it takes one for an unknown LoRA


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    parameters: Json  # a JSON schema


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: all that the time model, the speech and the encoders have to know of it.

    `max_tokens` is what is left of the context if the client set no limit; None only where nobody knows the context.
    `schema` is what the text must conform to, `{}` for any JSON object.
    """

    id: str  # as the response carries it
    operation: Operation
    model: str
    prompt_text: str
    prompt: tuple[int, ...]
    stream: bool = False
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    cache_salt: str = ""
    include_usage: bool = False
    continuous_usage: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "none"  # none | auto | required | the name of a tool
    named_tool: bool = False  # whether `tool_choice` is such a name
    parallel_tool_calls: bool = True
    schema: Json | None = None
    assistant_turns: int = 0  # so far in the conversation
    tool_calls: int = 0  # so far in the conversation
    first_user_text: str = ""
    last_role: str = ""
    grammar_tools: bool = False  # TGI: tool calls come without words, and "no tool" costs a generation of its own
    native: bool = False  # in the server's own protocol, where it speaks OpenAI's, too
    listed: bool = False  # TGI's native protocol: the answer is a list of one
    details: bool = False  # TGI's native protocol
    full_text: bool = False  # TGI's native protocol: repeat the prompt before the output
    keep_alive_s: float | None = None  # Ollama: how long the model is to stay loaded afterwards; None is the default
    only: Literal["", "load", "unload"] = ""  # Ollama: nothing is generated, the model is loaded or unloaded

    @property
    def forced_tokens(self) -> int | None:
        """The exact output length if the model cannot stop by itself."""
        return self.max_tokens if self.ignore_eos else None

    def key(self) -> int:
        """64 bits that are the same for the same request in every run: neither id nor arrival are in it."""
        digest = hashlib.blake2b(f"{self.operation}|{self.seed}|".encode(), digest_size=8)
        digest.update(self.prompt_text.encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest(), "big")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a finished request took on the engine, in nanoseconds; the parts add up to its time there."""

    queue_ns: int
    prefill_ns: int  # scheduled -> first token
    decode_ns: int  # first token -> last
    cached_tokens: int = 0
    frontend_ns: int = 0  # arrival (or loaded) -> queued
    load_ns: int = 0  # arrival -> the model is loaded

    @property
    def total_ns(self) -> int:
        """Arrival to last token."""
        return self.load_ns + self.frontend_ns + self.queue_ns + self.prefill_ns + self.decode_ns


class BadRequest(ValueError):
    """The engine refuses; all but the status is in the words of the dialect that refuses."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "BadRequestError",  # noqa: A002 - the field's name on the wire
        param: str | None = None,
        code: str | None = None,
        more: Json | None = None,
    ) -> None:
        """Keep the parts apart; `more` are fields that only some errors have."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.more = more or {}
