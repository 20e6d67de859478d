"""From messages to the prompt's text, and from text to tokens.

Both are prefix-stable, which is what a prefix cache lives on: a conversation with more messages begins with the text,
and with the tokens, of the shorter one.

    <|im_start|>system ⏎ # Tools … <|im_end|> ⏎     only with tools
    <|im_start|>user ⏎ Hello <|im_end|> ⏎           one per message
    <|im_start|>assistant ⏎                         the generation prompt: the only part that a longer one lacks

The layout is ChatML with Hermes tool calls. Tools come first, in a turn of their own, so that nothing depends on
whether a system message follows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import orjson

# One pattern for text and for bytes (where a character beyond ASCII is several), about four characters a token. A
# special token stands alone: what follows a turn never changes how the turn was cut. Possessive, and the most frequent
# first: 100 KB are cut while the server's event loop waits.
_PIECES = r" ?+[A-Za-z]{1,6}+|<\|[a-z_]{1,16}\|>|[0-9]{1,3}+|[^\x00-\x7f]{1,4}+| {2,8}+| ?[!-/:;=-@[-`{-~]{1,3}+|."
_BYTES = re.compile(_PIECES.encode(), re.DOTALL)
_TEXT = re.compile(_PIECES, re.DOTALL)


def render(messages: Sequence[Any], tools: Sequence[Any] = ()) -> str:
    """The prompt's text, generation prompt included.

    Raises:
        TypeError: a message or tool is not what it should be, or nested too deeply to be written down.
    """
    parts = []
    if tools:
        listed = "\n".join(_json(tool) for tool in tools)
        parts.append(f"<|im_start|>system\n# Tools\n\n<tools>\n{listed}\n</tools><|im_end|>\n")
    for message in messages:
        if not isinstance(message, dict):
            raise TypeError("each message must be an object")
        parts.append(f"<|im_start|>{message.get('role')}\n{_said(message)}<|im_end|>\n")
    parts.append("<|im_start|>assistant\n")
    return "".join(parts)


def content_text(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise TypeError("content must be a string or a list of parts")
    return "\n".join(_part(part) for part in content)


def tokenise(text: str) -> tuple[int, ...]:
    """Token ids of a text: equal prefixes give equal ids, in every process and on every machine."""
    return tuple(map(crc32, _BYTES.findall(text.encode("utf-8", "surrogatepass"))))


def split(text: str) -> list[str]:
    """The text of each token; joined they are the text again."""
    return _TEXT.findall(text)


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        raise TypeError("each part of a message's content must be an object")
    kind = part.get("type")
    text = part.get(kind) if isinstance(kind, str) else None
    return text if isinstance(text, str) else f"<{kind}>"


def _said(message: dict[str, Any]) -> str:
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, list | tuple):
        raise TypeError("tool_calls must be a list")
    functions = [call.get("function") if isinstance(call, dict) else call for call in calls]
    return content_text(message.get("content")) + "".join(
        f"\n<tool_call>\n{_json(function)}\n</tool_call>" for function in functions
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
