"""What Ollama writes in its own protocol: lines of JSON, the last with durations in nanoseconds.

    {"model":…,"created_at":…,"message":{"role":"assistant","content":"Hi"},"done":false}     a line per token
    {…,"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",
       "total_duration":…,"load_duration":…,"prompt_eval_count":…,"prompt_eval_duration":…,
       "eval_count":…,"eval_duration":…}                                                     the last

    arrival |== load ==|   queue   |= prompt_eval =|====== eval ======| last token
            |========================== total ==========================|

A number that is zero is left out, so a model that is loaded has no `load_duration`. The time in the queue is told
nowhere; it is what the others leave of the total.

Written from the server's sources (`api/types.go`, `server/routes.go`) and its API documentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from profiler.engines.sim.plain import finished_calls
from profiler.engines.sim.request import Ask, Json, Spent
from profiler.engines.sim.speech import Answer, Piece
from profiler.engines.sim.traits import HIDDEN, Traits

VERSION = "0.13.0"
_NS_PER_S = 1_000_000_000
_VOCABULARY = 1 << 17
_PLAIN = Traits()
Clock = Callable[[], int]


class Stream:
    """Encodes an answer to `/api/chat` or `/api/generate` as lines of JSON."""

    def __init__(self, ask: Ask, answer: Answer, *, traits: Traits = _PLAIN, clock: Clock = time.time_ns) -> None:
        self._ask = ask
        self._answer = answer
        self._clock = clock
        self._end = traits.line_end
        self._hidden = traits.reasoning_field == HIDDEN
        self._told: set[int] = set()

    def opening(self) -> list[bytes]:
        """Nothing comes before the first token."""
        return []

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """One line for the pieces from `begin` up to `end`; none while a tool call is held back."""
        pieces = self._answer.pieces[begin:end]
        calls = finished_calls(self._answer, end) - self._told
        self._told |= calls
        said = _said(self._ask, self._answer, pieces, sorted(calls), hidden=self._hidden)
        if said is None:
            return []
        return [self._line({**_head(self._ask, self._clock()), **said, "done": False})]

    def closing(self, spent: Spent) -> list[bytes]:
        """The line with the durations."""
        nothing: Json = {"response": ""} if self._ask.operation == "generate" else {"message": _message("")}
        return [self._line({**_head(self._ask, self._clock()), **nothing, **_end(self._ask, self._answer, spent)})]

    def _line(self, said: Json) -> bytes:
        return orjson.dumps(said) + self._end


def body_of(ask: Ask, answer: Answer, spent: Spent, *, traits: Traits = _PLAIN, clock: Clock = time.time_ns) -> Json:
    """The whole answer to a request that does not stream."""
    calls = list(range(len(answer.tools)))
    said = _said(ask, answer, answer.pieces, calls, hidden=traits.reasoning_field == HIDDEN)
    return {**_head(ask, clock()), **(said or {}), **_end(ask, answer, spent)}


def only_of(ask: Ask, *, clock: Clock = time.time_ns) -> Json:
    """The answer to a request without prompt or messages: the model is loaded, or let go."""
    said: Json = {"response": ""} if ask.operation == "generate" else {"message": _message("")}
    return {**_head(ask, clock()), **said, "done": True, "done_reason": ask.only}


def moment(ns: int) -> str:
    """A time as Go writes it."""
    seconds, rest = divmod(ns, _NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _head(ask: Ask, now_ns: int) -> Json:
    return {"model": ask.model, "created_at": moment(now_ns)}


def _message(content: str, **more: Any) -> Json:
    return {"role": "assistant", "content": content, **more}


def _said(ask: Ask, answer: Answer, pieces: tuple[Piece, ...], calls: list[int], *, hidden: bool) -> Json | None:
    content = "".join([piece.text for piece in pieces if piece.kind == "content"])
    thought = "" if hidden else "".join([piece.text for piece in pieces if piece.kind == "reasoning"])
    if not (content or thought or calls):
        return None
    more: Json = {"thinking": thought} if thought else {}
    if ask.operation == "generate":
        return {"response": content, **more}
    if calls:
        more["tool_calls"] = [_call(answer, tool) for tool in calls]
    return {"message": _message(content, **more)}


def _call(answer: Answer, tool: int) -> Json:
    """Its arguments are an object here; those of a call that was cut off cannot be one."""
    use = answer.tools[tool]
    try:
        arguments = orjson.loads(answer.text("tool", tool))
    except orjson.JSONDecodeError:
        arguments = {}
    return {
        "id": call_id(use.id),
        "function": {"index": tool, "name": use.name, "arguments": arguments},
    }


def call_id(long: str) -> str:
    """A tool call's id of eight letters, as the server makes them."""
    return f"call_{long[-8:]}"


def _end(ask: Ask, answer: Answer, spent: Spent) -> Json:
    counts = {
        "total_duration": spent.total_ns,
        "load_duration": spent.load_ns,
        "prompt_eval_count": len(ask.prompt),
        "prompt_eval_duration": spent.prefill_ns,
        "eval_count": len(answer.pieces),
        "eval_duration": spent.decode_ns,
    }
    end: Json = {"done": True, "done_reason": "length" if answer.finish == "length" else "stop"}
    if ask.operation == "generate":
        end["context"] = [token % _VOCABULARY for token in ask.prompt]
    return {**end, **{name: value for name, value in counts.items() if value}}
