"""How much of a call's prompt its predecessor had already sent, from digests of the messages alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from profiler import semconv as sc


class Kept(NamedTuple):
    """A prompt against that of the chain's previous call at the same place; None where it is not known.

    previous   system  user  answer  result
    now        system  user  summary               2 kept of 4: the prefix breaks after 2 messages
    """

    messages: int | None = None  # in the prompt
    kept: int | None = None  # leading messages that are the previous prompt's
    previous: int | None = None  # messages in the previous prompt
    tools_changed: bool | None = None
    broken_at_chars: int | None = None  # characters before the first message that differs; None if all were kept
    opening: int | None = None  # digest of the tools and the first message: what other chains' prompts may begin with
    opening_chars: int | None = None  # in the first message
    chars: int | None = None  # in all messages


class Prompts:
    """Prompts of one chain's calls, asked for in the order of sending."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, tuple[Sequence[int], Any]] = {}

    def next(self, attributes: Mapping[str, Any]) -> Kept:
        """The next call's prompt against the previous one of its place."""
        digests = attributes.get(sc.MESSAGE_DIGESTS)
        if digests is None:
            return Kept()
        tools = attributes.get(sc.TOOLS_DIGEST)
        place = attributes.get(sc.CALL_PLACE, "")
        before = self._last.get(place)
        self._last[place] = digests, tools
        chars = attributes.get(sc.MESSAGE_CHARS)
        opening = _opening(digests, tools, chars)
        if before is None:
            return Kept(len(digests), None, None, None, None, *opening)
        kept = _common(digests, before[0])
        whole = kept == len(before[0])
        broken_at = None if whole or chars is None or len(chars) != len(digests) else sum(chars[:kept])
        return Kept(len(digests), kept, len(before[0]), tools != before[1], broken_at, *opening)


def _opening(digests: Sequence[int], tools: Any, chars: Any) -> tuple[int | None, int | None, int | None]:
    if not digests:
        return None, None, None
    of_first, of_all = (chars[0], sum(chars)) if chars is not None and len(chars) == len(digests) else (None, None)
    return digests[0] ^ (tools or 0), of_first, of_all


def _common(now: Sequence[int], before: Sequence[int]) -> int:
    kept = min(len(now), len(before))
    if now[:kept] == before[:kept]:  # nearly always: prompts grow at their end
        return kept
    return next(at for at in range(kept) if now[at] != before[at])
