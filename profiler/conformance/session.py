"""One server under examination: what every check has to know, and answers that several of them look at."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from profiler.conformance.wire import Heard, Json, Wire

TOKENS = 24
LENGTH = "max_tokens"
NEWER_LENGTH = "max_completion_tokens"
TOOL_TOKENS = 160
LONG_ENOUGH = 200
LOOK_UP = "What does the word 'keel' mean? Look it up."
SHORT = ("Say yes.", "Say no.", "Say stop.", "Say one word.")
QUESTION = "Write one long sentence about the sea, the wind and the ships."
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a word up in a dictionary.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "maxLength": 12}},
            "required": ["word"],
            "additionalProperties": False,
        },
    },
}


class Session:
    """Answers are asked for once, when the first check wants them."""

    def __init__(self, wire: Wire, protocol: str, model: str, context_tokens: int | None, server: str) -> None:
        self.wire = wire
        self.protocol = protocol
        self.server = server
        self.model = model
        self.context_tokens = context_tokens

    def body(self, *, tokens: int = TOKENS, text: str = QUESTION, **fields: Any) -> Json:
        """A chat's body; a field of None is left out."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            self.length_name: tokens,
            **fields,
        }
        return {name: value for name, value in body.items() if value is not None}

    @cached_property
    def length_name(self) -> str:
        """The field that limits the output: the hosted API's newer models refuse the old one."""
        tried = self.wire.chat({"model": self.model, "messages": [{"role": "user", "content": "Hi"}], LENGTH: 1})
        return NEWER_LENGTH if not tried.ok and NEWER_LENGTH in tried.says else LENGTH

    def chat(self, **fields: Any) -> Heard:
        """Ask."""
        return self.wire.chat(self.body(**fields))

    @cached_property
    def whole(self) -> Heard:
        """An unstreamed answer."""
        return self.chat()

    @cached_property
    def stream(self) -> Heard:
        """A streamed one, with usage asked for."""
        return self.chat(stream=True, stream_options={"include_usage": True})

    @cached_property
    def with_tools(self) -> Heard:
        """An unstreamed one that may call a tool."""
        return self.chat(tokens=TOOL_TOKENS, text=LOOK_UP, tools=[TOOL])

    @cached_property
    def ending(self) -> tuple[str, int] | None:
        """A question whose answer ends by itself, and after how many tokens; None if none was found."""
        for text in SHORT:
            heard = self.chat(tokens=LONG_ENOUGH, text=text)
            tokens = count(usage_of(heard), "completion_tokens")
            if heard.ok and finish_of(heard) == "stop" and tokens:
                return text, tokens
        return None

    @cached_property
    def plain_stream(self) -> Heard:
        """A streamed one, without."""
        return self.chat(stream=True)


def usage_of(heard: Heard) -> Json | None:
    """The last usage that an answer told."""
    told = [value.get("usage") for value in [*heard.chunks, heard.json] if isinstance(value, dict)]
    found = [usage for usage in told if isinstance(usage, dict) and usage.get("completion_tokens")]
    return found[-1] if found else None


def count(usage: Json | None, name: str) -> int | None:
    """One of its counts."""
    value = (usage or {}).get(name)
    return value if type(value) is int else None


def choices(heard: Heard) -> list[Json]:
    """All choices of an answer, streamed or not."""
    values = [*heard.chunks, heard.json]
    found = [value.get("choices") for value in values if isinstance(value, dict)]
    return [one for listed in found if isinstance(listed, list) for one in listed if isinstance(one, dict)]


def said_in(choice: Json) -> Json:
    """The message or delta of a choice."""
    said = choice.get("delta") or choice.get("message")
    return said if isinstance(said, dict) else {}


def finish_of(heard: Heard) -> str | None:
    """Why it ended."""
    found = [choice.get("finish_reason") for choice in choices(heard) if choice.get("finish_reason")]
    return str(found[-1]) if found else None


def brings_output(choice: Json) -> bool:
    """Whether a choice has words, reasoning or tool calls of the model."""
    said = said_in(choice)
    return any(said.get(name) for name in ("content", "tool_calls", "reasoning", "reasoning_content"))


def calls_in(heard: Heard) -> list[Json]:
    """Tool calls, or parts of them."""
    found = [said_in(choice).get("tool_calls") for choice in choices(heard)]
    return [call for calls in found if isinstance(calls, list) for call in calls if isinstance(call, dict)]
