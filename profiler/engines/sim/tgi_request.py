"""Requests of TGI's two protocols, read and refused as its router does it."""

from __future__ import annotations

from typing import Any

import orjson

from profiler.engines.sim.openai_request import tool_choice
from profiler.engines.sim.prompt import render, split, tokenise
from profiler.engines.sim.reading import Fields, conversation, tools_of
from profiler.engines.sim.request import Ask, BadRequest, Json, Served

_NATIVE_TOKENS = 100  # the default of TGI's own protocol; chats may use up the context
_MOST_STOPS = 4
UNPARSABLE = "Failed to parse the request body as JSON"
UNREADABLE = "Failed to deserialize the JSON body into the target type"
"""With these begin errors of its web framework, which are plain text."""


def invalid(message: str, _field: str = "") -> BadRequest:
    """A request that can be read but not served."""
    return BadRequest(f"Input validation error: {message}", status=422, type="validation")


def unreadable(message: str, field: str = "") -> BadRequest:
    """A body of another shape."""
    where = f"{field}: " if field else ""
    return BadRequest(f"{UNREADABLE}: {where}{message}", status=422, type="validation")


def parse_generate(body: Any, served: Served, *, stream: bool) -> Ask:
    """A body of `/generate` or `/generate_stream`.

    Raises:
        BadRequest: 422, with what is wrong.
    """
    fields = Fields(body, unreadable)
    inputs = fields.text("inputs")
    if inputs is None:
        raise unreadable("missing field `inputs`")
    parameters = Fields(fields.object("parameters"), unreadable)
    _check_sampling(parameters)
    limit = parameters.integer("max_new_tokens")
    details = parameters.flag("details") or (not stream and parameters.flag("decoder_input_details"))
    if stream and parameters.flag("decoder_input_details"):
        raise invalid("`decoder_input_details` == true is not supported when streaming tokens")
    best_of = parameters.integer("best_of")
    if best_of not in (None, 1):
        raise invalid("`best_of` != 1 is not allowed for this endpoint")
    prompt = tokenise(inputs)
    return Ask(
        id="",
        operation="generate",
        native=True,
        model=served.model,
        prompt_text=inputs,
        prompt=prompt,
        stream=stream,
        max_tokens=_limit(_NATIVE_TOKENS if limit is None else limit, prompt, served, asked=True),
        seed=_seed(parameters),
        stop=_stops(parameters),
        schema=_grammar(parameters.object("grammar")),
        first_user_text=inputs,
        details=details,
        full_text=parameters.flag("return_full_text"),
    )


def parse_chat(body: Any, served: Served) -> Ask:
    """A body of `/v1/chat/completions`; what vLLM has beyond OpenAI (`ignore_eos`, `min_tokens`) is not looked at.

    Raises:
        BadRequest: 422 with what is wrong; 404 for a model that is neither `tgi`, nor the served one, nor a LoRA.
    """
    fields = Fields(body, unreadable)
    _check_model(fields, served)
    if "messages" not in fields.body:
        raise unreadable("missing field `messages`")
    if "stream_options" in fields.body and fields.body["stream_options"] is None:
        raise unreadable("invalid type: null, expected struct StreamOptions", "stream_options")
    _check_sampling(fields)
    messages, listed = fields.objects("messages"), fields.objects("tools")
    choice, named = tool_choice(fields, invalid) if listed else ("none", False)
    offered = listed if choice != "none" else []
    try:
        text = render(messages, offered)
        talk = conversation(messages)
    except (TypeError, RecursionError) as error:
        raise BadRequest(f"Template error: {error}", status=422, type="template_error") from None
    prompt = tokenise(text)
    limit = fields.integer("max_tokens")
    return Ask(
        id="",
        operation="chat",
        model=_told_model(fields, served),
        prompt_text=text,
        prompt=prompt,
        stream=fields.flag("stream"),
        max_tokens=_limit(limit, prompt, served, asked=limit is not None),
        seed=_seed(fields),
        stop=_stops(fields),
        include_usage=Fields(fields.object("stream_options"), unreadable).flag("include_usage"),
        tools=tools_of(offered, unreadable),
        tool_choice=choice,
        named_tool=named,
        parallel_tool_calls=False,
        schema=_grammar(fields.object("response_format")),
        assistant_turns=talk.assistant_turns,
        tool_calls=talk.tool_calls,
        first_user_text=talk.first_user_text,
        last_role=talk.last_role,
        grammar_tools=True,
    )


def parse_completion(body: Any, served: Served) -> Ask:
    """A body of `/v1/completions`: one prompt.

    Raises:
        BadRequest: 422 with what is wrong; 404 for a model that is neither `tgi`, nor the served one, nor a LoRA.
    """
    fields = Fields(body, unreadable)
    _check_model(fields, served)
    if fields.body.get("suffix") is not None:
        message = "Suffix is not supported and can be achieved by preprocessing the prompt."
        raise BadRequest(message, status=422, type="suffix not supported")
    prompts = fields.texts("prompt")
    if not prompts:
        raise unreadable("missing field `prompt`")
    if len(prompts) > 1:
        raise invalid("this engine answers one prompt per request; send them one by one")
    _check_sampling(fields)
    prompt = tokenise(prompts[0])
    limit = fields.integer("max_tokens")
    return Ask(
        id="",
        operation="completion",
        model=_told_model(fields, served),
        prompt_text=prompts[0],
        prompt=prompt,
        stream=fields.flag("stream"),
        max_tokens=_limit(_NATIVE_TOKENS if limit is None else limit, prompt, served, asked=True),
        seed=_seed(fields),
        stop=_stops(fields),
        first_user_text=prompts[0],
    )


def tokens_of(body: Any) -> list[Json]:
    """The answer to `/tokenize`.

    Raises:
        BadRequest: there is no text.
    """
    inputs = Fields(body, unreadable).text("inputs")
    if inputs is None:
        raise unreadable("missing field `inputs`")
    found, at = [], 0
    for number, text in zip(tokenise(inputs), split(inputs), strict=True):
        found.append({"id": number, "text": text, "start": at, "stop": at + len(text)})
        at += len(text)
    return found


def _check_model(fields: Fields, served: Served) -> None:
    model = fields.text("model")
    if model and model not in ("tgi", served.model) and not served.any_model:
        message = f"`model` {model} is neither `tgi` nor `{served.model}`, and no LoRA adapter of that name is loaded"
        raise BadRequest(message, status=404, type="validation")


def _told_model(fields: Fields, served: Served) -> str:
    """The name in the answer: as asked for, unless that was `tgi`."""
    model = fields.text("model")
    return model if model and model != "tgi" else served.model


def _check_sampling(fields: Fields) -> None:
    top_p = fields.number("top_p")
    if top_p is not None and not 0 < top_p < 1:
        raise invalid("`top_p` must be > 0.0 and < 1.0")
    temperature = fields.number("temperature")
    if temperature is not None and temperature < 0:
        raise invalid("`temperature` must be strictly positive")


def _limit(asked_tokens: int | None, prompt: tuple[int, ...], served: Served, *, asked: bool) -> int:
    """The output's limit; TGI refuses what does not fit, where vLLM gives what is left."""
    total = served.context_tokens
    if len(prompt) > total - 1:
        raise invalid(f"`inputs` must have less than {total - 1} tokens. Given: {len(prompt)}")
    if asked_tokens is None:
        return total - len(prompt)
    if asked_tokens < 1:
        raise invalid("`max_new_tokens` must be strictly positive")
    if asked and len(prompt) + asked_tokens > total:
        raise invalid(
            f"`inputs` tokens + `max_new_tokens` must be <= {total}. "
            f"Given: {len(prompt)} `inputs` tokens and {asked_tokens} `max_new_tokens`"
        )
    return asked_tokens


def _seed(fields: Fields) -> int | None:
    return fields.integer("seed", least=0, most=2**64 - 1)


def _stops(fields: Fields) -> tuple[str, ...]:
    stops = fields.texts("stop")
    if len(stops) > _MOST_STOPS:
        raise invalid(f"`stop` supports up to {_MOST_STOPS} stop sequences. Given: {len(stops)}")
    return stops


def _grammar(wanted: Json) -> Json | None:
    """A JSON schema from `grammar` or `response_format`; regular expressions are not followed."""
    if wanted.get("type") not in ("json", "json_schema", "json_object"):
        return None
    value = wanted.get("value", wanted.get("json_schema"))
    if isinstance(value, dict) and isinstance(value.get("schema"), dict):
        value = value["schema"]
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise invalid(f"Grammar error: {error}") from None
    return value if isinstance(value, dict) else {}
