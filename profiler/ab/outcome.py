"""What a measurement comes to: by the times of pairs, and by the chains that only one side failed in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from profiler.ab.measure import Measured, Stop
from profiler.stats.paired import PairedRatio, Verdict
from profiler.stats.sequential import Look

_CLEAR: Final = 0.025  # one-sided, as of the times
_DOUBTFUL: Final = 0.2  # three failures of B alone to none of A: too few to be sure, too many to be called fine

_LONG_S: Final = 120.0
_WHEN: Final[Mapping[Stop, str]] = {
    Stop.TIME: "the time was used up",
    Stop.OFF_SCRIPT: "every task had been run once",
}


def p_fails_more(measured: Measured) -> float:
    """One-sided p of the hypothesis that B fails no more often than A: small if it does.

    The exact McNemar test: of the pairs in which one side alone failed, B's are binomial with 1/2. It is asked once, at
    the end, which no failure has chosen.
    """
    of_a, of_b = measured.failed_alone
    number = of_a + of_b
    return float(sum(math.comb(number, each) for each in range(of_b, number + 1)) / 2**number)


def outcome(measured: Measured, left_script: Sequence[str] = ()) -> Verdict:
    """The verdict: of the times, unless B fails more often or left its script.

    Args:
        measured: all that was seen.
        left_script: where B, and not A likewise, makes a call that the script lacks or leaves one out.
    """
    p = p_fails_more(measured)
    of_times = Verdict.CANNOT_TELL if measured.look is None else measured.look.verdict
    if left_script or p <= _CLEAR or of_times is Verdict.REGRESSED:
        return Verdict.REGRESSED
    return Verdict.CANNOT_TELL if p <= _DOUBTFUL else of_times


def outcome_facts(
    measured: Measured, margin: float, budget: int, left_script: Sequence[str] = (), remarks: Sequence[str] = ()
) -> dict[str, Any]:
    """The same for programs: plain values, times in seconds, ratios as B over A; docs/ab.md has the keys."""
    look = measured.look
    result = None if look is None else look.result
    return {
        "verdict": outcome(measured, left_script).value,
        "words": outcome_words(measured, margin, budget, left_script),
        "ratio": None if result is None else result.ratio,
        "low": None if result is None else result.low,
        "high": None if result is None else result.high,
        "units": 0 if result is None else result.tasks,
        "unit": _units(measured),
        "margin": margin / 100,
        "pairs": measured.pairs,
        "budget": budget,
        "stopped": measured.stop.value,
        "chance": None if look is None else look.chance,
        "seconds": round(measured.took_s, 3),
        "failed": [len(each) for each in measured.failures],
        "p_fails_more": p_fails_more(measured),
        "left_script": list(left_script),
        "remarks": list(remarks),
    }


def outcome_words(measured: Measured, margin: float, budget: int, left_script: Sequence[str] = ()) -> str:
    """What came out, after how much, and what it would take where nothing did.

    Args:
        measured: all that was seen.
        margin: in per cent.
        budget: pairs that might have been run.
        left_script: as of `outcome`.
    """
    found, look = outcome(measured, left_script), measured.look
    what = {
        Verdict.REGRESSED: "Regressed",
        Verdict.NOT_REGRESSED: f"Not regressed by {margin:g}% or more",
        Verdict.CANNOT_TELL: "Cannot tell",
    }[found]
    times = _times(look, found, margin, _units(measured))
    said = [times]
    if any(measured.failures):
        of_a, of_b = (len(each) for each in measured.failures)
        p = p_fails_more(measured)
        how = (
            "B fails clearly more often"
            if p <= _CLEAR
            else "B may fail more often"
            if p <= _DOUBTFUL
            else "that B fails more often is not seen"
        )
        failed = f"{of_a} chains of A and {of_b} of B failed"
        how = "" if left_script and p > _CLEAR else f", {how} (p = {p:.2g})"
        said = [failed + how, times] if p <= _DOUBTFUL or left_script else [times, failed + how]
    if found is Verdict.CANNOT_TELL and measured.stop is Stop.TIME:
        whole = measured.took_s * budget / measured.pairs
        said.append(f"all {budget} pairs would take some {_time(whole)}")
    if left_script:
        said.insert(0, f"changed trajectory, {'; '.join(left_script)}")
    head = f"{what} after {measured.pairs} of at most {budget} pairs of chains"
    if measured.stop in (Stop.TIME, Stop.OFF_SCRIPT):
        head += f", when {_WHEN[measured.stop]}"
    words = f"{head}: {'; '.join(said)}"
    if left_script or look is None or look.result.low is None:
        return words
    units = ", and with few tasks is over pairs" if measured.pairs_are_units else ""
    return (
        f"{words}. This interval decides: it allows for every look on the way{units}. Those below are over tasks, "
        "as if there had been one look"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _LONG_S else f"{seconds / 60:.0f} min"


def _units(measured: Measured) -> str:
    return "pairs" if measured.pairs_are_units else "tasks"


def _times(look: Look | None, found: Verdict, margin: float, units: str) -> str:
    if look is None or look.result.ratio is None:
        return "too few pairs ended well for the times"
    seen = _seen(look.result, units)
    if found is not Verdict.CANNOT_TELL or look.verdict is not Verdict.CANNOT_TELL:
        return seen
    gave_up = "" if look.chance is None else f"; the rest would decide with a chance of {look.chance:.0%}"
    needed = look.result.tasks_for(1 + margin / 100)
    takes = "" if needed is None else f"; to see {margin:g}% it takes about {needed} tasks (or pairs, of few tasks)"
    return f"{seen}{gave_up}{takes}"


def _seen(result: PairedRatio, units: str) -> str:
    """How much slower or faster B is, with the interval that holds at all looks together."""
    change = (result.ratio or 1) - 1
    found = f"B is {abs(change):.1%} {'slower' if change > 0 else 'faster'} than A"
    if result.low is None or result.high is None:
        return found
    return f"{found} [{result.low - 1:+.1%} to {result.high - 1:+.1%} over {result.tasks} {units}]"
