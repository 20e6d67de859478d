"""What spans of other instrumentations call what the analysis computes with; docs/foreign.md has the table.

| convention | told by | who writes it |
|---|---|---|
| genai | `gen_ai.*` | OpenTelemetry's GenAI instrumentations, any release of the conventions; vLLM's own spans |
| openinference | `openinference.span.kind` | Arize's |
| traceloop | `traceloop.*`, `llm.request.type` | Traceloop's OpenLLMetry |

Values are taken only if they are what they should be: a count that is a text, a list or negative is missing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from profiler import semconv as sc
from profiler.analysis.model import Span, Value

GENAI, OPENINFERENCE, TRACELOOP = "genai", "openinference", "traceloop"
TITLES: Final = {
    GENAI: "OpenTelemetry GenAI",
    OPENINFERENCE: "openinference",
    TRACELOOP: "Traceloop",
}

OTHER, AGENT, TASK, TOOL, CALL, ENGINE = range(6)  # kinds of span; a task may be a step

OPENINFERENCE_KIND: Final = "openinference.span.kind"
TRACELOOP_KIND: Final = "traceloop.span.kind"
_REQUEST_TYPE: Final = "llm.request.type"
_LANGGRAPH: Final = "traceloop.association.properties.langgraph_"
_METADATA: Final = "metadata"
_INVOCATION: Final = "llm.invocation_parameters"
_MOST_JSON: Final = 1 << 20  # characters of a text that is looked into
_LATENCY: Final = "gen_ai.latency."
_FIRST_CHUNK_EVENT: Final = "First Token Stream Event"
_MOST = 2**63

_OF_OPENINFERENCE = {"LLM": CALL, "TOOL": TOOL, "RETRIEVER": TOOL, "RERANKER": TOOL, "AGENT": AGENT, "CHAIN": TASK}
_OF_OPERATION = {
    sc.OP_CHAT: CALL,
    sc.OP_TEXT_COMPLETION: CALL,
    "generate_content": CALL,
    sc.OP_EXECUTE_TOOL: TOOL,
    "retrieval": TOOL,
    sc.OP_INVOKE_AGENT: AGENT,
    "invoke_workflow": AGENT,
    "execute_task": TASK,
    "create_agent": OTHER,
    "embeddings": OTHER,
}
_OF_TRACELOOP = {"workflow": AGENT, "agent": AGENT, "task": TASK, "tool": TOOL}
_OF_REQUEST_TYPE = {"chat": CALL, "completion": CALL, "rerank": TOOL, "embedding": OTHER}

T = TypeVar("T")


class Node(NamedTuple):
    """The execution of a graph's node that a span is part of."""

    name: str
    number: int | None  # the superstep
    place: str | None  # the same for all spans of one execution, where it is told


def convention_of(attributes: Mapping[str, Value]) -> str | None:
    """Whose names a span has."""
    if OPENINFERENCE_KIND in attributes:
        return OPENINFERENCE
    found = None
    for name in attributes:
        if name.startswith("traceloop.") or name == _REQUEST_TYPE:
            return TRACELOOP
        if name.startswith("gen_ai."):
            found = GENAI
    return found


def kind_of(span: Span) -> int:
    """What a span is of."""
    get = span.attributes.get
    for name, kinds in (
        (OPENINFERENCE_KIND, _OF_OPENINFERENCE),
        (sc.OPERATION, _OF_OPERATION),
        (_REQUEST_TYPE, _OF_REQUEST_TYPE),
        (TRACELOOP_KIND, _OF_TRACELOOP),
    ):
        value = get(name)
        if isinstance(value, str):
            kind = kinds.get(value.upper() if name == OPENINFERENCE_KIND else value.lower())
            if kind is not None:
                return kind
    if engine_source(span.attributes):
        return ENGINE
    if text(get(sc.TOOL_NAME)):
        return TOOL
    # The first releases of the conventions had no operation: a model and its usage make a call.
    tokens = any(name in span.attributes for name in (*_NAMES[sc.INPUT_TOKENS], *_NAMES[sc.OUTPUT_TOKENS]))
    return CALL if tokens and text(get(sc.REQUEST_MODEL)) else OTHER


# --- values ----------------------------------------------------------------------------------------------


def text(value: Value) -> str | None:
    """A text with something in it."""
    return value if isinstance(value, str) and value else None


def number(value: Value) -> int | None:
    """A count: some instrumentations write it as a text, or as 12.0."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def nanoseconds(value: Value) -> int | None:
    """Of a duration in seconds, or of one that names its unit as TGI's do: `161.45s`, `5.6ms`."""
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value) * 1e9
    except OverflowError:
        return None
    return round(found) if math.isfinite(found) and 0 <= found < _MOST else None


def _of_text(text: str) -> int | None:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    whole, part, unit = match[1], match[2] or "", _UNITS[match[3]]
    exact = int(whole) * unit + int((part or "0").ljust(9, "0")) * unit // 10**9
    return exact if exact < _MOST else None


def _flag(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None


def _reasons(value: Value) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return (value,) if value else None
    if isinstance(value, tuple) and value and all(isinstance(each, str) for each in value):
        return value
    return None


def _first(attributes: Mapping[str, Value], names: tuple[str, ...], check: Callable[[Value], T | None]) -> T | None:
    for name in names:
        if name in attributes:
            found = check(attributes[name])
            if found is not None:
                return found
    return None


def _members(attributes: Mapping[str, Value], name: str, wanted: str) -> Mapping[str, Any]:
    """Of a JSON object in a text; nothing if it is none, or does not have what is wanted."""
    raw = attributes.get(name)
    if not isinstance(raw, str) or len(raw) > _MOST_JSON or wanted not in raw:
        return {}
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# --- names -----------------------------------------------------------------------------------------------

# Ours, and what others call it, the newest first.
_NAMES: Mapping[str, tuple[str, ...]] = {
    sc.PROVIDER: (sc.PROVIDER, "gen_ai.system", "llm.provider", "llm.system"),
    sc.AGENT_NAME: (sc.AGENT_NAME, "agent.name"),
    sc.REQUEST_MODEL: (sc.REQUEST_MODEL, "llm.model_name", "llm.request.model"),
    sc.RESPONSE_MODEL: (sc.RESPONSE_MODEL, "llm.response.model"),
    sc.RESPONSE_ID: (sc.RESPONSE_ID,),
    sc.TOOL_CALL_ID: (sc.TOOL_CALL_ID, "tool_call.id"),
    sc.ERROR_TYPE: (sc.ERROR_TYPE,),
    sc.INPUT_TOKENS: (
        sc.INPUT_TOKENS,
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    sc.OUTPUT_TOKENS: (
        sc.OUTPUT_TOKENS,
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    sc.CACHED_TOKENS: (
        sc.CACHED_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "llm.usage.cache_read_input_tokens",
    ),
    sc.REASONING_TOKENS: (
        sc.REASONING_TOKENS,
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
    ),
}
_CHECKED: Mapping[str, tuple[tuple[str, ...], Callable[[Value], Value]]] = {
    ours: (names, number if ours in sc.INTEGERS else text) for ours, names in _NAMES.items()
}
_OURS: Final = (sc.OP_CHAT, sc.OP_TEXT_COMPLETION, sc.OP_EXECUTE_TOOL, sc.OP_INVOKE_AGENT)
_STREAM = (sc.REQUEST_STREAM, "gen_ai.is_streaming", "llm.is_streaming")
_FINISH = (
    sc.RESPONSE_FINISH_REASONS,
    "gen_ai.completion.0.finish_reason",
    "llm.finish_reason",
    "llm.response.finish_reason",
)
_TOOL = (sc.TOOL_NAME, "tool.name", "traceloop.entity.name")
_VLLM_TIMES: Final = {
    _LATENCY + "time_in_queue": sc.ENGINE_QUEUE_NS,
    _LATENCY + "time_in_model_prefill": sc.ENGINE_PREFILL_NS,
    _LATENCY + "time_in_model_decode": sc.ENGINE_DECODE_NS,
}
_TGI_TIMES: Final = {"queue_time": sc.ENGINE_QUEUE_NS, "inference_time": sc.ENGINE_INFERENCE_NS}
_TGI_MARKS: Final = {*_TGI_TIMES, "time_per_token"}  # its sibling for embeddings has the first two as well
_DURATION: Final = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?(ns|µs|μs|us|ms|s)")  # both letters that look like it
_UNITS: Final = {"ns": 1, "µs": 1000, "μs": 1000, "us": 1000, "ms": 10**6, "s": 10**9}
PHASES_BACKWARDS: Final = (
    ("decode", sc.ENGINE_DECODE_NS),
    ("prefill", sc.ENGINE_PREFILL_NS),
    ("inference", sc.ENGINE_INFERENCE_NS),
    ("queue", sc.ENGINE_QUEUE_NS),
)


def translated(span: Span, kind: int) -> Mapping[str, Value]:
    """A span's attributes under our names, with those that it came with."""
    attributes = span.attributes
    if kind in (CALL, TOOL, AGENT):
        found = dict(attributes)
        for ours, (names, check) in _CHECKED.items():
            _put(found, ours, _first(attributes, names, check))
        _OF_KIND[kind](span, found)
    elif attributes.get(sc.OPERATION) in _OURS:  # whoever wrote two kinds on one span meant the other
        found = {name: value for name, value in attributes.items() if name != sc.OPERATION}
    elif span.failed:
        found = dict(attributes)
    else:
        return attributes
    if span.failed:
        _put(found, sc.ERROR_TYPE, text(found.get(sc.ERROR_TYPE)) or _error_type(span))
    return found


def _put(found: dict[str, Value], name: str, value: Value) -> None:
    """An attribute of the wrong type is as if it were not there."""
    if value is None:
        found.pop(name, None)
    else:
        found[name] = value


def _agent(_: Span, found: dict[str, Value]) -> None:
    found[sc.OPERATION] = sc.OP_INVOKE_AGENT


def _tool(span: Span, found: dict[str, Value]) -> None:
    found[sc.OPERATION] = sc.OP_EXECUTE_TOOL
    found[sc.TOOL_NAME] = _first(span.attributes, _TOOL, text) or span.name


def _call(span: Span, found: dict[str, Value]) -> None:
    attributes = span.attributes
    completion = attributes.get(sc.OPERATION) == sc.OP_TEXT_COMPLETION or attributes.get(_REQUEST_TYPE) == "completion"
    found[sc.OPERATION] = sc.OP_TEXT_COMPLETION if completion else sc.OP_CHAT
    _put(found, sc.RESPONSE_FINISH_REASONS, _first(attributes, _FINISH, _reasons))
    cached, given = found.get(sc.CACHED_TOKENS), found.get(sc.INPUT_TOKENS)
    if cached is not None and given is not None and cached > given:
        del found[sc.CACHED_TOKENS]  # a provider that counts them apart: what share they are of is not known
    first_ns = nanoseconds(attributes.get(sc.RESPONSE_TTFC))
    if first_ns is None:
        first_ns = next(
            (event.time_ns - span.start_ns for event in span.events if event.name == _FIRST_CHUNK_EVENT), None
        )
    if first_ns is not None and not 0 <= first_ns <= span.duration_ns:
        first_ns = None
    _put(found, sc.RESPONSE_TTFC, None if first_ns is None else first_ns / 1e9)
    stream = _first(attributes, _STREAM, _flag)
    if stream is None:
        stream = _flag(_members(attributes, _INVOCATION, '"stream"').get("stream"))
    _put(found, sc.REQUEST_STREAM, True if first_ns is not None else stream)


_OF_KIND = {CALL: _call, TOOL: _tool, AGENT: _agent}
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]{2,80})\(")


def _error_type(span: Span) -> str | None:
    """The exception's class: of the event that tells of it, or where the status message begins with its `repr`."""
    for event in span.events:
        told = text(event.attributes.get("exception.type"))
        if told:
            return told
    found = _EXCEPTION.match(span.message)
    return found[1] if found else None


def node_of(attributes: Mapping[str, Value]) -> Node | None:
    """The execution of a LangGraph node that a span is part of, as LangGraph's metadata tell."""
    name = text(attributes.get(_LANGGRAPH + "node"))
    if name:
        place = text(attributes.get(_LANGGRAPH + "checkpoint_ns"))
        return Node(name, number(attributes.get(_LANGGRAPH + "step")), place)
    metadata = _members(attributes, _METADATA, '"langgraph_node"')
    name = text(metadata.get("langgraph_node"))
    if not name:
        return None
    return Node(name, number(metadata.get("langgraph_step")), text(metadata.get("langgraph_checkpoint_ns")))


def engine_source(attributes: Mapping[str, Value]) -> str | None:
    """Under which name the timing that an engine's own span of a request has is known; None for any other span."""
    if not _VLLM_TIMES.keys().isdisjoint(attributes):
        return "vllm.spans"
    return "tgi.spans" if attributes.keys() >= _TGI_MARKS else None


def engine_times(attributes: Mapping[str, Value]) -> dict[str, int]:
    """Durations that an engine's own span of a request gives, under our names."""
    names = _TGI_TIMES if engine_source(attributes) == "tgi.spans" else _VLLM_TIMES
    found = {ours: nanoseconds(attributes.get(theirs)) for theirs, ours in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def engine_end_ns(span: Span) -> int:
    """When the engine had the last token, on its own clock: a span ends later, when it is written."""
    whole = nanoseconds(span.attributes.get(_LATENCY + "e2e", span.attributes.get("total_time")))
    return span.end_ns if whole is None else min(span.start_ns + whole, span.end_ns)
