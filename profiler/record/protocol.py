"""The OpenAI protocol, as far as timing needs it: what a chunk carries and what a response says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from profiler.record.timing import EngineTiming, engine_timing

Json = dict[str, Any]

_MOST_TOKENS = 10**9
_TOLD = frozenset({"timings", "time_info", "x_groq"})  # llama.cpp's, Cerebras's, Groq's
_REASONING = ("reasoning_content", "reasoning")
CHAT = "chat"
TEXT = "text_completion"


def bears_token(choice: Json) -> bool:
    """Whether a streamed choice brings output of the model.

    An early chunk that only opens the message (a role with empty content) is no token. An empty content without
    a role is one: vLLM sends it for a token whose bytes do not make up a whole character yet.
    """
    delta = choice.get("delta")
    if delta is None:
        return "text" in choice
    if (
        delta.get("content")
        or delta.get("tool_calls")
        or delta.get("reasoning_content")
        or delta.get("reasoning")
        or delta.get("function_call")
    ):
        return True
    return delta.get("content") == "" and "role" not in delta


def _is_text(choice: Json) -> bool:
    delta = choice.get("delta") or {}
    return len(delta) == 1 and bool(delta.get("content")) and not (choice.get("finish_reason") or choice.get("index"))


@dataclass(slots=True)
class Reply:
    """What one response said: filled chunk by chunk, or at once from a whole body."""

    response_id: str | None = None
    model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    usage: Json | None = None
    metrics: Json | None = None  # vLLM's own timing
    told: dict[str, Json] = field(default_factory=dict)  # what else engines tell, by the name of its place
    text_alone: bool = False  # all that the last chunk brought: the next may differ in it and nothing else
    error: str | None = None  # an error object inside a 200 response
    error_said: Json | None = None  # as it came
    error_code: str | None = None  # the status that it would have had, if it tells
    done: bool = False
    token_times_ns: list[int] = field(default_factory=list)
    reasoning_chunks: int = 0
    reasoning: dict[str, list[str]] = field(default_factory=dict)  # by the name that the engine has for it
    refusal: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    tool_calls: dict[int, Json] = field(default_factory=dict)

    def take_chunk(self, chunk: Json, arrival_ns: int) -> bool:
        """Take one streamed object; True if it brought output of the model."""
        self.text_alone = False
        if chunk.get("error"):
            self.take_error(chunk)
            return False
        self._take_common(chunk)
        token = False
        choices: Sequence[Json] = chunk.get("choices") or ()
        for choice in choices:
            token = bears_token(choice) or token
            self._take_choice(choice, choice.get("delta") or {})
        self.text_alone = token and len(choices) == 1 and _is_text(choices[0]) and not chunk.get("usage")
        if token:
            self.token_times_ns.append(arrival_ns)
        return token

    def take_body(self, body: Json) -> None:
        """Take a whole, unstreamed response."""
        if body.get("error"):
            self.take_error(body)
            return
        self._take_common(body)
        for choice in body.get("choices") or ():
            self._take_choice(choice, choice.get("message") or {})
        self.done = True

    def take_error(self, data: Json) -> None:
        """Take an error inside an answer that began well: TGI's, too, which tell the status that it would have had."""
        self.error, self.error_said = error_text(data), data
        error = data.get("error")
        code = error.get("http_status_code") if isinstance(error, dict) else None
        if data.get("error_type") == "overloaded":
            code = 429
        self.error_code = str(code) if type(code) is int else None

    def _take_common(self, data: Json) -> None:
        self.response_id = _text(data.get("id")) or self.response_id
        self.model = _text(data.get("model")) or self.model
        usage, metrics = data.get("usage"), data.get("metrics")
        if usage and isinstance(usage, dict):
            self.usage = usage
        if metrics and isinstance(metrics, dict):
            self.metrics = metrics
        for name in _TOLD.intersection(data):
            told = data[name]
            if isinstance(told, dict):
                self.told[name] = told

    def _take_choice(self, choice: Json, said: Json) -> None:
        if choice.get("finish_reason"):
            self.finish_reasons.append(str(choice["finish_reason"]))
        if choice.get("index"):
            return  # what the first choice said is what a script keeps
        text = said.get("content") or choice.get("text")
        if isinstance(text, str) and text:
            self.content.append(text)
        if isinstance(said.get("refusal"), str):
            self.refusal.append(said["refusal"])
        thoughts = {name: said[name] for name in _REASONING if said.get(name)}
        self.reasoning_chunks += bool(thoughts)
        for name, thought in thoughts.items():
            self.reasoning.setdefault(name, []).append(str(thought))
        for call in said.get("tool_calls") or ():
            function = call.get("function") or {}
            known = self.tool_calls.setdefault(self._tool_index(call), {"id": None, "name": "", "arguments": ""})
            known["id"] = known["id"] or call.get("id")
            known["name"] += function.get("name") or ""
            known["arguments"] += function.get("arguments") or ""

    def _tool_index(self, call: Json) -> int:
        """Its index; without one, a new id begins a new call and anything else goes on with the last."""
        index = call.get("index")
        if isinstance(index, int):
            return index
        last = max(self.tool_calls, default=-1)
        begins = last < 0 or (call.get("id") and call["id"] != self.tool_calls[last]["id"])
        return last + 1 if begins else last

    def take_headers(self, headers: Mapping[str, str]) -> None:
        """Take what headers tell of the answer and its body does not: nothing in OpenAI's protocol."""

    def timing(self, headers: Mapping[str, str]) -> EngineTiming | None:
        """The engine's own timing, from what it said and from the headers that it came with."""
        usage = self.told.get("x_groq", {}).get("usage") or self.usage
        return engine_timing({**self.told, "metrics": self.metrics, "usage": usage}, headers)

    @property
    def output_tokens(self) -> int | None:
        """Output tokens by the engine's own count; None if it gave none."""
        return _integer(self.usage, "completion_tokens")

    @property
    def input_tokens(self) -> int | None:
        """Prompt tokens by the engine's own count."""
        return _integer(self.usage, "prompt_tokens")

    @property
    def cached_tokens(self) -> int | None:
        """Prompt tokens served from the prefix cache; None if the engine does not say."""
        told = _integer((self.usage or {}).get("prompt_tokens_details"), "cached_tokens")
        return _integer(self.told.get("timings"), "cache_n") if told is None else told

    @property
    def reasoning_tokens(self) -> int | None:
        """Output tokens spent on reasoning; None if the engine does not say."""
        return _integer((self.usage or {}).get("completion_tokens_details"), "reasoning_tokens")


def parse_json(data: bytes) -> Json | None:
    """A JSON object, or None for anything else."""
    try:
        value = orjson.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def object_of(value: Any) -> Json:
    """A JSON object; an empty one for anything else, which is the agent's affair and the server's to refuse."""
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(data: Any, name: str) -> int | None:
    value = data.get(name) if isinstance(data, dict) else None
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def error_text(body: Json) -> str | None:
    """What an error body says, in whichever of the usual shapes; None if it has none of them."""
    error = body.get("error") or body.get("message") or body.get("detail")
    if isinstance(error, dict):
        error = error.get("message") or error.get("type") or error
    return str(error) if error else None
