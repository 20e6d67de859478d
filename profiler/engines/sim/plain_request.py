"""Requests of OpenAI's protocol, read as any server reads them; each says itself what it refuses and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from profiler.engines.sim.openai_request import tool_choice
from profiler.engines.sim.prompt import render, tokenise
from profiler.engines.sim.reading import Fields, Refuse, conversation, tools_of
from profiler.engines.sim.request import Ask, Json

Room = Callable[[int], int]
"""Tokens that are left for the output after a prompt of so many; may raise BadRequest."""
MOST_CHOICES = 64


def read_chat(fields: Fields, refuse: Refuse, *, room: Room, **known: Any) -> Ask:
    """A body of `/v1/chat/completions`.

    Args:
        fields: of the body.
        refuse: makes the error for what is wrong.
        room: see there.
        known: fields of the `Ask` that the server sets itself.

    Raises:
        BadRequest: made by `refuse` or `room`.
    """
    if "messages" not in fields.body:
        raise refuse("'messages' is required", "messages")
    messages, tools = fields.objects("messages"), fields.objects("tools")
    choice, named = tool_choice(fields, refuse)
    try:
        text = render(messages, tools)
        talk = conversation(messages)
    except (TypeError, RecursionError) as error:
        raise refuse(f"messages or tools cannot be rendered: {error}", "messages") from None
    limit = fields.integer("max_completion_tokens", least=1)
    return _read(
        fields,
        room=room,
        limit=fields.integer("max_tokens", least=1) if limit is None else limit,
        operation="chat",
        prompt_text=text,
        prompt=tokenise(text),
        tools=tools_of(tools, refuse),
        tool_choice=choice,
        named_tool=named,
        parallel_tool_calls=fields.flag("parallel_tool_calls", missing=True),
        schema=schema_of(fields, refuse),
        assistant_turns=talk.assistant_turns,
        tool_calls=talk.tool_calls,
        first_user_text=talk.first_user_text,
        last_role=talk.last_role,
        **known,
    )


def read_completion(fields: Fields, refuse: Refuse, *, room: Room, default_tokens: int | None, **known: Any) -> Ask:
    """A body of `/v1/completions` with one prompt in text; likewise."""
    prompts = fields.texts("prompt")
    if len(prompts) != 1:
        raise refuse("this engine answers one prompt of text per request", "prompt")
    limit = fields.integer("max_tokens", least=1)
    return _read(
        fields,
        room=room,
        limit=default_tokens if limit is None else limit,
        operation="completion",
        prompt_text=prompts[0],
        prompt=tokenise(prompts[0]),
        first_user_text=prompts[0],
        **known,
    )


def schema_of(fields: Fields, refuse: Refuse) -> Json | None:
    """What the text has to conform to, from `response_format`; `{}` for any JSON object."""
    wanted = fields.object("response_format")
    if wanted.get("type") == "json_object":
        return {}
    described = wanted.get("json_schema")
    if wanted.get("type") != "json_schema" or not isinstance(described, dict):
        return None
    schema = described.get("schema")
    return written(schema, "response_format", refuse) if isinstance(schema, dict) else {}


def written(schema: Json, field: str, refuse: Refuse) -> Json:
    """The schema, if it is not nested so deeply that a value of it could not be written down."""
    try:
        orjson.dumps(schema)
    except TypeError as error:
        raise refuse(f"the schema cannot be used: {error}", field) from None
    return schema


def _read(fields: Fields, *, room: Room, limit: int | None, prompt: tuple[int, ...], **known: Any) -> Ask:
    left = room(len(prompt))
    options = fields.object("stream_options")
    return Ask(
        **{
            "prompt": prompt,
            "stream": fields.flag("stream"),
            "max_tokens": left if limit is None else min(limit, left),
            "seed": fields.integer("seed"),
            "stop": fields.texts("stop"),
            "n": fields.integer("n", least=1, most=MOST_CHOICES) or 1,
            "include_usage": options.get("include_usage") is True,
            **known,
        }
    )
