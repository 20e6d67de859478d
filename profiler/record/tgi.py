"""TGI's own API: one event for each token, the whole text with the last, no end mark; timing in headers if unstreamed.

    /generate_stream   data: {"index": 1, "token": {"id", "text", "logprob", "special"}, "generated_text", "details"}
    /generate          {"generated_text": …, "details": …}
    /                  either, as the body's `stream` says; unstreamed it answers with a list of one

`details` (why it ended, tokens of prompt and output) only come if asked for, on a stream's last event. An error inside
a stream is an event `{"error": …, "error_type": …}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from profiler.record import sse
from profiler.record.protocol import TEXT, Json, Reply, object_of, parse_json
from profiler.record.replay import Adaptation, Terms, changed_names
from profiler.record.spread import TextSpread
from profiler.script import ScriptedCall

# Each could end the output early, or make the engine do something else than emit N tokens.
_UNSCRIPTABLE = ("stop", "grammar", "best_of")
_FINISH = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}  # OpenAI's words for TGI's
_BACK = {"stop": "eos_token", "length": "length"}


class TgiReply(Reply):
    """What TGI said by its own API."""

    def take_chunk(self, chunk: Json, arrival_ns: int) -> bool:
        """Take one event; True if it brought a token that the model wrote as text."""
        if chunk.get("error"):
            self.take_error(chunk)
            return False
        token = chunk["token"]
        bears = not token.get("special")
        if bears:
            self.content.append(str(token["text"]))
            self.token_times_ns.append(arrival_ns)
        if chunk.get("generated_text") is not None or chunk.get("details"):
            self._take_details(chunk.get("details"))
            self.done = True
        return bears

    def take_body(self, body: Json) -> None:
        """Take a whole answer."""
        if body.get("error"):
            self.take_error(body)
            return
        self.content.append(str(body["generated_text"]))
        self._take_details(body.get("details"))
        self.done = True

    def take_headers(self, headers: Mapping[str, str]) -> None:
        """Take the tokens of prompt and output that headers tell, where no details came."""
        counts = [headers.get(name, "") for name in ("x-prompt-tokens", "x-generated-tokens")]
        if self.usage is None and all(count.isascii() and count.isdigit() for count in counts):
            self.usage = {"prompt_tokens": int(counts[0][:12]), "completion_tokens": int(counts[1][:12])}

    def _take_details(self, details: Json | None) -> None:
        if not details:
            return
        reason = str(details.get("finish_reason"))
        self.finish_reasons.append(_FINISH.get(reason, reason))
        prompt = details.get("input_length", len(details.get("prefill") or ()) or None)
        self.usage = {"prompt_tokens": prompt, "completion_tokens": details.get("generated_tokens")}


class TgiRewriter:
    """A script's words in place of TGI's tokens; its own API knows no tool calls."""

    def __init__(self, scripted: ScriptedCall) -> None:
        self._content = scripted.content
        self._finish = _BACK.get(scripted.finish, "eos_token")
        self._spread = TextSpread(len(scripted.content), scripted.output_tokens)

    def next_members(self) -> bytes | None:
        """Each event has an index and a probability of its own: none is known by its form."""
        return None

    def rewrite(self, chunk: Json, *, token: bool) -> Json:
        """The event with the script's share of text."""
        last = chunk.get("generated_text") is not None or bool(chunk.get("details"))
        low, high = self._spread.next(token=token, finished=last)
        rewritten = {**chunk, "token": {**chunk["token"], "text": self._content[low:high]}}
        if last:
            rewritten["generated_text"] = self._content
            if chunk.get("details"):
                rewritten["details"] = {**chunk["details"], "finish_reason": self._finish}
        return rewritten


class TgiGenerate:
    """`/generate`, and what the others have from it."""

    name = "tgi.generate"
    operation = TEXT
    stream_type = "text/event-stream"
    unasked_mark = b"generated_tokens"

    def accepts(self, body: Json) -> bool:
        """Others have such a path, too: SGLang with `text`, vLLM's demonstration server with `prompt`."""
        return "inputs" in body

    def only_loads(self, body: Json) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def streams(self, body: Json) -> bool:  # noqa: ARG002 - the path says it
        """Never."""
        return False

    def adapt(self, body: Json, scripted: ScriptedCall | None, terms: Terms) -> Adaptation:
        """With details of a stream, a seed, and a script's length as the limit: it cannot be told an exact one."""
        asked = object_of(body.get("parameters"))
        if body.get("parameters") and not asked:
            return Adaptation(body, ())
        sent = dict(asked)
        if scripted is not None:
            for name in _UNSCRIPTABLE:
                sent.pop(name, None)
            sent["max_new_tokens"] = scripted.output_tokens
        if terms.seed is not None and asked.get("seed") is None:
            sent["seed"] = terms.seed
        top_p = asked.get("top_p")
        if isinstance(top_p, int | float) and top_p >= 1:
            del sent["top_p"]  # 1 is what it does without, and refuses
        wanted = bool(asked.get("details"))
        if self.streams(body):
            sent["details"] = True
        changed = changed_names(asked, sent, {*asked, *sent})
        if not changed:
            return Adaptation(body, ())
        return Adaptation({**body, "parameters": sent}, tuple(f"parameters.{name}" for name in changed), wanted)

    def reply(self) -> TgiReply:
        """See `TgiReply`."""
        return TgiReply()

    def decoder(self) -> sse.Decoder:
        """Server-sent events."""
        return sse.Decoder()

    def encode(self, chunk: Json) -> bytes:
        """TGI leaves no blank after the colon."""
        return b"data:" + orjson.dumps(chunk) + b"\n\n"

    def parse_body(self, data: bytes) -> Json | None:
        """A JSON object."""
        return parse_json(data)

    def dump_body(self, body: Json) -> bytes:
        """Its JSON."""
        return orjson.dumps(body)

    def rewriter(self, scripted: ScriptedCall, ordinal: int, choices: int) -> TgiRewriter:  # noqa: ARG002
        """See `TgiRewriter`."""
        return TgiRewriter(scripted)

    def unasked(self, chunk: Json, *, token: bool) -> Json | None:  # noqa: ARG002
        """Without details."""
        return {**chunk, "details": None} if chunk.get("details") else chunk

    def rewrite_body(self, body: Json, scripted: ScriptedCall, ordinal: int, choices: int) -> Json:  # noqa: ARG002
        """The text, and why it ended."""
        if "generated_text" not in body:
            return body
        rewritten = {**body, "generated_text": scripted.content}
        if body.get("details"):
            rewritten["details"] = {**body["details"], "finish_reason": _BACK.get(scripted.finish, "eos_token")}
        return rewritten

    def body_of(self, last: Json, reply: Reply) -> Json:  # noqa: ARG002 - nothing is streamed on the agent's behalf
        """The text."""
        return {"generated_text": "".join(reply.content)}

    def prompt(self, body: Json) -> tuple[list[Any] | None, Any]:
        """One text."""
        return [body.get("inputs")], None

    def fields(self, body: Json) -> Json:
        """From `parameters`; the model is not named."""
        parameters = object_of(body.get("parameters"))
        same = {name: parameters.get(name) for name in ("temperature", "top_p", "seed")}
        return {**same, "stream": self.streams(body), "max_tokens": parameters.get("max_new_tokens")}


class TgiGenerateStream(TgiGenerate):
    """`/generate_stream`."""

    name = "tgi.generate_stream"

    def streams(self, body: Json) -> bool:  # noqa: ARG002 - the path says it
        """Always."""
        return True


class TgiCompatible(TgiGenerate):
    """`/`, as Hugging Face's own clients use it."""

    name = "tgi.compatible"

    def streams(self, body: Json) -> bool:
        """As the body says."""
        return bool(body.get("stream"))

    def parse_body(self, data: bytes) -> Json | None:
        """The one answer of a list of answers."""
        try:
            value = orjson.loads(data)
        except ValueError:
            return None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return value if isinstance(value, dict) else None

    def dump_body(self, body: Json) -> bytes:
        """In a list again."""
        return orjson.dumps([body] if "generated_text" in body else body)
