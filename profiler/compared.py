"""Two runs side by side in Python: `profiler.compare`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from profiler.analysis.tables import Tables
from profiler.api import Run
from profiler.comparable import compare_sides, load_side
from profiler.compare.comparison import Comparison as Found
from profiler.compare.comparison import Recorded
from profiler.compare.figures import Figure
from profiler.compare.rows import OUTSIDE, RowKey
from profiler.compare.sameness import KINDS
from profiler.compare.sides import positions, sides
from profiler.errors import ProfilerError
from profiler.report.comparison import render_comparison
from profiler.report.comparison_markdown import render_comparison_markdown
from profiler.report.comparison_structured import render_comparison_json
from profiler.report.comparison_words import blame_words, change_lines, headline, remarks, sources_words, title_words
from profiler.stats.paired import PairedRatio, Shift

Types = Mapping[str, str]
_P: Types = {"p_more": "float64", "p_fewer": "float64"}
_SHIFT = ("base", "candidate", "difference", "difference_low", "difference_high")
_MIXED: Types = {**dict.fromkeys(_SHIFT, "float64"), **_P}
_TIMES: Types = {**{f"{name}_ns": "float64" for name in _SHIFT}, **_P}
_RATIO: Types = dict.fromkeys(("ratio", "low", "high", "p_slower", "p_faster"), "float64")
_ROW: Types = {"position": "Int64", "added": "bool", "step": "str"}
_CHAINS: Types = {"base_chains": "int64", "candidate_chains": "int64"}
OF_FIGURES: Types = {"name": "str", "unit": "str", **_MIXED, **_RATIO, "tasks": "int64"}
OF_STEPS: Types = {**_ROW, **_CHAINS, **_TIMES, **_RATIO}
OF_TASKS: Types = {
    "task_id": "str",
    **_CHAINS,
    "base_ns": "float64",
    "candidate_ns": "float64",
    "difference_ns": "float64",
    "ratio": "float64",
    "base_steps": "float64",
    "candidate_steps": "float64",
}
OF_BLAME: Types = {
    **_ROW,
    "phase": "str",
    **_CHAINS,
    **_TIMES,
    "work_ns": "float64",
    "speed_ns": "float64",
    "q": "float64",
    "certain": "bool",
    "words": "str",
    "base_trace_id": "str",
    "candidate_trace_id": "str",
}
OF_CHANGES: Types = {
    "task_id": "str",
    "what": "str",
    "position": "int64",
    "step": "str",
    "detail": "str",
    "chains": "int64",
}
OFF_SCRIPT: Types = {
    "side": "str",
    "task_id": "str",
    "what": "str",
    "calls": "int64",
    "chains": "int64",
    "after": "int64",
    "step": "str",
}
DIFFERENCES: Types = {"kind": "str", "what": "str", "base": "str", "candidate": "str"}
_SIDES = ("base", "candidate")


class Comparison:
    """A candidate beside a base: what `profiler compare` shows, as tables.

    docs/python.md describes the tables. Times are nanoseconds; what cannot be told is NaN or None.
    """

    def __init__(self, base: Recorded, candidate: Recorded, found: Found) -> None:
        """See `profiler.compare`."""
        self._sides, self._found = (base, candidate), found

    def __repr__(self) -> str:
        """The headline, and what was compared."""
        return f"<Comparison of {self._found.base!r} and {self._found.candidate!r}: {self.headline}>"

    @property
    def headline(self) -> str:
        """The one sentence: longer, shorter, or nothing found and what would have been."""
        return headline(self._found)

    @property
    def sources(self) -> str | None:
        """The phases that make the difference, in a sentence; None where none is found."""
        return sources_words(self._found)

    @property
    def remarks(self) -> Sequence[str]:
        """What a reader must know before believing the figures, the gravest first."""
        return remarks(self._found, (self._sides[0].manifest, self._sides[1].manifest))

    @property
    def ratio(self) -> float | None:
        """How many times longer the candidate's chains take: geometric mean over tasks."""
        return self._chain_time.ratio if self._chain_time else None

    @property
    def low(self) -> float | None:
        """Lower end of the ratio's 95% interval; None of one task."""
        return self._chain_time.low if self._chain_time else None

    @property
    def high(self) -> float | None:
        """Upper end of it."""
        return self._chain_time.high if self._chain_time else None

    @property
    def smallest_effect(self) -> float | None:
        """The ratio that would have been found four times out of five."""
        return self._chain_time.smallest_effect if self._chain_time else None

    @property
    def interleaved(self) -> bool:
        """Whether both were measured in turns. If not, a drift of the machine cannot be excluded."""
        return self._found.order.interleaved

    @property
    def _chain_time(self) -> PairedRatio | None:
        return self._found.chain_time

    @cached_property
    def figures(self) -> pd.DataFrame:
        """A row per figure of a chain, `chain time` first."""
        return _table(OF_FIGURES, [_figure(each) for each in self._found.figures])

    @cached_property
    def phases(self) -> pd.DataFrame:
        """A row per phase; the differences sum to that of chain time."""
        return _table(OF_FIGURES, [_figure(each) for each in self._found.phases])

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row per step, in the base's order; the last is what is between the steps."""
        rows = [(*_row(each.row), *each.chains, *_shift(each.shift), *_ratio(each.ratio)) for each in self._found.steps]
        return _table(OF_STEPS, rows)

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """A row per paired task, the one that became slower by most times first."""
        both = sides(self._sides[0].tables, self._sides[1].tables)
        chains = [pd.Series(1, index=range(side.chains)).groupby(side.tasks).sum() for side in both]
        times = [side.by_task(side.measured.e2e_ns) for side in both]
        logs = [side.by_task(np.log(side.measured.e2e_ns)) for side in both]
        steps = [side.by_task(positions(side)) for side in both]
        table = pd.DataFrame(
            {
                **{f"{name}_chains": each for name, each in zip(_SIDES, chains, strict=True)},
                **{f"{name}_ns": each for name, each in zip(_SIDES, times, strict=True)},
                "difference_ns": times[1] - times[0],
                "ratio": np.exp(logs[1] - logs[0]),
                **{f"{name}_steps": each for name, each in zip(_SIDES, steps, strict=True)},
            }
        )
        ordered = table.rename_axis("task_id").reset_index().astype(OF_TASKS)[list(OF_TASKS)]
        return ordered.sort_values("ratio", ascending=False, kind="stable", ignore_index=True)

    @cached_property
    def blame(self) -> pd.DataFrame:
        """A row per step and phase that differs by half a percent of a chain, those beyond chance first."""
        rows = [
            (
                *(*_row(each.row), each.phase, *each.chains, *_shift(each.shift), each.work_ns, each.speed_ns),
                *(each.q, each.certain, blame_words(each, self._found), *each.samples),
            )
            for each in self._found.blame
        ]
        return _table(OF_BLAME, rows)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """A row per step by which the chains of a task all go another way than in the base."""
        rows = [
            (change.task, change.what, change.position, change.step, change.detail, chains)
            for change, chains in self._found.changes
        ]
        return _table(OF_CHANGES, rows)

    @cached_property
    def off_script(self) -> pd.DataFrame:
        """A row per task of a side whose chains asked for a call that the script lacks, or left some out."""
        rows = [
            (_SIDES[each.side], each.task, each.what, each.calls, each.chains, each.after, each.step)
            for each in self._found.off_script
        ]
        return _table(OFF_SCRIPT, rows)

    @property
    def change_lines(self) -> Sequence[str]:
        """`changes` and `off_script` in words; empty if both went the same way."""
        return list(change_lines(self._found))

    @cached_property
    def differences(self) -> pd.DataFrame:
        """A row per thing besides the times that is not the same; `kind` is empty for what refuses nothing."""
        rows = [(each.kind, each.what, each.base, each.candidate) for each in self._found.differences]
        return _table(DIFFERENCES, rows)

    def render(
        self, form: Literal["terminal", "markdown", "json"] = "terminal", *, width: int = 110, everything: bool = False
    ) -> str:
        """What `profiler compare` prints.

        Args:
            form: as of `--format`.
            width: of the terminal's columns.
            everything: all differences and trajectories (terminal, markdown), as `--all`.

        Raises:
            ValueError: there is no such form.
        """
        if form == "json":
            return render_comparison_json([(self._found, self.remarks)])
        title = title_words(self._sides[0].manifest, self._sides[1].manifest)
        if form == "markdown":
            return render_comparison_markdown(self._found, self.remarks, title=title, everything=everything)
        if form == "terminal":
            return render_comparison(self._found, self.remarks, title=title, width=width, everything=everything)
        msg = f"{form!r} is none of terminal, markdown, json"
        raise ValueError(msg)


def compare(
    base: Run | str | os.PathLike[str],
    candidate: Run | str | os.PathLike[str],
    *,
    allow: Iterable[str] = (),
    cache: bool = True,
) -> Comparison:
    """See `profiler.compare`."""
    kinds = frozenset(allow.split(",") if isinstance(allow, str) else allow)
    for kind in sorted(kinds - set(KINDS)):
        near = difflib.get_close_matches(kind, KINDS, n=1)
        msg = f"allow: {kind!r} is none of {', '.join(KINDS)}" + (f"; did you mean {near[0]!r}?" if near else "")
        raise ValueError(msg)
    try:
        one, other = (_recorded(side, cache=cache) for side in (base, candidate))
        return Comparison(one, other, compare_sides(one, other, kinds, permission='allow="{}"'))
    except ProfilerError as error:  # a traceback shows a message and its notes
        for note in filter(None, (error.details, error.remedy)):
            error.add_note(note)
        raise


def _recorded(side: Run | str | os.PathLike[str], *, cache: bool) -> Recorded:
    if not isinstance(side, Run):
        return load_side(Path(side), use_cache=cache).recorded
    tables = Tables(side.chains, side.calls, side.steps, side.tools, side.gaps, side.repairs)
    return Recorded(str(side.path), tables, side.manifest)


def _table(types: Types, rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(types)).astype(dict(types))


def _figure(figure: Figure) -> tuple[Any, ...]:
    return (figure.name, figure.unit, *_shift(figure.shift), *_ratio(figure.ratio), figure.shift.tasks)


def _shift(shift: Shift) -> tuple[float | None, ...]:
    return (shift.base, shift.candidate, shift.difference, shift.low, shift.high, shift.p_more, shift.p_fewer)


def _ratio(ratio: PairedRatio | None) -> tuple[float | None, ...]:
    if ratio is None:
        return (None,) * len(_RATIO)
    return (ratio.ratio, ratio.low, ratio.high, ratio.p_slower, ratio.p_faster)


def _row(row: RowKey) -> tuple[int | None, bool, str]:
    return (None if row == OUTSIDE else row.position, row.added, row.label)
