"""Replaying a script over a real response: the engine's timing, the script's words.

Pure functions over requests and chunks; the transport calls them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import orjson

from profiler.record.protocol import TEXT, Json, object_of
from profiler.record.servers import VLLM, Server
from profiler.script import ScriptedCall

_NOTHING: Json = {}
# Each could end the output early, or make the engine do something else than emit N tokens.
_UNSCRIPTABLE = (
    "stop",
    "stop_token_ids",
    "response_format",
    "structured_outputs",
    "n",
    "best_of",
    "logit_bias",
)
_AUTO = (None, "auto")
_OF_A_CHUNK = ("object", "choices", "usage", "obfuscation")


@dataclass(frozen=True, slots=True)
class Adaptation:
    """A request as it is sent, and the names of the fields that differ from what the agent asked."""

    body: Json
    changed: tuple[str, ...]
    usage_wanted: bool = True  # the agent itself asked for what the engine says of its use of tokens
    choices: int = 1  # that the agent expects
    may_hide: bool = False  # an answer in words would be the second one that the engine generated


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run wants of each request to the engine."""

    server: Server = VLLM
    model: str | None = None  # the one that the engine serves
    cache_salt: str | None = None
    seed: int | None = None
    force_stream: bool = False


def adapt_request(body: Json, scripted: ScriptedCall | None, terms: Terms) -> Adaptation:
    """Make a request of the OpenAI protocol tell its timing and, with a script, generate exactly as many tokens.

    A scripted request keeps its tools in the prompt but sets `tool_choice` to none: the engine's tool parser
    would otherwise hold back chunks of text that is thrown away. Fields that the kind of server does not take are
    left out, so that it may do less than is wanted: a length that cannot be forced is a limit.
    """
    server, sent = terms.server, dict(body)
    changes: dict[str, Any] = {}
    removed: list[str] = []
    limit = server.limit or ("max_completion_tokens" if "max_completion_tokens" in body else "max_tokens")
    if scripted is not None:
        length = scripted.output_tokens
        removed += [*_UNSCRIPTABLE, "max_completion_tokens", "max_tokens"]
        changes[limit] = length
        if server.force is not None:
            changes.update(server.force(length))
        if body.get("tools") and server.tool_choice:
            changes["tool_choice"] = "none"
    elif limit == "max_tokens" and server is not VLLM and body.get("max_completion_tokens") is not None:
        removed.append("max_completion_tokens")  # of which it would take no notice
        changes[limit] = body["max_completion_tokens"]
    if server.salted and terms.cache_salt is not None and "cache_salt" not in body:
        changes["cache_salt"] = terms.cache_salt
    if terms.seed is not None and body.get("seed") is None:
        changes["seed"] = terms.seed
    if terms.force_stream and not body.get("stream"):
        changes["stream"] = True
    options = object_of(body.get("stream_options"))
    usage_wanted = bool(options.get("include_usage"))
    if (changes.get("stream") or body.get("stream")) and not usage_wanted:
        changes["stream_options"] = {**options, "include_usage": True}
    if server.strict:
        _mend(body, terms, changes, removed)
    wanted = body.get("n")
    choices = wanted if isinstance(wanted, int) and wanted > 1 else 1
    may_hide = server.strict and scripted is None and bool(body.get("tools")) and body.get("tool_choice") in _AUTO
    if not changes and not removed:
        return Adaptation(body, (), usage_wanted, choices, may_hide)
    for name in removed:
        sent.pop(name, None)
    sent.update(changes)
    changed = changed_names(body, sent, {*removed, *changes}, null_differs=server.strict)
    return Adaptation(sent, changed, usage_wanted, choices, may_hide)


def changed_names(body: Json, sent: Json, names: set[str], *, null_differs: bool = False) -> tuple[str, ...]:
    """Those of the names whose fields are sent otherwise than the agent asked.

    Args:
        body: as the agent asked.
        sent: as it is sent.
        names: to be compared.
        null_differs: whether null for a field is something else than none.
    """
    return tuple(
        sorted(
            name
            for name in names
            if body.get(name) != sent.get(name) or (null_differs and (name in body) != (name in sent))
        )
    )


def _mend(body: Json, terms: Terms, changes: Json, removed: list[str]) -> None:
    """What OpenAI's clients send and TGI refuses: a `top_p` of 1, null for options, another name of its model."""
    top_p = body.get("top_p")
    if isinstance(top_p, int | float) and top_p >= 1:
        removed.append("top_p")  # 1 is what it does without
    if "stream_options" in body and body["stream_options"] is None:
        removed.append("stream_options")
    if terms.model is not None and body.get("model") == terms.model:
        changes["model"] = "tgi"  # any other name is that of an adapter


def call_ids(scripted: ScriptedCall, ordinal: int) -> list[str]:
    """Ids for scripted tool calls: nine letters or digits, which the strictest chat templates want.

    They depend on the place alone, so that replays send identical prompts.
    """
    return [
        hashlib.sha256(f"{scripted.place}|{ordinal}|{index}".encode()).hexdigest()[:9]
        for index in range(len(scripted.tool_calls))
    ]


class StreamRewriter:
    """Spreads the scripted words over the engine's real chunks.

        engine   |..role..|tok|tok|tok|....|tok|finish|usage|
        script   "I will look." search({"query": …})
        agent    |..role..|I w|ill| lo|....|y":|rest+finish|usage|

    After the k-th of N token chunks the agent has k/N of the characters; the finishing chunk brings the rest.
    """

    __slots__ = (
        "_at",
        "_begin",
        "_calls",
        "_choices",
        "_finish",
        "_length",
        "_segments",
        "_sent",
        "_text",
        "_tokens",
        "_tokens_seen",
    )

    def __init__(self, scripted: ScriptedCall, ordinal: int, operation: str, choices: int = 1) -> None:
        self._choices = choices
        self._text = operation == TEXT
        self._finish = scripted.finish
        self._tokens = scripted.output_tokens
        self._tokens_seen = 0
        self._sent = 0  # characters that the agent has
        self._at = 0  # the segment that it is in, which begins after `_begin` characters
        self._begin = 0
        arguments = [json.dumps(call.arguments, ensure_ascii=False) for call in scripted.tool_calls]
        self._calls = list(zip(call_ids(scripted, ordinal), (call.name for call in scripted.tool_calls), strict=True))
        self._segments = [scripted.content, *arguments]
        self._length = sum(map(len, self._segments))

    def next_members(self) -> bytes | None:
        """What stands for a chunk of one token that brings text alone: the members of its delta, as JSON.

        None, and nothing done, for text completions and several choices.
        """
        if self._text or self._choices > 1:
            return None
        self._tokens_seen = seen = self._tokens_seen + 1
        upto = self._length if seen >= self._tokens else self._length * seen // self._tokens
        at, low, high = self._at, self._sent - self._begin, upto - self._begin
        segment = self._segments[at]
        if 0 < low < high <= len(segment):  # nearly always it goes on with what it is in
            self._sent = upto
            part = orjson.dumps(segment[low:high])
            if at == 0:
                return b'"content":' + part
            return b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (at - 1, part)
        return orjson.dumps(self._advance(upto) or {"content": ""})[1:-1]

    def rewrite(self, chunk: Json, *, token: bool) -> Json:
        """The chunk with the script's words in place of the engine's; the input is not changed."""
        choices = chunk.get("choices")
        if not choices:
            return chunk
        choice = choices[0]
        if choice.get("index") and len(choices) > 1:
            choice = next((choice for choice in choices if not choice.get("index")), choice)
        finished = bool(choice.get("finish_reason"))
        self._tokens_seen = seen = self._tokens_seen + token
        upto = self._length if finished or seen >= self._tokens else self._length * seen // self._tokens
        said = self._advance(upto)
        new = choice.copy()
        new["index"] = 0
        new["finish_reason"] = self._finish if finished else None
        if self._text:
            new["text"] = said.get("content", "")
        else:
            role = (choice.get("delta") or _NOTHING).get("role")
            if not said and not finished:
                said = {"content": ""}
            new["delta"] = {"role": role, **said} if role else said
        rewritten = chunk.copy()
        rewritten["choices"] = [new, *({**new, "index": index} for index in range(1, self._choices))]
        return rewritten

    def _advance(self, upto: int) -> Json:
        """The delta that brings the agent from what it has to `upto` characters."""
        said: Json = {}
        while self._sent < upto:
            segment = self._segments[self._at]
            low, high = self._sent - self._begin, min(upto - self._begin, len(segment))
            if high > low:
                part = segment[low:high]
                if self._at == 0:
                    said["content"] = part
                else:
                    said.setdefault("tool_calls", []).append(self._tool_delta(self._at - 1, part, first=low == 0))
                self._sent = self._begin + high
            else:
                self._begin += len(segment)
                self._at += 1
        return said

    def _tool_delta(self, index: int, part: str, *, first: bool) -> Json:
        if not first:
            return {"index": index, "function": {"arguments": part}}
        call_id, name = self._calls[index]
        return {
            "index": index,
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": part},
        }


def rewrite_body(body: Json, scripted: ScriptedCall, ordinal: int, operation: str, choices: int = 1) -> Json:
    """A whole response with the script's words, in each of the choices asked for; the input is not changed."""
    if not body.get("choices"):
        return body
    choice = {**body["choices"][0], "index": 0, "finish_reason": scripted.finish}
    if operation == TEXT:
        choice["text"] = scripted.content
    else:
        calls = [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call_id, call in zip(call_ids(scripted, ordinal), scripted.tool_calls, strict=True)
        ]
        message: Json = {"role": "assistant", "content": scripted.content or None}
        if calls:
            message["tool_calls"] = calls
        choice["message"] = message
    return {**body, "choices": [{**choice, "index": index} for index in range(choices)]}


def body_from_stream(
    last_chunk: Json,
    content: str,
    tool_calls: list[Json],
    finish: str | None,
    usage: Json | None,
    more: Json | None = None,
) -> Json:
    """The unstreamed response that says what a stream said, for an agent that did not ask for a stream.

    `more` is what the message has besides: reasoning, a refusal.
    """
    message: Json = {"role": "assistant", "content": content or None, **(more or {})}
    if tool_calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in tool_calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    head = {name: value for name, value in last_chunk.items() if name not in _OF_A_CHUNK}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
