"""Which attributes of a span can be computed with: of the right type, and within what a run can have.

| kind | type | least | most |
|---|---|---|---|
| texts | str |  |  |
| counts | int | 0 | 2^40: a million of them still sum to what a column holds |
| durations | int, ns | 0 | 2^53: 104 days |
| digest | int | 0 | 2^63 - 1 |
| times of chunks | list of int, µs | 0 | 2^50: 35 years |
| sizes of messages | list of int | 0 | 2^40 |
| digests of messages | list of int | 0 | 2^63 - 1 |

Every span of a million is looked at: one loop, and lists in C.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Final

from profiler import semconv as sc
from profiler.analysis.model import Value

_MOST_COUNT: Final = 1 << 40
_MOST_DURATION_NS: Final = 1 << 53
_MOST_TIME_US: Final = 1 << 50
_MOST_DIGEST: Final = 2**63 - 1  # what a column of integers holds


def unfit(attributes: Mapping[str, Value]) -> list[str]:
    """Names of attributes that the analysis computes with and cannot; nearly always none."""
    rules = _RULES
    wrong = []
    for name, value in attributes.items():
        rule = rules.get(name)
        if rule is None:
            continue
        kind = type(value)
        if kind is str:
            if rule == _TEXT:
                continue
        elif isinstance(rule, int):
            if kind is int and 0 <= value <= rule:
                continue
        elif rule(value):
            continue
        wrong.append(name)
    return wrong


def _integers(most: int) -> Callable[[Value], bool]:
    """What says whether something is a list of integers from 0 to that."""

    def fits(value: Value) -> bool:
        if not isinstance(value, tuple | list):
            return False
        try:
            array("Q", value)  # hundreds of arrivals in each call: types and signs are looked at in C
        except (TypeError, OverflowError):
            return False
        return sum(value) <= most or max(value) <= most  # nothing is negative; a sum takes a third of the time

    return fits


_TEXT: Final = -1  # no number is at most that
_RULES: Final[Mapping[str, int | Callable[[Value], bool]]] = {  # the most that it may be, or what says whether it fits
    **dict.fromkeys(sc.TEXTS, _TEXT),
    **dict.fromkeys(sc.COUNTS, _MOST_COUNT),
    **dict.fromkeys(sc.DURATIONS, _MOST_DURATION_NS),
    **dict.fromkeys(sc.DIGESTS, _MOST_DIGEST),
    sc.CHUNK_TIMES_US: _integers(_MOST_TIME_US),
    sc.MESSAGE_CHARS: _integers(_MOST_COUNT),
    sc.MESSAGE_DIGESTS: _integers(_MOST_DIGEST),
}
