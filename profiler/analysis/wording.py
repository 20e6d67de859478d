"""Figures in words: durations, shares and counts as people read them."""

from __future__ import annotations

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))


def duration(ns: float | None) -> str:
    """Three significant digits with a unit; an em dash for a missing value."""
    if ns is None:
        return "—"
    if ns == 0:
        return "0"
    for size, unit in _UNITS:
        if abs(ns) >= 0.9995 * size:  # 999.9 ms reads 1.00 s
            return f"{three_digits(ns / size)} {unit}"
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


def plural(number: float | None, noun: str) -> str:
    """`1 chain`, `2 chains`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def three_digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    size = abs(value)
    return f"{value:.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"  # noqa: PLR2004
