"""OpenAI's chat completions and completions, whoever serves them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson

from profiler.record import sse
from profiler.record.protocol import CHAT, TEXT, Json, Reply, parse_json
from profiler.record.replay import Adaptation, StreamRewriter, Terms, adapt_request, body_from_stream, rewrite_body
from profiler.script import ScriptedCall

# Asked for any of these, an answer has parts that are not put together from a stream.
_NOT_PUT_TOGETHER = ("logprobs", "top_logprobs", "prompt_logprobs", "return_token_ids", "functions", "audio")


class _OpenAi:
    name: str
    operation: str
    stream_type = "text/event-stream"
    unasked_mark = b"usage"

    def accepts(self, body: Json) -> bool:  # noqa: ARG002 - nothing else has these paths
        return True

    def only_loads(self, body: Json) -> bool:  # noqa: ARG002
        return False

    def streams(self, body: Json) -> bool:
        return bool(body.get("stream"))

    def adapt(self, body: Json, scripted: ScriptedCall | None, terms: Terms) -> Adaptation:
        if terms.force_stream and (body.get("n") not in (None, 1) or any(map(body.get, _NOT_PUT_TOGETHER))):
            terms = replace(terms, force_stream=False)  # one answer is put together from a stream, not several
        return adapt_request(body, scripted, terms)

    def reply(self) -> Reply:
        return Reply()

    def decoder(self) -> sse.Decoder:
        return sse.Decoder()

    def encode(self, chunk: Json) -> bytes:
        return sse.encode(orjson.dumps(chunk))

    def parse_body(self, data: bytes) -> Json | None:
        return parse_json(data)

    def dump_body(self, body: Json) -> bytes:
        return json.dumps(body).encode()

    def rewriter(self, scripted: ScriptedCall, ordinal: int, choices: int) -> StreamRewriter:
        return StreamRewriter(scripted, ordinal, self.operation, choices)

    def unasked(self, chunk: Json, *, token: bool) -> Json | None:
        """The chunk of usage goes: an agent that did not ask for it may not expect one without choices."""
        return None if not token and not chunk.get("choices") and chunk.get("usage") else chunk

    def rewrite_body(self, body: Json, scripted: ScriptedCall, ordinal: int, choices: int) -> Json:
        return rewrite_body(body, scripted, ordinal, self.operation, choices)

    def body_of(self, last: Json, reply: Reply) -> Json:
        calls = [reply.tool_calls[index] for index in sorted(reply.tool_calls)]
        finish = reply.finish_reasons[0] if reply.finish_reasons else None
        more = {name: "".join(said) for name, said in reply.reasoning.items()}
        if reply.refusal:
            more["refusal"] = "".join(reply.refusal)
        return body_from_stream(last, "".join(reply.content), calls, finish, reply.usage, more)

    def fields(self, body: Json) -> Json:
        return body


class OpenAiChat(_OpenAi):
    """`/chat/completions`."""

    name = "openai.chat"
    operation = CHAT

    def prompt(self, body: Json) -> tuple[list[Any] | None, Any]:
        """Its messages, and its tools."""
        messages = body.get("messages")
        return messages if isinstance(messages, list) else None, body.get("tools")


class OpenAiCompletion(_OpenAi):
    """`/completions`."""

    name = "openai.completions"
    operation = TEXT

    def adapt(self, body: Json, scripted: ScriptedCall | None, terms: Terms) -> Adaptation:
        """As it is; a stream on the agent's behalf is for chats."""
        return adapt_request(body, scripted, replace(terms, force_stream=False))

    def prompt(self, body: Json) -> tuple[list[Any] | None, Any]:
        """A batch is one message: nothing is known of its parts' order in the cache."""
        return ([body["prompt"]] if "prompt" in body else None), None
