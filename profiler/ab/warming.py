"""Whether the first chains of a side were slower than its others: caches that one warm-up chain did not fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from profiler.ab.measure import Measured
from profiler.stats.series import WarmUp, relative_logs, warm_up

_LOOKED_AT: Final = 200  # chains: what is cold for longer is no warm-up
_SURE: Final = 0.01  # both sides are asked, on every measurement


def warming_up(ended_well: Sequence[tuple[str, float]]) -> WarmUp | None:
    """The slower beginning of one side, if there is one beyond chance.

    Args:
        ended_well: task and seconds of chains in the order of measurement. Tasks must be repeated: of one round
            nothing can be told.
    """
    first = ended_well[:_LOOKED_AT]
    if not first:
        return None
    found = warm_up(list(relative_logs([seconds for _, seconds in first], [task for task, _ in first])))
    return None if found is None or not found.chains or found.p_value > _SURE else found


def warming_words(measured: Measured, names: tuple[str, str], warmup: int, option: str) -> list[str]:
    """A sentence for each side that was not warm yet, with what to do.

    Args:
        measured: all that was seen.
        names: of the sides, as in "the first 3 chains of ...".
        warmup: chains that were left out already.
        option: that takes options for both sides.
    """
    found = [(name, warming_up(each)) for name, each in zip(names, measured.ended_well, strict=True)]
    longest = max((each.chains for _, each in found if each is not None), default=0)
    return [
        f"the first {each.chains} chains of {name} were {each.slower - 1:.0%} slower than the rest: not warm yet, "
        f'or the machine became faster; {option} "--warmup {warmup + longest}" leaves them out'
        for name, each in found
        if each is not None
    ]
