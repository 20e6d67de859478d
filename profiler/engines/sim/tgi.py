"""The dialect of Hugging Face's text-generation-inference 3.3: its own protocol, and its chat with its quirks.

    /generate_stream        one event per token, index from 1; text and details only on the last; no [DONE]
    /generate               timing in headers, in whole milliseconds, cut off; none when streaming
    /v1/chat/completions    id "", one tool call, finish reason "stop" after it, usage in a chunk of its own, [DONE]
    /v1/completions         id "", usage in the last event, no [DONE]

No blank follows the colon of an event's `data:`.

With `tool_choice` auto the model first writes under a grammar of all tools and `no_tool`; if it says `no_tool`, that
is thrown away and a second generation without tools begins. The answer's `hidden_tokens` are that first one, and TGI's
timing headers are of the second alone.

Written from the router's sources. It never puts several tokens into one event: of the traits, those that change chunks
do nothing here.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import orjson

from profiler.engines.sim.request import Ask, BadRequest, Json, Served, Spent
from profiler.engines.sim.speech import Answer, Piece
from profiler.engines.sim.traits import Traits

VERSION = "3.3.7"
FINGERPRINT = f"{VERSION}-native"
MAX_CONCURRENT = 128
_PLAIN = Traits()
_NS_PER_MS = 1_000_000
_NS_PER_S = 1e9
_VOCABULARY = 1 << 17


class GenerateStream:
    """Encodes an answer to `/generate_stream`."""

    def __init__(self, ask: Ask, answer: Answer, *, traits: Traits = _PLAIN) -> None:
        self._ask = ask
        self._answer = answer
        self._last = len(answer.pieces) - 1
        self._end = traits.line_end * 2

    def opening(self) -> list[bytes]:
        """Nothing comes before the first token."""
        return []

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """One event for each piece from `begin` up to `end`."""
        return [self._event(index) for index in range(begin, min(end, self._last + 1))]

    def closing(self, _spent: Spent) -> list[bytes]:
        """Nothing comes after the last token."""
        return []

    def _event(self, index: int) -> bytes:
        event: Json = {"index": index + 1, "token": _token(self._answer.pieces[index])}
        last = index == self._last
        event["generated_text"] = _output(self._ask, self._answer) if last else None
        event["details"] = None
        if last and self._ask.details:
            event["details"] = {**_details(self._ask, self._answer), "input_length": len(self._ask.prompt)}
        return b"data:" + orjson.dumps(event) + self._end


class ChatStream:
    """Encodes a streamed answer to TGI's `/v1/chat/completions`."""

    def __init__(self, ask: Ask, answer: Answer, *, created: int, traits: Traits = _PLAIN) -> None:
        self._ask = ask
        self._answer = answer
        self._last = len(answer.pieces) - 1
        self._end = traits.line_end * 2
        about = {"object": "chat.completion.chunk", "id": "", "created": created, "model": ask.model}
        self._head = b"data:" + orjson.dumps({**about, "system_fingerprint": FINGERPRINT})[:-1] + b',"choices":['
        self._named = False

    def opening(self) -> list[bytes]:
        """Nothing: every chunk has the role."""
        return []

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """One event for each piece from `begin` up to `end`."""
        return [self._event(index) for index in range(begin, min(end, self._last + 1))]

    def closing(self, _spent: Spent) -> list[bytes]:
        """The usage chunk, if asked for, and [DONE]."""
        done = b"data:[DONE]" + self._end
        if not self._ask.include_usage:
            return [done]
        return [self._head + b'],"usage":' + orjson.dumps(_usage(self._ask, self._answer)) + b"}" + self._end, done]

    def _event(self, index: int) -> bytes:
        piece = self._answer.pieces[index]
        delta = b'{"index":0,"delta":{"role":"assistant",'
        if piece.kind == "tool":
            first = index == 0 or self._answer.pieces[index - 1].kind != "tool"
            name = self._answer.tools[piece.tool].name if first else None
            call = {"index": 0, "id": str(self._ask.tool_calls), "type": "function"}
            function = {"name": name, "arguments": piece.text}
            delta += b'"tool_calls":[' + orjson.dumps({**call, "function": function}) + b"]"
        else:
            delta += b'"content":' + orjson.dumps(piece.text)
        reason = b'"%s"' % _reason(self._answer).encode() if index == self._last else b"null"
        return self._head + delta + b'},"logprobs":null,"finish_reason":' + reason + b'}],"usage":null}' + self._end


class CompletionStream:
    """Encodes a streamed answer to TGI's `/v1/completions`: the last event has the usage, and no [DONE] follows."""

    def __init__(self, ask: Ask, answer: Answer, *, created: int, traits: Traits = _PLAIN) -> None:
        self._ask = ask
        self._answer = answer
        self._last = len(answer.pieces) - 1
        self._end = traits.line_end * 2
        self._about = {"object": "text_completion", "id": "", "created": created, "model": ask.model}

    def opening(self) -> list[bytes]:
        """Nothing comes before the first token."""
        return []

    def tokens(self, begin: int, end: int) -> list[bytes]:
        """One event for each piece from `begin` up to `end`."""
        return [self._event(index) for index in range(begin, min(end, self._last + 1))]

    def closing(self, _spent: Spent) -> list[bytes]:
        """Nothing comes after the last token."""
        return []

    def _event(self, index: int) -> bytes:
        last = index == self._last
        reason = _details(self._ask, self._answer)["finish_reason"] if last else ""
        choice = {"index": 0, "text": self._answer.pieces[index].text, "logprobs": None, "finish_reason": reason}
        event = {**self._about, "choices": [choice], "system_fingerprint": FINGERPRINT}
        if last:
            event["usage"] = _usage(self._ask, self._answer)
        return b"data:" + orjson.dumps(event) + self._end


def completion_body(ask: Ask, answer: Answer, *, created: int) -> Json:
    """The unstreamed answer to a completion."""
    reason = _details(ask, answer)["finish_reason"]
    return {
        "object": "text_completion",
        "id": "",
        "created": created,
        "model": ask.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "text": answer.text(), "logprobs": None, "finish_reason": reason}],
        "usage": _usage(ask, answer),
    }


def generate_body(ask: Ask, answer: Answer) -> Json:
    """The answer to `/generate`."""
    body: Json = {"generated_text": _output(ask, answer)}
    if ask.details:
        tokens = [_token(piece) for piece in answer.pieces]
        body["details"] = {**_details(ask, answer), "prefill": [], "tokens": tokens}
    return body


def chat_body(ask: Ask, answer: Answer, *, created: int) -> Json:
    """The unstreamed answer to a chat.

    Raises:
        BadRequest: 422, as TGI has it when a tool call was cut off by the limit and cannot be parsed.
    """
    message: Json = {"role": "assistant"}
    if answer.tools:
        arguments = answer.text("tool")
        if answer.finish == "length":
            raise BadRequest(
                f"Tool error: Failed to parse generated text: {arguments!r}", status=422, type="tool_error"
            )
        function = {"description": None, "name": answer.tools[0].name, "arguments": arguments}
        message["tool_calls"] = [{"id": "0", "type": "function", "function": function}]
    else:
        message["content"] = "".join(piece.text for piece in answer.pieces)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(answer)}
    return {
        "object": "chat.completion",
        "id": "",
        "created": created,
        "model": ask.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [choice],
        "usage": _usage(ask, answer),
    }


def headers_of(ask: Ask, answer: Answer, spent: Spent, *, compute_type: str = "sim") -> dict[str, str]:
    """The timing headers of an unstreamed answer: whole milliseconds, cut off, but for `x-compute-time` in seconds."""
    inference_ns = spent.prefill_ns + spent.decode_ns
    whole_ms = {
        "x-total-time": spent.total_ns,
        "x-validation-time": spent.frontend_ns,
        "x-queue-time": spent.queue_ns,
        "x-inference-time": inference_ns,
        "x-time-per-token": inference_ns // len(answer.pieces),
    }
    return {
        **stream_headers(ask, compute_type=compute_type),
        "x-compute-time": repr(spent.total_ns / _NS_PER_S),
        **{name: str(value_ns // _NS_PER_MS) for name, value_ns in whole_ms.items()},
        "x-prompt-tokens": str(len(ask.prompt)),
        "x-generated-tokens": str(len(answer.pieces)),
    }


def stream_headers(ask: Ask, *, compute_type: str = "sim") -> dict[str, str]:
    """The headers that a stream has too: no timing."""
    return {"x-compute-type": compute_type, "x-compute-characters": str(len(ask.prompt_text))}


def error_of(error: BadRequest) -> Json:
    """The body of a refusal."""
    return {"error": error.message, "error_type": error.type}


def overloaded() -> BadRequest:
    """What TGI says at once when too many requests are under way."""
    return BadRequest("Model is overloaded", status=429, type="overloaded")


def generation_failed(why: str) -> BadRequest:
    """What TGI says when the model fails."""
    return BadRequest(f"Request failed during generation: {why}", status=424, type="generation")


def error_events(error: BadRequest, *, chat: bool, traits: Traits = _PLAIN) -> list[bytes]:
    """An error inside the 200: TGI begins a stream before it knows whether the request is possible."""
    end = traits.line_end * 2
    if not chat:
        return [b"data:" + orjson.dumps(error_of(error)) + end]
    told = {"error": {"message": error.message, "http_status_code": error.status}}
    return [b"data:" + orjson.dumps(told) + end, b"data:[DONE]" + end]


def info_of(served: Served, most_concurrent: int = MAX_CONCURRENT) -> Json:
    """The answer to `/info`."""
    return {
        "model_id": served.model,
        "model_sha": None,
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": most_concurrent,
        "max_best_of": 1,
        "max_stop_sequences": 4,
        "max_input_tokens": served.context_tokens - 1,
        "max_total_tokens": served.context_tokens,
        "validation_workers": 2,
        "max_client_batch_size": 4,
        "router": "text-generation-router",
        "version": VERSION,
        "sha": None,
        "docker_label": None,
    }


def models_of(served: Served) -> Json:
    """The answer to `/v1/models`."""
    return {
        "object": "list",
        "data": [{"id": served.model, "object": "model", "created": 0, "owned_by": served.model}],
    }


def _token(piece: Piece) -> dict[str, Any]:
    number = crc32(piece.text.encode()) % _VOCABULARY
    return {"id": number, "text": piece.text, "logprob": -(number % 64 + 1) / 64, "special": False}


def _output(ask: Ask, answer: Answer) -> str:
    return (ask.prompt_text if ask.full_text else "") + "".join(piece.text for piece in answer.pieces)


def _details(ask: Ask, answer: Answer) -> Json:
    reason = "length" if answer.finish == "length" else "stop_sequence" if answer.stop_text else "eos_token"
    return {"finish_reason": reason, "generated_tokens": len(answer.pieces), "seed": ask.seed}


def _reason(answer: Answer) -> str:
    return "length" if answer.finish == "length" else "stop"


def _usage(ask: Ask, answer: Answer) -> Json:
    prompt, completion = len(ask.prompt), len(answer.pieces)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
