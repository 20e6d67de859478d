"""Findings about time in which neither a call nor a tool was active, by whose it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pandas as pd

from profiler.analysis.finding import Finding
from profiler.analysis.findings.inquiry import Inquiry, evidence, short
from profiler.analysis.measured import numbers
from profiler.analysis.wording import duration, percent

_OWN, _BETWEEN = "own code", "between steps"
_MOST = 0.6  # of the time in one place: it is worth naming
_LATE_NS = 20_000_000
_OFTEN = 0.2  # of the calls
_MOSTLY = 0.5  # of the time is waiting
_PROFILE = "sleeping, parsing, blocking input and output."
_FEWER = (
    "Run fewer chains at once, or spread them over several processes: those that run at once wait for each other in "
    "this one. What the code itself takes is seen with --concurrency 1."
)


def framework_time(inquiry: Inquiry) -> Iterator[Finding]:
    """Each owner of such time: a node, the graph between its steps, or the function of an agent without steps."""
    gaps = inquiry.measured.gaps
    lasted, waiting = numbers(gaps["duration_ns"]), _behind_others(inquiry)
    for name, rows in _places(inquiry, lasted):
        here = np.zeros(len(gaps))
        here[rows] = lasted[rows]
        gain = inquiry.gain(inquiry.per_chain(gaps, here, "framework"))
        if gain is None:
            continue
        where, title, detail, remedy = _words(inquiry, name, rows, lasted[rows])
        behind = float(waiting[rows].sum() / lasted[rows].sum())
        crowded = behind >= _MOSTLY
        yield Finding(
            kind="framework-time",
            title=f"{duration(gain.ns)} of a chain ({percent(gain.share)}) passes {title}, without a call or a tool"
            + ("; most of it is waiting for the other chains in this process." if crowded else "."),
            detail=f"Pieces of the critical path in which neither a model call nor a tool was active{detail}"
            + _held_up(inquiry)
            + (_crowd(behind) if crowded else ""),
            gain_ns=gain.ns,
            share=gain.share,
            condition="that code takes no time",
            remedy=_FEWER if crowded else remedy,
            where=where,
            phase="framework",
            evidence=evidence(
                gaps,
                here,
                lambda at: f"{duration(float(lasted[at]))} before {_text(inquiry, 'before', at) or 'the end'}",
            ),
        )


def _places(inquiry: Inquiry, lasted: Any) -> list[tuple[str, Any]]:
    """Owner and the gaps that are its own, by name; what a held event loop explains is a finding of its own.

    Those that could not gain enough, if all of it were saved, are left out: of the gaps there are the most by far.
    """
    gaps = inquiry.measured.gaps
    causes, owners = gaps["cause"].cat, gaps["owner"].cat
    kind = (causes.codes.to_numpy().astype(int) * len(owners.categories) + owners.codes.to_numpy()) * 2
    kind += _of_stepless(inquiry)
    names: dict[str, int] = {}
    number = np.full(2 * len(causes.categories) * len(owners.categories), -1)
    for each in np.unique(kind).tolist():
        cause = causes.categories[each // 2 // len(owners.categories)]
        if cause != "event loop":
            owner = owners.categories[each // 2 % len(owners.categories)]
            name = owner.replace("step ", "node ", 1) if cause == "node" else _OWN if each % 2 else cause
            number[each] = names.setdefault(name, len(names))
    place = number[kind]
    total = np.bincount(place + 1, weights=lasted, minlength=len(names) + 1)[1:]
    told = [name for name, at in names.items() if inquiry.may_gain(float(total[at]), "framework")]
    return [(name, np.flatnonzero(place == names[name])) for name in sorted(told)]


def _of_stepless(inquiry: Inquiry) -> Any:
    """Which gaps are of chains without any step: there is no graph that could take time."""
    steps = inquiry.measured.chains["steps"].to_numpy()
    return steps[inquiry.measured.gaps["chain"].to_numpy()] == 0


def _text(inquiry: Inquiry, column: str, at: int) -> str:
    """What is before or after the gap at a position."""
    measured = inquiry.measured
    return str(measured.all_gaps[column].iloc[int(measured.gaps["row"].iloc[at])])


def _words(inquiry: Inquiry, name: str, rows: Any, lasted: Any) -> tuple[str, str, str, str]:
    """Where it is, how the title says so, the rest of the detail, and the remedy; from gaps and how long they are."""
    if name.startswith("node "):
        where = short(name)
        chains = max(len(inquiry.measured.chains), 1)
        before = float(lasted[_before_its_call(inquiry, rows)].sum()) / chains
        after = float(lasted.sum()) / chains - before
        return (
            where,
            f"in {where}'s own code",
            (
                f": {duration(before)} before the node's calls and tools, {duration(after)} after them. That is the "
                "framework (LangChain), the client library's work outside of the request, and your code."
            ),
            f"Profile the node's code (py-spy), the part {'before' if before >= after else 'after'} the call first: "
            + _PROFILE,
        )
    if name == _OWN:
        place = _most_between(inquiry, rows, lasted)
        return (
            place,
            f"in the function's own code{f', most of it {place}' if place else ''}",
            ": the agent's function itself and the libraries that it uses. It has no steps that could be told apart.",
            f"Profile the function (py-spy): {_PROFILE}",
        )
    words = {"start": "before the first step", "end": "after the last step", "unattributed": "outside any step"}
    return (
        _BETWEEN if name == _BETWEEN else "",
        words.get(name, _BETWEEN),
        ": scheduling, serialisation, checkpointing, or code outside nodes.",
        (
            "Look at what the graph keeps and copies between steps (checkpointer, size of the state), and at the "
            "agent's set-up."
        ),
    )


def _before_its_call(inquiry: Inquiry, rows: Any) -> Any:
    """Which gaps are of the step that comes next: they lie after its beginning, and its calls are still to come."""
    gaps, steps = inquiry.measured.gaps, inquiry.measured.steps
    chain, position, start = (gaps[name].to_numpy()[rows] for name in ("chain", "position", "start_ns"))
    many = int(max(position.max(initial=0), steps["position"].max() if len(steps) else 0)) + 1
    begun = steps["start_ns"].groupby(steps["chain"].to_numpy() * many + steps["position"].to_numpy()).min()
    if begun.empty:
        return np.zeros(len(rows), dtype=bool)
    wanted = chain * many + position
    at = np.searchsorted(begun.index.to_numpy(), wanted).clip(max=len(begun) - 1)
    return (begun.index.to_numpy()[at] == wanted) & (start >= begun.to_numpy()[at])


def _most_between(inquiry: Inquiry, rows: Any, lasted: Any) -> str:
    """Between which two calls or tools most of it lies, if it does: `between call 3 and call 4`."""
    rows, lasted = rows[lasted > 0], lasted[lasted > 0]
    positions = inquiry.measured.gaps["position"].to_numpy()[rows]
    sums = pd.Series(lasted).groupby(positions).sum()
    position = int(cast("int", sums.idxmax()))
    if len(sums) < 2 or float(sums.max()) < _MOST * float(sums.sum()):  # noqa: PLR2004
        return ""
    first = int(rows[positions == position][0])
    after, before = _text(inquiry, "after", first), _text(inquiry, "before", first)
    if not before:
        return "after the last call"
    if not after:
        return f"before {_named(before, position)}"
    return f"between {_named(after, position - 1)} and {_named(before, position)}"


def _named(label: str, position: int) -> str:
    return f"call {position}" if label == "call" else f"{short(label)} ({position})"


def _behind_others(inquiry: Inquiry) -> Any:
    """Of each gap, how much of it is waiting for other chains' code in the same process; 0 if the loop was not late.

    Of k chains that are in such code at the same time one runs, so each of them waits (k - 1) / k of it. That is so
    where the code holds the interpreter, which a loop that is late tells; code that sleeps makes nobody wait.
    """
    gaps = inquiry.measured.gaps
    if not _often_late(inquiry).any():
        return np.zeros(len(gaps))
    start = gaps["start_ns"].to_numpy()
    end = start + gaps["duration_ns"].to_numpy()
    at = np.concatenate([start, end])
    order = np.argsort(at, kind="stable")
    at = at[order]
    together = np.cumsum(np.repeat([1, -1], len(start))[order])
    waiting = np.where(together > 1, 1 - 1 / np.maximum(together, 1), 0.0)
    until = np.append(0.0, np.cumsum(waiting[:-1] * np.diff(at)))
    return until[np.searchsorted(at, end)] - until[np.searchsorted(at, start)]


def _crowd(behind: float) -> str:
    return f" By how many chains were in such code at the same time {percent(behind)} of it is waiting for the others."


def _often_late(inquiry: Inquiry) -> Any:
    """In which calls the agent's event loop was late, if it was in many."""
    late = np.nan_to_num(numbers(inquiry.calls["lag_max_ns"])) >= _LATE_NS
    return late if len(late) and late.mean() >= _OFTEN else np.zeros(len(late), dtype=bool)


def _held_up(inquiry: Inquiry) -> str:
    """A word of warning where the agent's event loop was late in many calls: then its code waited for its turn."""
    late = _often_late(inquiry)
    if not late.any():
        return ""
    lag = numbers(inquiry.calls["lag_max_ns"])
    return (
        f" In {percent(float(late.mean()))} of the calls the event loop was late by over {duration(_LATE_NS)} "
        f"(median {duration(float(np.median(lag[late])))}): part of this is waiting for its turn."
    )
