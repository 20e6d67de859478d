"""OpenAI's chunks and bodies without anything that is vLLM's: for the hosted API, llama.cpp and Ollama's `/v1`.

    opening()   a chunk that opens the message     where the server sends one
    tokens()    one chunk for the tokens given
    closing()   a chunk with the finish reason, then usage if asked for, then [DONE]

What the servers differ in is a `Style`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from profiler.engines.sim.request import Ask, Json, Spent
from profiler.engines.sim.speech import Answer, Piece
from profiler.engines.sim.traits import HIDDEN, Traits

_TOP = ("id", "object", "created", "model")


@dataclass(frozen=True, slots=True)
class Style:
    """How one server writes."""

    about: Json = field(default_factory=dict)
    """Fields of every chunk and body, beside id, object, created and model."""
    choice: Json = field(default_factory=dict)
    """Fields of every choice, beside index, delta and finish reason."""
    opening: Json | None = None
    """The delta of a chunk of its own that opens a message."""
    every: Json = field(default_factory=dict)
    """What every delta has."""
    empty: Json = field(default_factory=dict)
    """The delta that goes with the finish reason."""
    message: Json = field(default_factory=dict)
    """What an unstreamed message has beside role, content and tool calls."""
    reasoning: str = "reasoning"
    """The field that reasoning comes in."""
    whole_calls: bool = False
    """A tool call comes at once when it is complete, and not piece by piece."""
    call_index: bool = False
    """The tool calls of an unstreamed message have an index."""
    call_id: Callable[[str], str] = str
    """A tool call's id as the server makes them, from one of 32 hexadecimal digits at the end."""
    no_content: str | None = None
    """The content of a message that only calls tools."""
    before_usage: Json = field(default_factory=dict)
    """What the other chunks have if usage was asked for."""
    usage_with_finish: bool = False
    """A stream has the usage beside the finish reason, asked for or not."""
    usage: Callable[[Ask, Answer, Spent], Json] = lambda ask, answer, _spent: counted(ask, answer)
    last: Callable[[Ask, Answer, Spent], Json] = lambda _ask, _answer, _spent: {}
    """Fields of the last chunk, and of a body: the server's own."""


class Stream:
    """Encodes one streamed answer as server-sent events."""

    def __init__(self, ask: Ask, answer: Answer, style: Style, *, created: int, traits: Traits) -> None:
        self._ask = ask
        self._answer = answer
        self._style = style
        self._chat = ask.operation == "chat"
        self._end = traits.line_end * 2
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        self._about = {**dict(zip(_TOP, (ask.id, kind, created, ask.model), strict=True)), **style.about}
        self._before: Json = style.before_usage if ask.include_usage else {}
        self._reasoning = HIDDEN if traits.reasoning_field == HIDDEN else style.reasoning
        self._opened: set[int] = set()

    def opening(self) -> list[bytes]:
        """The chunk that opens the message, one per choice; none in completions."""
        if not self._chat or self._style.opening is None:
            return []
        return self._each({"delta": self._style.opening})

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """One chunk per choice for the pieces from `begin` up to `end`; none while a tool call is held back."""
        pieces = self._answer.pieces[begin:end]
        if not self._chat:
            return self._each({"text": "".join([piece.text for piece in pieces])})
        delta = self._delta(pieces, end)
        return self._each({"delta": {**self._style.every, **delta}}) if delta else []

    def closing(self, spent: Spent) -> list[bytes]:
        """What comes after the last token."""
        ask, answer, style = self._ask, self._answer, self._style
        said: Json = {"delta": style.empty} if self._chat else {"text": ""}
        chunks = [self._chunk([self._choice(index, said, answer.finish)]) for index in range(ask.n)]
        if style.usage_with_finish:
            chunks[-1]["usage"] = style.usage(ask, answer, spent)
        elif ask.include_usage:
            chunks.append({**self._about, "choices": [], "usage": style.usage(ask, answer, spent)})
        chunks[-1].update(style.last(ask, answer, spent))
        return [*map(self._event, chunks), b"data: [DONE]" + self._end]

    def _each(self, said: Json) -> list[bytes]:
        return [self._event(self._chunk([self._choice(index, said, None)])) for index in range(self._ask.n)]

    def _choice(self, index: int, said: Json, finish: str | None) -> Json:
        return {"index": index, **said, **self._style.choice, "finish_reason": finish}

    def _chunk(self, choices: list[Json]) -> Json:
        return {**self._about, "choices": choices, **self._before}

    def _event(self, chunk: Json) -> bytes:
        return b"data: " + orjson.dumps(chunk) + self._end

    def _delta(self, pieces: tuple[Piece, ...], end: int) -> Json:
        delta: Json = {}
        for kind, name in (("content", "content"), ("reasoning", self._reasoning)):
            texts = [piece.text for piece in pieces if piece.kind == kind]
            if texts and name != HIDDEN:
                delta[name] = "".join(texts)
        calls = self._whole(end) if self._style.whole_calls else self._parts(pieces)
        if calls:
            delta["tool_calls"] = calls
        return delta

    def _parts(self, pieces: tuple[Piece, ...]) -> list[Json]:
        parts: dict[int, Json] = {}
        for piece in pieces:
            if piece.kind != "tool":
                continue
            if piece.tool not in self._opened:
                self._opened.add(piece.tool)
                parts[piece.tool] = _call(self._answer, piece.tool, "", self._style)
            part = parts.setdefault(piece.tool, {"index": piece.tool, "function": {"arguments": ""}})
            part["function"]["arguments"] += piece.text
        return list(parts.values())

    def _whole(self, end: int) -> list[Json]:
        """The calls that are complete now and were not told: the next piece is of another kind or call."""
        done = finished_calls(self._answer, end) - self._opened
        self._opened |= done
        return [_call(self._answer, tool, self._answer.text("tool", tool), self._style) for tool in sorted(done)]


def finished_calls(answer: Answer, end: int) -> set[int]:
    """The tool calls whose last piece is before `end`."""
    begun = {piece.tool for piece in answer.pieces[:end] if piece.kind == "tool"}
    return begun - {piece.tool for piece in answer.pieces[end:] if piece.kind == "tool"} if begun else begun


def _call(answer: Answer, tool: int, arguments: str, style: Style) -> Json:
    """A tool call that begins, or is whole."""
    use = answer.tools[tool]
    return {
        "index": tool,
        "id": style.call_id(use.id),
        "type": "function",
        "function": {"name": use.name, "arguments": arguments},
    }


def body_of(ask: Ask, answer: Answer, spent: Spent, style: Style, *, created: int, traits: Traits) -> Json:
    """The whole response to a request that does not stream."""
    chat = ask.operation == "chat"
    kind = "chat.completion" if chat else "text_completion"
    said: Json = {"message": _message(answer, style, traits)} if chat else {"text": answer.text()}
    choices = [{"index": index, **said, **style.choice, "finish_reason": answer.finish} for index in range(ask.n)]
    return {
        **dict(zip(_TOP, (ask.id, kind, created, ask.model), strict=True)),
        **style.about,
        "choices": choices,
        "usage": style.usage(ask, answer, spent),
        **style.last(ask, answer, spent),
    }


def counted(ask: Ask, answer: Answer) -> Json:
    """The counts that every `usage` has."""
    prompt, completion = len(ask.prompt), len(answer.pieces) * ask.n
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def thought_tokens(ask: Ask, answer: Answer) -> int:
    """Output tokens that are reasoning."""
    return sum(piece.kind == "reasoning" for piece in answer.pieces) * ask.n


def _message(answer: Answer, style: Style, traits: Traits) -> Json:
    content: str | None = answer.text()
    if answer.tools and not content:
        content = style.no_content
    message: Json = {"role": "assistant", "content": content, **style.message}
    if answer.tools:
        calls = [_call(answer, tool, answer.text("tool", tool), style) for tool in range(len(answer.tools))]
        for call in calls if not style.call_index else []:
            del call["index"]
        message["tool_calls"] = calls
    thought = answer.text("reasoning")
    if thought and traits.reasoning_field != HIDDEN:
        message[style.reasoning] = thought
    return message
