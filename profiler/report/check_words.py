"""What a check tells besides its verdicts: what ran, how large what was compared is, and what explains a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from profiler.compare.blame import Blame
from profiler.compare.comparison import Comparison
from profiler.report.comparison_words import LONGER, amount, blame_lines, certainty, sources_words
from profiler.report.terminal import title
from profiler.report.text import plural
from profiler.store.manifest import Manifest

_FIRST = 3
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Told:
    """In words.

    Attributes:
        title: which agent against what.
        measured: how many tasks and chains, and whether they took turns; empty without a baseline.
        blame: what takes longer than in the baseline for sure, and why; the largest first. Without such a step the
            phases, if chains are longer for sure.
        sizes: name of a margin -> mean of the baseline and of the run: `4,751 → 7,799`.
    """

    title: str = ""
    measured: str = ""
    blame: tuple[str, ...] = ()
    sizes: Mapping[str, str] = field(default_factory=lambda: _NONE)


def tell(manifest: Manifest | None, comparison: Comparison | None) -> Told:
    """What there is to tell of a run, and of its comparison with a baseline that shares tasks with it."""
    named = "" if manifest is None else title(manifest, "")
    if comparison is None or not comparison.tasks:
        return Told(named)
    base, candidate = comparison.chains
    how = "in turns" if comparison.order.interleaved else "one after the other"
    chains = f"{base} chains of either run" if base == candidate else f"{candidate} chains and {base} of the baseline"
    measured = f"{plural(comparison.tasks, 'task')}, {chains}, measured {how}"
    sizes = {
        each.name.casefold().replace(" ", "_"): (
            f"{amount(each.shift.base, each.unit)} → {amount(each.shift.candidate, each.unit)}"
        )
        for each in comparison.figures
        if each.shift.base is not None and each.shift.candidate is not None
    }
    slower = replace(comparison, blame=tuple(each for each in comparison.blame if each.certain and _longer(each)))
    return Told(named, measured, tuple(blame_lines(slower)[:_FIRST]) or _by_phase(comparison), sizes)


def _by_phase(comparison: Comparison) -> tuple[str, ...]:
    """Where no step is longer beyond chance, though chains are: the phases that make it."""
    words = sources_words(comparison) if certainty(comparison.chain_time) == LONGER else None
    return () if words is None else (f"{words.removesuffix('.')}; no single step is longer beyond chance",)


def _longer(blame: Blame) -> bool:
    return (blame.shift.difference or 0) > 0
