"""The OpenAI dialect as vLLM speaks it (0.25 and later, `--enable-per-request-metrics --enable-prompt-tokens-details`).

    opening()   role chunk                        chat only
    tokens()    one chunk for the tokens given    the last one brings the finish reason
    closing()   usage chunk, if asked for         without choices, with vLLM's own `metrics`
                [DONE]

Written from vLLM's chat and completion serving modules; the order of fields and the nulls are theirs, because some
clients look at bytes. Encoding is on the path of every token: what chunks have in common is joined once per request.
"""

from __future__ import annotations

import orjson

from profiler.engines.sim.request import Ask, BadRequest, Json, Served, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.traits import HIDDEN, Traits

VERSION = "0.32.0"
_PLAIN = Traits()
_NS_PER_MS = 1e6
_MS_PER_S = 1e3


class Stream:
    """Encodes one streamed answer as server-sent events."""

    def __init__(
        self, ask: Ask, answer: Answer, *, created: int, fingerprint: str | None = None, traits: Traits = _PLAIN
    ) -> None:
        self._ask = ask
        self._answer = answer
        self._traits = traits
        self._last = len(answer.pieces) - 1
        self._chat = ask.operation == "chat"
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        about = orjson.dumps({"id": ask.id, "object": kind, "created": created, "model": ask.model})
        self._head = b"data: " + about[:-1]
        self._heads = [self._head + b',"choices":[{"index":%d,' % index for index in range(ask.n)]
        self._end = b"}" + traits.line_end * 2
        self._mark = b',"system_fingerprint":' + orjson.dumps(fingerprint) if fingerprint else b""
        ids = b'"token_ids":null' if self._chat else b'"stop_reason":null,"prompt_token_ids":null,"token_ids":null'
        self._going_on = b',"logprobs":null,"finish_reason":null,' + ids + b"}]"
        # The path of nearly every token: one piece of content in one choice.
        self._direct = ask.n == 1 and not ask.continuous_usage
        self._before = self._heads[0] + (b'"delta":{"content":' if self._chat else b'"text":')
        self._after = (b"}" if self._chat else b"") + self._going_on + self._end
        self._begins, self._ends = _call_places(answer)
        # Reasoning comes first, so that one number tells how much of it there is at any token.
        self._thought = sum(piece.kind == "reasoning" for piece in answer.pieces) if traits.reasoning else 0

    def opening(self) -> list[bytes]:
        """The chunk that opens the message, one per choice."""
        if not self._chat:
            return []
        said = b'"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        tail = self._usage_so_far(0) + b',"prompt_token_ids":null,"prompt_text":null' + self._end
        return [head + said + tail for head in self._heads]

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """One chunk (per choice) for the pieces from `begin` up to `end`; none while a tool call is held back."""
        pieces = self._answer.pieces
        if self._direct and end - begin == 1 and begin < self._last and pieces[begin].kind == "content":
            return [self._before + orjson.dumps(pieces[begin].text) + self._after]
        said = self._delta(begin, end) if self._chat else self._text(begin, end)
        if end <= self._last:
            if said is None:
                return []
            tail = self._going_on
        else:
            tail = self._finish() + (b"" if self._ask.include_usage else self._mark)
        tail += self._usage_so_far(end) + self._end
        return [head + (said or b'"delta":{}') + tail for head in self._heads]

    def closing(self, spent: Spent) -> list[bytes]:
        """What comes after the last token."""
        done = b"data: [DONE]" + self._traits.line_end * 2
        if not self._ask.include_usage:
            return [done]
        usage = b',"choices":[],"usage":' + orjson.dumps(usage_of(self._ask, self._answer, spent, self._traits))
        timing = metrics_of(self._ask, self._answer, spent)
        if timing is None:
            return [self._head + usage + self._mark + self._end, done]
        told = orjson.dumps({name: value for name, value in timing.items() if value is not None})
        return [self._head + usage + self._mark + b',"metrics":' + told + self._end, done]

    def _text(self, begin: int, end: int) -> bytes:
        return b'"text":' + orjson.dumps("".join([piece.text for piece in self._answer.pieces[begin:end]]))

    def _delta(self, begin: int, end: int) -> bytes | None:
        pieces = self._answer.pieces[begin:end]
        delta: Json = {}
        for kind, name in (("content", "content"), ("reasoning", self._traits.reasoning_field)):
            texts = [piece.text for piece in pieces if piece.kind == kind]
            if texts and name != HIDDEN:
                delta[name] = "".join(texts)
        calls = self._call_parts(begin, end) if self._traits.tool_deltas else self._whole_calls(begin, end)
        if calls:
            delta["tool_calls"] = calls
        return b'"delta":' + orjson.dumps(delta) if delta else None

    def _call_parts(self, begin: int, end: int) -> list[Json]:
        parts: dict[int, Json] = {}
        for place in range(begin, end):
            piece = self._answer.pieces[place]
            if piece.kind != "tool":
                continue
            part = parts.setdefault(piece.tool, {"index": piece.tool, "function": {"arguments": ""}})
            if place == self._begins[piece.tool]:
                part |= self._opened(piece.tool, "")
            part["function"]["arguments"] += piece.text
        return list(parts.values())

    def _whole_calls(self, begin: int, end: int) -> list[Json]:
        done = [tool for tool, place in self._ends.items() if begin <= place < end]
        return [self._opened(tool, self._answer.text("tool", tool)) for tool in done]

    def _opened(self, tool: int, arguments: str) -> Json:
        use = self._answer.tools[tool]
        function = {"name": use.name, "arguments": arguments}
        return {"id": use.id, "type": "function", "index": tool, "function": function}

    def _finish(self) -> bytes:
        stop = orjson.dumps(self._answer.stop_text)
        ids = b',"token_ids":null}]' if self._chat else b',"prompt_token_ids":null,"token_ids":null}]'
        return b',"logprobs":null,"finish_reason":"%s","stop_reason":' % self._answer.finish.encode() + stop + ids

    def _usage_so_far(self, tokens: int) -> bytes:
        if not self._ask.continuous_usage:
            return b""
        prompt = len(self._ask.prompt)
        usage: Json = {"prompt_tokens": prompt, "total_tokens": prompt + tokens, "completion_tokens": tokens}
        if self._chat and self._traits.reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": min(self._thought, tokens)}
        return b',"usage":' + orjson.dumps(usage)


def body_of(
    ask: Ask, answer: Answer, spent: Spent, *, created: int, fingerprint: str | None = None, traits: Traits = _PLAIN
) -> Json:
    """The whole response to a request that does not stream."""
    chat = ask.operation == "chat"
    common = {"logprobs": None, "finish_reason": answer.finish, "stop_reason": answer.stop_text, "token_ids": None}
    if chat:
        said: Json = {"message": _message(answer, traits), **common}
        about: Json = {"prompt_logprobs": None, "prompt_token_ids": None, "prompt_text": None}
    else:
        said = {"text": answer.text(), **common, "prompt_logprobs": None, "prompt_token_ids": None}
        about = {}
    return {
        "id": ask.id,
        "object": "chat.completion" if chat else "text_completion",
        "created": created,
        "model": ask.model,
        "choices": [{"index": index, **said} for index in range(ask.n)],
        "service_tier": None,
        "system_fingerprint": fingerprint,
        "usage": usage_of(ask, answer, spent, traits),
        **about,
        "kv_transfer_params": None,
        "metrics": metrics_of(ask, answer, spent),
    }


def usage_of(ask: Ask, answer: Answer, spent: Spent, traits: Traits = _PLAIN) -> Json:
    """The `usage` object of a finished request."""
    prompt, completion = len(ask.prompt), len(answer.pieces) * ask.n
    usage: Json = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    usage["prompt_tokens_details"] = {"cached_tokens": spent.cached_tokens}
    if ask.operation == "chat" and traits.reasoning:
        thought = sum(piece.kind == "reasoning" for piece in answer.pieces) * ask.n
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


def metrics_of(ask: Ask, answer: Answer, spent: Spent) -> Json | None:
    """The in-band timing of vLLM in milliseconds; its time to first token runs from scheduling, without the queue.

    None for several choices, which vLLM tells no timing of; with one token there is no generation time.
    """
    if ask.n > 1:
        return None
    tokens = len(answer.pieces)
    busy_ms = (spent.prefill_ns + spent.decode_ns) / _NS_PER_MS
    decode_ms = spent.decode_ns / _NS_PER_MS if tokens > 1 else None
    return {
        "time_to_first_token_ms": spent.prefill_ns / _NS_PER_MS,
        "generation_time_ms": decode_ms,
        "queue_time_ms": spent.queue_ns / _NS_PER_MS,
        "mean_itl_ms": None if decode_ms is None else decode_ms / (tokens - 1),
        "tokens_per_second": tokens / busy_ms * _MS_PER_S if busy_ms else None,
    }


def error_of(error: BadRequest) -> Json:
    """The body of a refusal."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.status}}


def error_events(message: str, traits: Traits = _PLAIN) -> list[bytes]:
    """How a stream that has begun ends when the engine fails: an error inside the 200, then [DONE]."""
    error = error_of(BadRequest(message, status=500, type="InternalServerError"))
    end = traits.line_end * 2
    return [b"data: " + orjson.dumps(error) + end, b"data: [DONE]" + end]


def models_of(served: Served, created: int) -> Json:
    """The answer to `/v1/models`."""
    card = {
        "id": served.model,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": served.model,
        "parent": None,
        "max_model_len": served.context_tokens,
    }
    return {"object": "list", "data": [card]}


def version() -> Json:
    """The answer to `/version`: the vLLM whose dialect this is."""
    return {"version": VERSION}


def _message(answer: Answer, traits: Traits) -> Json:
    calls = [
        {
            "id": use.id,
            "type": "function",
            "function": {"name": use.name, "arguments": answer.text("tool", index)},
        }
        for index, use in enumerate(answer.tools)
    ]
    content = answer.text()
    message: Json = {"role": "assistant", "content": content if content or not calls else None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    if traits.reasoning_field == HIDDEN:
        return message
    return {**message, traits.reasoning_field: answer.text("reasoning") or None}


def _call_places(answer: Answer) -> tuple[dict[int, int], dict[int, int]]:
    """Where each tool call's first and last piece is."""
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    if answer.tools:
        for place, piece in enumerate(answer.pieces):
            if piece.kind == "tool":
                begins.setdefault(piece.tool, place)
                ends[piece.tool] = place
    return begins, ends
