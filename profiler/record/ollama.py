"""Ollama's own API: a JSON object a line, the last one with `done` and the engine's durations.

    /api/chat       {"model", "created_at", "message": {"role", "content", "thinking", "tool_calls"}, "done": false}
    /api/generate   {"model", "created_at", "response", "thinking", "done": false}
    the last        {…, "done": true, "done_reason", "total_duration", "load_duration", "prompt_eval_count", …}

It streams unless told not to. Tool calls come whole, their arguments as an object and mostly without an id. What is
zero is left out. An error inside a stream is a line `{"error": …}`.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from profiler.record import ndjson
from profiler.record.protocol import CHAT, TEXT, Json, Reply, object_of, parse_json
from profiler.record.replay import Adaptation, Terms, changed_names
from profiler.record.spread import TextSpread
from profiler.script import ScriptedCall

_MEMBERS = {"num_predict": "max_tokens", "temperature": "temperature", "top_p": "top_p", "seed": "seed"}


class OllamaReply(Reply):
    """What Ollama said by its own API."""

    def take_chunk(self, chunk: Json, arrival_ns: int) -> bool:
        """Take one object; True if it brought output of the model."""
        if chunk.get("error"):
            self.take_error(chunk)
            return False
        bears = self._take(chunk)
        if bears:
            self.token_times_ns.append(arrival_ns)
        return bears

    def take_body(self, body: Json) -> None:
        """Take a whole, unstreamed answer."""
        if body.get("error"):
            self.take_error(body)
            return
        self._take(body)
        self.done = True

    def _take(self, data: Json) -> bool:
        self.model = data.get("model") or self.model
        said = data.get("message") or {"content": data.get("response"), "thinking": data.get("thinking")}
        text, thinking, calls = said.get("content"), said.get("thinking"), said.get("tool_calls") or ()
        if text:
            self.content.append(str(text))
        if thinking:
            self.reasoning_chunks += 1
            self.reasoning.setdefault("thinking", []).append(str(thinking))
        for call in calls:
            function = call["function"]
            arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
            known = {"id": call.get("id"), "name": str(function["name"]), "arguments": arguments}
            self.tool_calls[len(self.tool_calls)] = known
        if data.get("done"):
            self.done = True
            self.finish_reasons.append(str(data.get("done_reason") or "stop"))
            counts = {"prompt_tokens": "prompt_eval_count", "completion_tokens": "eval_count"}
            self.usage = {ours: data.get(theirs) for ours, theirs in counts.items()}
            self.told["durations"] = data
        return bool(text or thinking or calls)


class OllamaRewriter:
    """A script's words in place of Ollama's; a tool call comes whole, with the token that would have ended it.

        engine   |tok|tok|tok|tok|tok|tok|done
        script   "I will look." search({"query": …})
        agent    |I w|ill| lo|ok.|   |search(…)|done

    A tool call's length is that of its arguments as text.
    """

    def __init__(self, scripted: ScriptedCall, *, chat: bool) -> None:
        self._chat = chat
        self._content = scripted.content
        self._finish = "length" if scripted.finish == "length" else "stop"
        self._calls = _tool_calls(scripted) if chat else []
        self._ends = [len(self._content)]
        for call in self._calls:
            self._ends.append(self._ends[-1] + len(json.dumps(call["function"]["arguments"], ensure_ascii=False)))
        self._spread = TextSpread(self._ends[-1], scripted.output_tokens)

    def next_members(self) -> bytes | None:
        """Each line has a time of its own: none is known by its form."""
        return None

    def rewrite(self, chunk: Json, *, token: bool) -> Json:
        """The line with the script's share."""
        done = bool(chunk.get("done"))
        low, high = self._spread.next(token=token, finished=done)
        text = self._content[low:high]
        rewritten = {**chunk, "done_reason": self._finish} if done else {**chunk}
        if not self._chat:
            rewritten.pop("thinking", None)
            return {**rewritten, "response": text}
        message: Json = {"role": "assistant", "content": text}
        calls = [call for call, end in zip(self._calls, self._ends[1:], strict=True) if low < end <= high]
        if calls:
            message["tool_calls"] = calls
        return {**rewritten, "message": message}


def _tool_calls(scripted: ScriptedCall) -> list[Json]:
    return [{"function": {"name": call.name, "arguments": call.arguments}} for call in scripted.tool_calls]


class _Ollama:
    name: str
    operation: str
    stream_type = "application/x-ndjson"
    unasked_mark = b""  # nothing is
    _asked: tuple[str, ...]  # without any of these fields it loads or unloads its model and says nothing

    def accepts(self, body: Json) -> bool:
        return "model" in body and not self.only_loads(body)

    def only_loads(self, body: Json) -> bool:
        return "model" in body and not any(map(body.get, self._asked))

    def streams(self, body: Json) -> bool:
        return body.get("stream") is not False

    def adapt(self, body: Json, scripted: ScriptedCall | None, terms: Terms) -> Adaptation:
        """With a seed, and a script's length as the limit: it cannot be told an exact one."""
        asked = object_of(body.get("options"))
        if body.get("options") and not asked:
            return Adaptation(body, ())
        options, sent = dict(asked), dict(body)
        if scripted is not None:
            options.pop("stop", None)
            options["num_predict"] = scripted.output_tokens
            sent.pop("format", None)
        if terms.seed is not None and asked.get("seed") is None:
            options["seed"] = terms.seed
        if terms.force_stream and body.get("stream") is False and not body.get("logprobs"):
            sent["stream"] = True
        if options != asked:
            sent["options"] = options
        inner = changed_names(asked, options, {*asked, *options})
        outer = changed_names(body, sent, {"format", "stream"})
        return Adaptation(sent if inner or outer else body, (*outer, *(f"options.{name}" for name in inner)))

    def reply(self) -> OllamaReply:
        return OllamaReply()

    def decoder(self) -> ndjson.Decoder:
        return ndjson.Decoder()

    def encode(self, chunk: Json) -> bytes:
        return ndjson.encode(orjson.dumps(chunk))

    def parse_body(self, data: bytes) -> Json | None:
        return parse_json(data)

    def dump_body(self, body: Json) -> bytes:
        return orjson.dumps(body)

    def rewriter(self, scripted: ScriptedCall, ordinal: int, choices: int) -> OllamaRewriter:  # noqa: ARG002
        return OllamaRewriter(scripted, chat=self.operation == CHAT)

    def unasked(self, chunk: Json, *, token: bool) -> Json | None:  # noqa: ARG002 - nothing is asked for
        return chunk

    def rewrite_body(self, body: Json, scripted: ScriptedCall, ordinal: int, choices: int) -> Json:  # noqa: ARG002
        if not body.get("done"):
            return body
        return OllamaRewriter(scripted, chat=self.operation == CHAT).rewrite(body, token=True)

    def body_of(self, last: Json, reply: Reply) -> Json:
        text = "".join(reply.content)
        thoughts = {name: "".join(said) for name, said in reply.reasoning.items()}
        if self.operation == TEXT:
            return {**last, "response": text, **thoughts}
        message: Json = {"role": "assistant", "content": text, **thoughts}
        if reply.tool_calls:
            message["tool_calls"] = [
                {
                    **({"id": call["id"]} if call["id"] else {}),
                    "function": {"name": call["name"], "arguments": json.loads(call["arguments"])},
                }
                for _, call in sorted(reply.tool_calls.items())
            ]
        return {**last, "message": message}

    def fields(self, body: Json) -> Json:
        options = object_of(body.get("options"))
        told = {ours: options.get(theirs) for theirs, ours in _MEMBERS.items()}
        return {**told, "model": body.get("model"), "stream": self.streams(body)}


class OllamaChat(_Ollama):
    """`/api/chat`."""

    name = "ollama.chat"
    operation = CHAT
    _asked = ("messages",)

    def prompt(self, body: Json) -> tuple[list[Any] | None, Any]:
        """Its messages, and its tools."""
        messages = body.get("messages")
        return messages if isinstance(messages, list) else None, body.get("tools")


class OllamaGenerate(_Ollama):
    """`/api/generate`."""

    name = "ollama.generate"
    operation = TEXT
    _asked = ("prompt", "suffix", "images")

    def prompt(self, body: Json) -> tuple[list[Any] | None, Any]:
        """What surrounds it comes first, then the text."""
        return [body[name] for name in ("system", "prompt") if body.get(name) is not None], None
