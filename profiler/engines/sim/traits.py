"""Wire traits: lawful habits of real servers that clients have tripped over, one switch each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from profiler.errors import UsageError

HIDDEN = "hidden"
ReasoningField = Literal["reasoning", "reasoning_content", "hidden"]
_FIELDS: tuple[str, ...] = get_args(ReasoningField)
_SPLIT_BYTES = 37  # no divisor of any event's length that is likely, and less than any event


@dataclass(frozen=True, slots=True)
class Traits:
    """All off: one token per chunk, one event per write."""

    tokens_per_chunk: int = 1
    early_role: bool = False
    reasoning: bool = False
    reasoning_field: ReasoningField = "reasoning"
    tool_deltas: bool = False
    keep_alive_s: float | None = None
    split_bytes: int = 0  # 0: events are not split
    join: int = 1
    line_separator_text: bool = False
    crlf: bool = False

    @property
    def line_end(self) -> bytes:
        """What ends a line of a server-sent event."""
        return b"\r\n" if self.crlf else b"\n"

    def completes_chunk(self, index: int, last: int) -> bool:
        """Whether a chunk is to be sent now that the token `index` is there; `last` is the last one's index."""
        return index == last or (index + 1) % self.tokens_per_chunk == 0


def trait_names() -> dict[str, str]:
    """Every trait as it is written on the command line, with a line of explanation."""
    return {
        "early-role": "an empty chunk with the role as soon as the request is there, long before the first token",
        "tokens-per-chunk=N": "N tokens in each chunk",
        "reasoning[=FIELD]": (
            "the answer begins with reasoning, in `reasoning` (default) or `reasoning_content`; "
            "`hidden`: it is counted in the usage and not sent"
        ),
        "tool-deltas": "arguments of tool calls come piece by piece instead of at once when the call is complete",
        "keep-alive[=SECONDS]": "an SSE comment after so many seconds without an event (0.5)",
        "split[=BYTES]": f"events are split over several writes, at odd positions ({_SPLIT_BYTES} bytes each)",
        "join=N": "N events in each write",
        "line-separator-text": "text with U+2028 and U+0085, which end no line of an event",
        "crlf": "lines end with CR LF",
    }


def trait_words() -> list[str]:
    """Every trait as it can be typed: whole, or up to the value that it takes."""
    words = [re.sub(r"\[.*|(?<==).*", "", name) for name in trait_names()]
    return [*words, *(f"reasoning={field}" for field in _FIELDS)]


def parse_traits(names: Sequence[str]) -> Traits:
    """Traits from the command line's words, such as `early-role` or `tokens-per-chunk=4`.

    Raises:
        UsageError: there is no such trait, or its value makes no sense.
    """
    traits = Traits()
    for text in names:
        name, equals, value = text.strip().partition("=")
        try:
            changes = _changes(name, value if equals else None)
        except ValueError as error:
            raise UsageError(
                f"Wire trait {text!r}: {error}", remedy=f"There are: {', '.join(trait_names())}."
            ) from None
        traits = replace(traits, **changes)
    return traits


def writes(events: Sequence[bytes], traits: Traits) -> list[bytes]:
    """How a server with these traits hands encoded events to the socket; joined, the bytes are the same.

    A split block loses its last byte to a write of its own: the empty line that ends an event arrives in two halves.
    """
    if traits.join <= 1 and not traits.split_bytes:
        return list(events)
    blocks = [b"".join(events[at : at + traits.join]) for at in range(0, len(events), traits.join)]
    size = traits.split_bytes
    if not size:
        return blocks
    parts = []
    for block in blocks:
        parts += [block[at : min(at + size, len(block) - 1)] for at in range(0, len(block) - 1, size)]
        parts.append(block[-1:])
    return parts


def _changes(name: str, value: str | None) -> dict[str, Any]:
    match name:
        case "early-role" | "tool-deltas" | "line-separator-text" | "crlf":
            if value is not None:
                raise ValueError("it takes no value")
            return {name.replace("-", "_"): True}
        case "tokens-per-chunk" | "join":
            return {name.replace("-", "_"): _count(value)}
        case "split":
            return {"split_bytes": _SPLIT_BYTES if value is None else _count(value)}
        case "reasoning":
            if value not in (None, *_FIELDS):
                raise ValueError(f"the field is one of {', '.join(_FIELDS)}")
            return {"reasoning": True, "reasoning_field": value or _FIELDS[0]}
        case "keep-alive":
            return {"keep_alive_s": 0.5 if value is None else _seconds(value)}
    raise ValueError("there is no such trait")


def _count(value: str | None) -> int:
    if value is None or not re.fullmatch(r"[1-9][0-9]{0,3}", value):
        raise ValueError("it takes a whole number from 1 to 9999")
    return int(value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.001 <= seconds <= 3600:  # noqa: PLR2004
        raise ValueError("it takes seconds, from 0.001 to 3600")
    return seconds
