"""Requests of Ollama's own protocol and of its `/v1`, read and refused as it does it.

A prompt that does not fit into the window (`num_ctx`, 4096 unless told otherwise) is not refused: the oldest messages
are left out until it does, the system's excepted, and of a single message that is too long the middle. Whoever
measures sees it only in `prompt_eval_count`. What the server does not know it does not look at, `tool_choice` included.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

from profiler.engines.sim.plain_request import schema_of, written
from profiler.engines.sim.prompt import render, tokenise
from profiler.engines.sim.reading import Fields, conversation, tools_of
from profiler.engines.sim.request import Ask, BadRequest, Json, Served

WINDOW = 4096
"""The server's default of `num_ctx`."""
_KEPT = 4  # tokens at the beginning of a prompt whose middle is cut out
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(-?)((?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+)")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")


def refuse(message: str, _field: str = "") -> BadRequest:
    """The error for a request that is wrong."""
    return BadRequest(message)


def parse_native(operation: str, body: Any, served: Served) -> Ask:
    """A body of `/api/chat` or `/api/generate`.

    Raises:
        BadRequest: 404 for another model, 500 for an option of another type, 400 for anything else that is wrong.
    """
    fields = Fields(body, refuse)
    model = check_model(fields, served)
    options = _Options(fields.object("options"), _wrong_option)
    common: Json = {
        "id": "",
        "native": True,
        "model": model,
        "stream": fields.flag("stream", missing=True),
        "keep_alive_s": _keep_alive(fields.body.get("keep_alive")),
        "seed": options.integer("seed"),
        "stop": options.texts("stop"),
        "schema": _format(fields),
    }
    for name in ("temperature", "top_p"):
        options.number(name)
    if operation == "generate":
        return _generate(fields, options, served, common)
    messages = fields.objects("messages")
    if not messages:
        return _only("chat", common)
    return _chat(messages, fields, options, served, common)


def parse_chat(body: Any, request_id: str, served: Served) -> Ask:
    """A body of `/v1/chat/completions`; likewise."""
    fields = Fields(body, refuse)
    messages = fields.objects("messages")
    if not messages:
        raise refuse("[] is too short - 'messages'")
    for message in messages:
        if message.get("content") is None and message.get("tool_calls") is None:
            raise refuse("invalid message content type: <nil>")
    for name in ("temperature", "top_p"):
        fields.number(name)
    common: Json = {
        "id": request_id,
        "model": check_model(fields, served),
        "stream": fields.flag("stream"),
        "include_usage": fields.object("stream_options").get("include_usage") is True,
        "seed": fields.integer("seed"),
        "stop": fields.texts("stop"),
        "schema": schema_of(fields, refuse),
    }
    return _chat(messages, fields, _translated(fields), served, common)


def parse_completion(body: Any, request_id: str, served: Served) -> Ask:
    """A body of `/v1/completions`; likewise."""
    fields = Fields(body, refuse)
    prompt = fields.text("prompt") or ""
    window, limit = _limits(_translated(fields), served)
    kept = _middle_out(tokenise(prompt), window)
    return Ask(
        id=request_id,
        operation="completion",
        model=check_model(fields, served),
        prompt_text=prompt,
        prompt=kept,
        stream=fields.flag("stream"),
        include_usage=fields.object("stream_options").get("include_usage") is True,
        max_tokens=_bounded(limit, kept, served),
        seed=fields.integer("seed"),
        stop=fields.texts("stop"),
        first_user_text=prompt,
    )


def check_model(fields: Fields, served: Served) -> str:
    """The name as it was asked for; a tag of `latest` goes without saying.

    Raises:
        BadRequest: 400 without a name, 404 for another model.
    """
    model = fields.text("model") or fields.text("name")
    if not model:
        raise refuse("model is required")
    if model.removesuffix(":latest") != served.model.removesuffix(":latest"):
        raise BadRequest(f"model '{model}' not found", status=404)
    return model


class _Options(Fields):
    """`options`: numbers without a fraction are integers, however they are written."""

    def integer(self, name: str, **_: int) -> int | None:
        value = self.body.get(name)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise BadRequest(f'option "{name}" must be of type integer', status=500)
        return value


def _wrong_option(_message: str, name: str) -> BadRequest:
    kind = "array of strings" if name == "stop" else "float32"
    return BadRequest(f'option "{name}" must be of type {kind}', status=500)


def _translated(fields: Fields) -> _Options:
    return _Options({"num_predict": fields.integer("max_tokens")}, refuse)


def _chat(messages: list[Json], fields: Fields, options: Fields, served: Served, common: Json) -> Ask:
    listed = fields.objects("tools")
    window, limit = _limits(options, served)
    try:
        text, prompt = _fitting(messages, listed, window, cut=fields.flag("truncate", missing=True))
        talk = conversation(messages)
    except (TypeError, RecursionError) as error:
        raise refuse(f"invalid message format: {error}") from None
    return Ask(
        operation="chat",
        prompt_text=text,
        prompt=prompt,
        max_tokens=_bounded(limit, prompt, served),
        tools=tools_of(listed, refuse),
        tool_choice="auto" if listed else "none",
        assistant_turns=talk.assistant_turns,
        tool_calls=talk.tool_calls,
        first_user_text=talk.first_user_text,
        last_role=talk.last_role,
        **common,
    )


def _generate(fields: Fields, options: Fields, served: Served, common: Json) -> Ask:
    said = fields.text("prompt") or ""
    if not said:
        return _only("generate", common)
    system = fields.text("system")
    messages = [{"role": "system", "content": system}] if system else []
    text = said if fields.flag("raw") else render([*messages, {"role": "user", "content": said}])
    window, limit = _limits(options, served)
    prompt = tokenise(text)
    if len(prompt) > window and not fields.flag("truncate", missing=True):
        raise _too_long()
    prompt = _middle_out(prompt, window)
    return Ask(
        operation="generate",
        prompt_text=text,
        prompt=prompt,
        max_tokens=_bounded(limit, prompt, served),
        first_user_text=said,
        **common,
    )


def _only(operation: Literal["chat", "generate"], common: Json) -> Ask:
    """Nothing is to be generated."""
    ask = Ask(operation=operation, prompt_text="", prompt=(), **common)
    return replace(ask, only="unload" if ask.keep_alive_s == 0 else "load")


def _limits(options: Fields, served: Served) -> tuple[int, int | None]:
    """The window, and how many tokens are asked for; 0 and less are no limit."""
    window = options.integer("num_ctx") or WINDOW
    asked = options.integer("num_predict")
    return min(max(window, _KEPT + 1), served.context_tokens - 1), asked if asked is not None and asked > 0 else None


def _bounded(limit: int | None, prompt: tuple[int, ...], served: Served) -> int:
    room = served.context_tokens - len(prompt)
    return room if limit is None else min(limit, room)


def _fitting(messages: list[Json], tools: list[Json], window: int, *, cut: bool) -> tuple[str, tuple[int, ...]]:
    """The prompt of as many of the last messages as fit, and of the system's."""
    for first in range(len(messages)):
        kept = [one for at, one in enumerate(messages) if at >= first or one.get("role") == "system"]
        text = render(kept, tools)
        prompt = tokenise(text)
        if len(prompt) <= window:
            return text, prompt
        if not cut:
            raise _too_long()
    return text, _middle_out(prompt, window)


def _middle_out(prompt: tuple[int, ...], window: int) -> tuple[int, ...]:
    return prompt if len(prompt) <= window else prompt[:_KEPT] + prompt[_KEPT - window :]


def _too_long() -> BadRequest:
    return BadRequest("the input length exceeds the context length")


def _format(fields: Fields) -> Json | None:
    """`json`, or a schema."""
    wanted = fields.body.get("format")
    if wanted in (None, ""):
        return None
    if wanted == "json":
        return {}
    if isinstance(wanted, dict):
        return written(wanted, "format", refuse)
    shown = str(wanted)[:100]
    raise BadRequest(f'invalid format: "{shown}"; expected "json" or a valid JSON Schema object', status=500)


def _keep_alive(value: Any) -> float | None:
    """Seconds, from a number of them or a duration as Go writes it."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
            return float(value)
        raise refuse(f'time: invalid duration "{str(value)[:50]}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(found[2]))
    return -seconds if found[1] else seconds
