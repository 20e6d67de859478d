"""Delays that a request asks for, so that a cause of slowness is known beforehand.

x-sim-delay: prefill=300 decode=50 delivery=200        milliseconds

prefill    its first token is made so much later; whoever computes in the same step waits too
decode     its second token is
delivery   nothing is written until so long after the last token, then all at once
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from profiler.engines.sim.request import BadRequest

HEADER = "x-sim-delay"
_PLACES = ("prefill", "decode", "delivery")
_MOST_MS = 60_000.0


@dataclass(frozen=True, slots=True)
class Delays:
    """Nanoseconds."""

    prefill_ns: int = 0
    decode_ns: int = 0
    delivery_ns: int = 0


def delays_of(headers: Mapping[str, str]) -> Delays:
    """What a request's header asks for.

    Raises:
        BadRequest: it asks for what there is not.
    """
    text = headers.get(HEADER)
    if text is None:
        return Delays()
    found: dict[str, int] = {}
    for part in text.split():
        place, _, number = part.partition("=")
        if place not in _PLACES:
            raise BadRequest(f"{HEADER}: there is no place {place!r}, but {', '.join(_PLACES)}")
        found[f"{place}_ns"] = round(_milliseconds(number) * 1e6)
    return Delays(**found)


def _milliseconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _MOST_MS:
        raise BadRequest(f"{HEADER}: {text!r} is no number of milliseconds up to {_MOST_MS:g}")
    return number
