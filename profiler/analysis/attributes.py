"""Which attributes of a span can be computed with: of the right type, and within what a run can have.

| kind | type | least | most |
|---|---|---|---|
| texts | str |  |  |
| counts | int | 0 | 2^40: a million of them still sum to what a column holds |
| durations | int, ns | 0 | 2^53: 104 days |
| digest | int | -2^63 | 2^63 - 1 |
| times of chunks | list of int, µs | 0 | 2^50: 35 years |
| sizes of messages | list of int | 0 | 2^40 |
| digests of messages | list of int | -2^63 | 2^63 - 1 |

Every span of a million is looked at. Spans of one kind have the same names in the same order, so what has to be looked
at is found once for each such list of names, and then for all values of a kind together, in C.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from profiler import semconv as sc
from profiler.analysis.model import Value

_MOST_COUNT: Final = 1 << 40
_MOST_DURATION_NS: Final = 1 << 53
_MOST_TIME_US: Final = 1 << 50
_LEAST, _MOST = -(2**63), 2**63 - 1  # what a column of integers holds
_MANY_NAMES: Final = 200  # of one span: lists that long are not kept


class _Kind(NamedTuple):
    names: frozenset[str]
    fits: Callable[[Sequence[Value]], bool]  # several values of this kind at once


def _are_texts(values: Sequence[Value]) -> bool:
    return set(map(type, values)) == {str}


def _are_integers(values: Sequence[Value], least: int, most: int) -> bool:
    return set(map(type, values)) == {int} and min(values) >= least and max(values) <= most


def _are_counts(values: Sequence[Value]) -> bool:
    return _are_integers(values, 0, _MOST_COUNT)


def _are_durations(values: Sequence[Value]) -> bool:
    return _are_integers(values, 0, _MOST_DURATION_NS)


def _are_digests(values: Sequence[Value]) -> bool:
    return _are_integers(values, _LEAST, _MOST)


def _is_list(value: Value, code: str) -> bool:
    """Whether all of it are integers that fit into 64 bits, with a sign (q) or without (Q)."""
    if not isinstance(value, tuple | list):
        return False
    try:
        array(code, value)  # hundreds of arrivals in each call: types and sizes are looked at in C
    except (TypeError, OverflowError):
        return False
    return True


def _are_lists(values: Sequence[Value], most: int) -> bool:
    # Nothing is negative, so that a small sum, which is found in half the time, says that each is small.
    return all(_is_list(value, "Q") and (sum(value) <= most or max(value) <= most) for value in values)


def _are_times(values: Sequence[Value]) -> bool:
    return _are_lists(values, _MOST_TIME_US)


def _are_sizes(values: Sequence[Value]) -> bool:
    return _are_lists(values, _MOST_COUNT)


def _are_lists_of_digests(values: Sequence[Value]) -> bool:
    return all(_is_list(value, "q") for value in values)


_KINDS: Final = (
    _Kind(sc.TEXTS, _are_texts),
    _Kind(sc.COUNTS, _are_counts),
    _Kind(sc.DURATIONS, _are_durations),
    _Kind(sc.DIGESTS, _are_digests),
    _Kind(frozenset({sc.CHUNK_TIMES_US}), _are_times),
    _Kind(frozenset({sc.MESSAGE_CHARS}), _are_sizes),
    _Kind(frozenset({sc.MESSAGE_DIGESTS}), _are_lists_of_digests),
)

_Check = tuple[Callable[[Mapping[str, Value]], Any], Callable[[Sequence[Value]], bool]]


def unfit(attributes: Mapping[str, Value]) -> list[str]:
    """Names of attributes that the analysis computes with and cannot; nearly always none."""
    names = tuple(attributes)
    checks = _checks(names) if len(names) <= _MANY_NAMES else _checks.__wrapped__(names)
    for values_of, fit in checks:
        if not fit(values_of(attributes)):
            break
    else:
        return []
    return [name for kind in _KINDS for name in names if name in kind.names and not kind.fits((attributes[name],))]


@lru_cache(maxsize=1000)
def _checks(names: tuple[str, ...]) -> tuple[_Check, ...]:
    """For attributes of these names: what takes the values of each kind, and what says whether they fit."""
    found: list[_Check] = []
    for kind in _KINDS:
        wanted = [name for name in names if name in kind.names]
        if wanted:
            found.append((itemgetter(wanted[0], *wanted), kind.fits))  # of two names or more it gives a tuple
    return tuple(found)
