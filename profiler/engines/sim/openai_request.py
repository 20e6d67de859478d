"""Requests of the OpenAI dialect, read and refused as vLLM does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from profiler.engines.sim.prompt import render, tokenise
from profiler.engines.sim.reading import Fields, conversation, tools_of
from profiler.engines.sim.request import Ask, BadRequest, Json, Served

_MOST_CHOICES = 64
_COMPLETION_TOKENS = 16  # vLLM's default for completions; chats may use up the context


def refuse(message: str, field: str | None = None) -> BadRequest:
    """The error of vLLM for a request that is wrong."""
    return BadRequest(message, param=field)


def parse_chat(body: Any, request_id: str, served: Served) -> Ask:
    """A body of `/v1/chat/completions`.

    Raises:
        BadRequest: 404 for another model, 400 for anything else that is wrong.
    """
    fields = Fields(body, refuse)
    check_model(fields, served)
    messages = fields.objects("messages")
    if "messages" not in fields.body:
        raise refuse("messages: Field required", "messages")
    choice, named = tool_choice(fields, refuse)
    limit = fields.integer("max_completion_tokens", least=1)
    if limit is None:
        limit = fields.integer("max_tokens", least=1)
    try:
        text = render(messages, fields.objects("tools"))
        talk = conversation(messages)
    except (TypeError, RecursionError) as error:
        raise refuse(f"messages or tools cannot be rendered: {error}", "messages") from None
    return _ask(
        fields,
        served,
        id=f"chatcmpl-{request_id}",
        operation="chat",
        prompt_text=text,
        prompt=tokenise(text),
        max_tokens=limit,
        tools=tools_of(fields.objects("tools"), refuse),
        tool_choice=choice,
        named_tool=named,
        parallel_tool_calls=fields.flag("parallel_tool_calls", missing=True),
        assistant_turns=talk.assistant_turns,
        tool_calls=talk.tool_calls,
        first_user_text=talk.first_user_text,
        last_role=talk.last_role,
    )


def parse_completion(body: Any, request_id: str, served: Served) -> Ask:
    """A body of `/v1/completions`: one prompt, as text or as token ids.

    Raises:
        BadRequest: 404 for another model, 400 for anything else that is wrong, and for what this engine lacks.
    """
    fields = Fields(body, refuse)
    check_model(fields, served)
    for name in ("suffix", "echo"):
        if fields.body.get(name):
            raise refuse(f"{name} is not supported", name)
    text, prompt = _one_prompt(fields.body.get("prompt"))
    limit = fields.integer("max_tokens", least=1)
    return _ask(
        fields,
        served,
        id=f"cmpl-{request_id}",
        operation="completion",
        prompt_text=text,
        prompt=prompt,
        max_tokens=_COMPLETION_TOKENS if limit is None else limit,
        first_user_text=text,
    )


def check_model(fields: Fields, served: Served) -> None:
    """Refuse any model but the served one; none at all means that one."""
    model = fields.text("model")
    if model and model != served.model and not served.any_model:
        raise BadRequest(f"The model `{model}` does not exist.", status=404, type="NotFoundError", param="model")


def tool_choice(fields: Fields, wrong: Callable[[str, str], BadRequest]) -> tuple[str, bool]:
    """`none`, `auto`, `required` or a tool's name, and whether it is such a name.

    Raises:
        BadRequest: made by `wrong`, if the choice and the tools do not fit together.
    """
    tools = fields.objects("tools")
    if fields.body.get("tools") == []:
        message = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        raise wrong(message, "tools")
    choice = fields.body.get("tool_choice")
    if choice is None:
        return ("auto" if tools else "none"), False
    if choice == "none":
        return "none", False
    if not tools:
        raise wrong("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice in ("auto", "required"):
        return str(choice), False
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        message = (
            f'Invalid value for `tool_choice`: {str(choice)[:100]}! Only named tools, "none", "auto" or "required"'
        )
        raise wrong(f"{message} are supported.", "tool_choice")
    if name not in [tool.name for tool in tools_of(tools, wrong)]:
        raise wrong("The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice")
    return name, True


def _ask(fields: Fields, served: Served, *, max_tokens: int | None, prompt: tuple[int, ...], **known: Any) -> Ask:
    """What chats and completions have in common."""
    _check_sampling(fields)
    stream = fields.flag("stream")
    options = Fields(fields.object("stream_options"), refuse)
    if options.body and not stream:
        raise refuse("Stream options can only be defined when `stream=True`.", "stream_options")
    include_usage = options.flag("include_usage")
    min_tokens = fields.integer("min_tokens", least=0) or 0
    room = served.context_tokens - len(prompt)
    if room < 1:
        message = (
            f"This model's maximum context length is {served.context_tokens} tokens. However, your prompt contains"
        )
        raise refuse(
            f"{message} {len(prompt)} input tokens, which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt.",
            "input_tokens",
        )
    limit = room if max_tokens is None else min(max_tokens, room)
    if min_tokens > limit:
        raise refuse(f"min_tokens must be less than or equal to max_tokens={limit}, got {min_tokens}.", "min_tokens")
    return Ask(
        model=fields.text("model") or served.model,
        prompt=prompt,
        stream=stream,
        max_tokens=limit,
        min_tokens=min_tokens,
        ignore_eos=fields.flag("ignore_eos"),
        seed=fields.integer("seed"),
        stop=fields.texts("stop"),
        n=fields.integer("n", least=1, most=_MOST_CHOICES) or 1,
        cache_salt=_cache_salt(fields),
        include_usage=include_usage,
        continuous_usage=include_usage and options.flag("continuous_usage_stats"),
        schema=_schema(fields),
        **known,
    )


def _check_sampling(fields: Fields) -> None:
    temperature, top_p = fields.number("temperature"), fields.number("top_p")
    if temperature is not None and not 0 <= temperature <= 2:  # noqa: PLR2004
        raise refuse(f"temperature must be in [0, 2], got {temperature}.", "temperature")
    if top_p is not None and not 0 < top_p <= 1:
        raise refuse(f"top_p must be in (0, 1], got {top_p}.", "top_p")


def _cache_salt(fields: Fields) -> str:
    salt = fields.text("cache_salt")
    if salt == "":
        raise refuse("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt")
    return salt or ""


def _schema(fields: Fields) -> Json | None:
    """What the text has to conform to, from `response_format` or vLLM's own `structured_outputs`."""
    guided = fields.object("structured_outputs").get("json")
    if isinstance(guided, dict):
        return _written(guided, "structured_outputs")
    wanted = fields.object("response_format")
    if wanted.get("type") == "json_object":
        return {}
    if wanted.get("type") != "json_schema":
        return None
    described = wanted.get("json_schema")
    if not isinstance(described, dict):
        message = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        raise refuse(message, "response_format")
    schema = described.get("schema")
    return _written(schema, "response_format") if isinstance(schema, dict) else {}


def _written(schema: Json, field: str) -> Json:
    """The schema, if it is not nested so deeply that a value of it could not be written down."""
    try:
        orjson.dumps(schema)
    except TypeError as error:
        raise refuse(f"the schema cannot be used: {error}", field) from None
    return schema


def _one_prompt(prompt: Any) -> tuple[str, tuple[int, ...]]:
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        if len(prompt) > 1:
            raise refuse("this engine answers one prompt per request; send them one by one", "prompt")
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt, tokenise(prompt)
    if isinstance(prompt, list) and prompt and all(type(token) is int and token >= 0 for token in prompt):
        return " ".join(map(str, prompt)), tuple(prompt)
    raise refuse("prompt must be a text, or a list of token ids, and not empty", "prompt")
