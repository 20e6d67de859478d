"""Tools, and who chooses them."""

from __future__ import annotations

import json
from functools import partial

from profiler.conformance.outcome import Seen, lacking, supported, unclear
from profiler.conformance.session import LOOK_UP, TOOL, TOOL_TOKENS, Session, calls_in, finish_of
from profiler.conformance.wire import Json

_START = {"vllm": "--enable-auto-tool-choice and --tool-call-parser", "llama.cpp": "--jinja"}


def accepted(session: Session) -> Seen:
    """A request with tools is answered."""
    heard = session.with_tools
    if heard.ok:
        return supported("a tool was called" if calls_in(heard) else "answered in words")
    flag = _START.get(session.protocol)
    return lacking(heard.says, f"Agents with tools fail here{f'; start it with {flag}' if flag else ''}.")


def none(session: Session) -> Seen:
    """`tool_choice` none keeps it from calling any."""
    heard = session.chat(tokens=TOOL_TOKENS, text=LOOK_UP, tools=[TOOL], tool_choice="none")
    means = "Replayed runs ask for it, so that no parser of tool calls holds text back; here it may."
    if not heard.ok:
        return lacking(heard.says, means)
    if calls_in(heard):
        return lacking("a tool was called all the same", means)
    if not calls_in(session.with_tools):
        return unclear("answered in words, as it does when it may choose")
    return supported("answered in words")


def required(session: Session) -> Seen:
    """`tool_choice` required makes it call one, with arguments that fit, where it would have said words."""
    talk = [message for turn in range(6) for message in _turns(turn)][:-1]
    ask = partial(session.chat, tokens=TOOL_TOKENS, messages=talk, tools=[TOOL])
    heard = ask(tool_choice="required")
    if not heard.ok:
        return lacking(heard.says, "An agent that insists on a tool fails here.")
    calls = calls_in(heard)
    if not calls and finish_of(heard) == "length":
        return unclear(f"cut off after {TOOL_TOKENS} tokens")
    if not calls:
        return lacking("answered in words", "An agent that insists on a tool gets words, and may ask again.")
    if not _fits(calls[0]):
        shown = str((calls[0].get("function") or {}).get("arguments"))[:60]
        return lacking(f"arguments {shown!r}", "Tools fail on such arguments, and the agent asks again.")
    if calls_in(ask()):
        return unclear("a tool was called, as it is when it may choose")
    return supported(f"called, finish reason {finish_of(heard)}")


def streamed(session: Session) -> Seen:
    """The arguments of a call come as they are made."""
    options = {"include_usage": True}
    heard = session.chat(tokens=TOOL_TOKENS, text=LOOK_UP, tools=[TOOL], stream=True, stream_options=options)
    if not heard.ok:
        return unclear(heard.says)
    parts = calls_in(heard)
    if not parts:
        return unclear("no tool was called")
    if len({part.get("index", number) for number, part in enumerate(parts)}) < len(parts):
        return supported(f"in {len(parts)} chunks")
    means = (
        "A call arrives at once when it is complete, so its chunks do not tell the time per token; the engine's own "
        "timing does, where there is any."
    )
    return lacking("whole, when it is complete", means)


def _turns(turn: int) -> list[Json]:
    said = "Hello!" if turn == 0 else "Thank you. Just say goodbye."
    return [{"role": "user", "content": said}, {"role": "assistant", "content": "You are welcome."}]


def _fits(call: Json) -> bool:
    try:
        arguments = json.loads((call.get("function") or {}).get("arguments") or "")
    except (ValueError, TypeError, AttributeError):
        return False
    return isinstance(arguments, dict) and isinstance(arguments.get("word"), str)
