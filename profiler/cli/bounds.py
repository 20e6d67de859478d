"""Bounds as people write them: `"300 ms"`, `"5%"`, `"5 points"`, `6`.

`where` names the file and the metric in messages. All raise UsageError for what is no such thing, or negative.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

from profiler.compare.vocabulary import COUNTS, SHARES
from profiler.errors import UsageError

_UNITS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9}
_MOST = 10.0  # times as much: what is beyond it is a slip


def value_of(where: str, metric: str, given: str | float) -> float:
    """A limit in the unit of its metric: nanoseconds, a share, or a number."""
    name = metric.partition(".")[0]
    if name in SHARES:
        return share(where, given, whole=True)
    value = _number(where, given) if name in COUNTS else _time(where, given)
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{where} = {given!r} is no bound", remedy="a finite number that is not negative")
    return value


def share(where: str, given: str | float, *, whole: bool = False) -> float:
    """`"5%"` or 0.05; all of it, unless `whole`, only as `"100%"`: a bare 1 may have been meant as 1%."""
    text = str(given).strip()
    value = _percent(where, given, 'such as "5%"')
    if not 0 <= value <= 1 or (not text.endswith("%") and value == 1 and not whole):
        raise UsageError(f"{where} = {given!r} is not from 0% to 100%", remedy='write it with %: "5%"')
    return value


def factor(where: str, given: str | float) -> float:
    """How much more, relative to what there is: `"5%"`; above 100% only with the sign."""
    text = str(given).strip()
    value = _percent(where, given, 'such as "5%"')
    if not 0 <= value <= _MOST or (not text.endswith("%") and value >= 1):
        raise UsageError(f"{where} = {given!r} is not from 0% to {_MOST * 100:g}%", remedy='write it with %: "5%"')
    return value


def points(where: str, given: str | float) -> float:
    """A difference of shares: `"5 points"` is from 80% to 75%."""
    text = str(given).strip()
    number = text.removesuffix("s").removesuffix("point").removesuffix("pp").strip()
    if number == text:
        raise UsageError(
            f"{where} is a share, and a margin of {given!r} on it may mean two things",
            remedy='write percentage points: "5 points" is from 80% to 75%',
        )
    try:
        value = float(number) / 100
    except ValueError as error:
        raise UsageError(f"{where} is not a number of points: {given!r}", remedy='such as "5 points"') from error
    if not 0 <= value <= 1:
        raise UsageError(f"{where} = {given!r} is not from 0 to 100 points", remedy='such as "5 points"')
    return value


def suggest(name: str, known: Sequence[str], *, shown: Sequence[str] = ()) -> str:
    """The near ones, or else all there are."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(shown or known)}"


def _number(where: str, given: str | float) -> float:
    try:
        return float(given)
    except ValueError as error:
        raise UsageError(f"{where} is a number, not {given!r}", remedy="such as max = 6") from error


def _time(where: str, given: str | float) -> float:
    text = str(given).strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZµ").strip()
    unit = text[len(number) :].strip()
    try:
        value = float(number)
    except ValueError as error:
        raise UsageError(f"{where} is a time, not {given!r}", remedy='such as max = "300 ms"') from error
    if unit not in _UNITS:
        said = f"has the unit {unit!r}" if unit else "has no unit"
        raise UsageError(f"{where} = {given!r} {said}", remedy=suggest(unit, list(_UNITS)))
    return value * _UNITS[unit]


def _percent(where: str, given: str | float, example: str) -> float:
    text = str(given).strip()
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise UsageError(f"{where} is a share, not {given!r}", remedy=example) from error
