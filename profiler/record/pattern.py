r"""The chunks of one stream differ in their text alone: what is around it is compared, not parsed.

    data: {"id":"c-1",…,"choices":[{"index":0,"delta":{"content":"  more  "},"finish_reason":null}]}\n\n
    |------------------------- head -------------------------------| text |---------- tail --------------|

A block with the same head and tail whose text has no quotation mark, backslash or control character can only be the
same object with another text. Parsing it would take several times as long, in a moment in which the agent waits.
"""

from __future__ import annotations

import orjson

_KEYS = (b'"content":"', b'"content": "')
_PROBE = "\N{WHITE SQUARE}"
_QUOTE, _BACKSLASH = b'"\\'
_GIVE_UP = 4  # forms in a row that no other block had


class Pattern:
    """What the last parsed chunk of a stream looks like; matches nothing before `learn`."""

    __slots__ = ("_delta", "_head", "_in_vain", "_tail", "_text_to")

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._delta = b""  # the head up to the key of the text
        self._in_vain = 0
        self._text_to = 0  # from the end

    def learn(self, block: bytes) -> None:
        """Take the form of a block: one whole event that, parsed, brought text alone. An unclear one is left.

        Where forms do not last (a log probability in each), it stops looking for them.
        """
        self._head = b""
        if self._in_vain >= _GIVE_UP:
            return
        self._in_vain += 1
        for key in _KEYS:
            if block.count(key) == 1:
                begin = block.find(key) + len(key)
                end = block.find(b'"', begin)
                head, tail = block[:begin], block[end:]
                if self._is_delta(head, tail):
                    self._head, self._tail, self._text_to = head, tail, -len(tail)
                    self._delta = head[: -len(key)]
                return

    @staticmethod
    def _is_delta(head: bytes, tail: bytes) -> bool:
        try:
            chunk = orjson.loads((head + _PROBE.encode() + tail)[6:])
            return bool(chunk["choices"][0]["delta"]["content"] == _PROBE)
        except (ValueError, LookupError, TypeError):
            return False  # the text was cut at an escaped quotation mark, or is not where it seemed

    def text_of(self, block: bytes) -> str | None:
        """The text of a block that has the form, if it brings any; otherwise None."""
        head = self._head
        if not head or not block.startswith(head) or not block.endswith(self._tail):
            return None
        text = block[len(head) : self._text_to]
        if not text or _QUOTE in text or _BACKSLASH in text:
            return None
        try:
            said = text.decode()
        except UnicodeDecodeError:
            return None
        if not said.isprintable():  # control characters, and some that would do no harm
            return None
        self._in_vain = 0
        return said

    def with_members(self, members: bytes) -> bytes:
        """A block of the form whose delta has other members, at least one; they come as JSON without its braces."""
        return self._delta + members + self._tail[1:]
