"""Figures and foreign text, made ready to be read on a terminal."""

from __future__ import annotations

import unicodedata

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separators


def duration(ns: float | None) -> str:
    """Three significant digits with a unit; an em dash for a missing value."""
    if ns is None:
        return "—"
    if ns == 0:
        return "0"
    for size, unit in _UNITS:
        if abs(ns) >= 0.9995 * size:  # 999.9 ms reads 1.00 s
            return f"{_three_digits(ns / size)} {unit}"
    return f"{ns:.0f} ns"


def percent(share: float | None) -> str:
    """A share of 1 as a percentage; an em dash for a missing value."""
    if share is None:
        return "—"
    return f"{share * 100:.0f}%" if share in (0, 1) or share >= 0.1 else f"{share * 100:.1f}%"  # noqa: PLR2004


def count(value: float | None) -> str:
    """A number of things; an em dash for a missing value."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.1f}"  # noqa: PLR2004


def size(number: int) -> str:
    """Bytes, in thousands."""
    if number < 1000:  # noqa: PLR2004
        return f"{number} B"
    if number < 999_500:  # noqa: PLR2004
        return f"{_three_digits(number / 1e3)} kB"
    return f"{_three_digits(number / 1e6)} MB"


def plural(number: float | None, noun: str) -> str:
    """`1 chain`, `2 chains`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def safe(text: str, limit: int = 200) -> str:
    """Text from models, tools and servers without what a terminal would obey: control and format characters."""
    kept = "".join(character if unicodedata.category(character) not in _UNSAFE else " " for character in text)
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def _three_digits(value: float) -> str:
    size = abs(value)
    return f"{value:.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"  # noqa: PLR2004
