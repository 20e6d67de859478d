"""Figures and foreign text, made ready to be read on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from profiler.analysis.wording import count, duration, percent, plural, three_digits

__all__ = ["count", "duration", "ends_of", "percent", "plural", "safe", "size"]

T = TypeVar("T")
_NO_CHARACTERS = "\ufffe\uffff"  # which XML cannot hold
MOST_ROWS, _LAST_ROWS = 60, 10  # of a table that is read from top to bottom

_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separators


def size(number: int) -> str:
    """Bytes, in thousands."""
    if number < 1000:  # noqa: PLR2004
        return f"{number} B"
    if number < 999_500:  # noqa: PLR2004
        return f"{three_digits(number / 1e3)} kB"
    return f"{three_digits(number / 1e6)} MB"


def safe(text: str, limit: int = 200) -> str:
    """Text from models, tools and servers without what a terminal would obey: control and format characters."""
    if text.isascii() and text.isprintable():  # nearly all
        return text if len(text) <= limit else text[: limit - 1] + "…"
    looked_at = text[: limit + 1]  # it may have megabytes
    kept = "".join(character if _may_be_shown(character) else " " for character in looked_at)
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def _may_be_shown(character: str) -> bool:
    return unicodedata.category(character) not in _UNSAFE and character not in _NO_CHARACTERS


def ends_of(rows: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    """The first rows, those in the middle that nobody reads one by one, and the last: agents may go round for ever."""
    if len(rows) <= MOST_ROWS:
        return rows, (), ()
    return rows[: MOST_ROWS - _LAST_ROWS], rows[MOST_ROWS - _LAST_ROWS : -_LAST_ROWS], rows[-_LAST_ROWS:]
