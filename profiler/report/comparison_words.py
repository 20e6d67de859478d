"""What a comparison says, in words that every format shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from profiler.analysis.phases import PHASES
from profiler.compare.blame import Blame, Fact
from profiler.compare.comparison import Comparison
from profiler.compare.figures import DURATION, Figure
from profiler.compare.rows import OUTSIDE, RowKey
from profiler.compare.sameness import Difference
from profiler.compare.script import LACKS, OffScript
from profiler.compare.trajectories import GONE, MORE
from profiler.report.terminal import title
from profiler.report.text import count, duration, percent, plural, safe
from profiler.stats.paired import PairedRatio, Shift
from profiler.store.manifest import Manifest

LONGER, SHORTER, OPEN = "longer", "shorter", "open"
CHANCE = "; may be chance"
_FEW_NAMES = 4
_FEWEST_TASKS = 2
_DRIFT = "Measured one after the other: a part may be the machine's drift."
_LEAST_PART = 0.1  # of the difference of chain time: smaller parts are left to the list
_OF_PHASES = {  # figures of a chain that bear on a phase
    "prefill": ("LLM calls", "prompt tokens"),
    "decode": ("LLM calls", "output tokens"),
    "inference": ("LLM calls", "prompt tokens", "output tokens"),
    "tool": ("tools",),
    "retry": ("failed calls",),
}
_LARGE = 9.9995  # ratios beyond are not told to a thousandth
_HOPELESS = 10.0  # elevenfold times: said as a figure, it would only look like one
_HUGE = 1_000  # ends of an interval beyond say no more than that little is known


def title_words(base: Manifest | None, candidate: Manifest | None) -> str:
    """Which agent against what; where the two differ in it, both."""
    told = [title(manifest, "two files of spans") for manifest in (base, candidate)]
    return f"Comparison of {told[0]}" if told[0] == told[1] else f"{told[0]}, and {told[1]}"


def certainty(ratio: PairedRatio | None) -> str:
    """`longer` or `shorter` where the interval leaves 1 out, else `open`."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return OPEN
    return LONGER if ratio.low > 1 else SHORTER if ratio.high < 1 else OPEN


def ratio_words(ratio: PairedRatio | None) -> str:
    """`×1.389 (1.334 to 1.446)`."""
    if ratio is None or ratio.ratio is None:
        return ""
    if ratio.low is None or ratio.high is None or (low := _times(ratio.low)) == (high := _times(ratio.high)):
        return f"×{_times(ratio.ratio)}"
    return f"×{_times(ratio.ratio)} ({low} to {high})"


def shift_words(shift: Shift, unit: str) -> str:
    """`+21.2 ms (+20.7 ms to +21.8 ms)`."""
    if shift.difference is None:
        return ""
    if shift.low is None or shift.high is None or shift.low == shift.high:
        return signed(shift.difference, unit)
    return f"{signed(shift.difference, unit)} ({signed(shift.low, unit)} to {signed(shift.high, unit)})"


def signed(value: float, unit: str) -> str:
    """With its sign; 0 has none."""
    text = amount(abs(value), unit)
    return text if text.strip("0.") in ("", "%") else f"{'+' if value > 0 else '-'}{text}"


def amount(value: float | None, unit: str) -> str:
    """A value of a unit: `ns`, `count`, `tokens` or `share`."""
    if unit == DURATION:
        return duration(value)
    return percent(value) if unit == "share" else count(None if value is None else round(value, 2))


def headline(comparison: Comparison) -> str:
    """The one sentence: longer, shorter, or nothing found and what would have been."""
    ratio, figure = comparison.chain_time, comparison.figure("chain time")
    if figure is None or ratio is None or ratio.ratio is None:
        return "There is no task of which both runs have a chain that ended well: nothing can be compared."
    means = f"{duration(figure.shift.base)} → {duration(figure.shift.candidate)} in the mean"
    told = f"{ratio_words(ratio)}, {means}"
    if ratio.tasks < _FEWEST_TASKS:
        return f"Chain time {told}: of one task, so nothing tells how sure that is."
    sure = certainty(ratio)
    if sure != OPEN:
        part = percent(abs(ratio.ratio - 1))
        drift = "" if comparison.order.interleaved else f" {_DRIFT}"
        return f"Chains take {part} {'longer' if sure == LONGER else 'less time'}: {told}.{drift}"
    found = "" if ratio.smallest_effect is None else f" {found_words(ratio)}"
    return f"No difference in chain time found: {told}.{found}"


def found_words(ratio: PairedRatio) -> str:
    """What this comparison would have found."""
    smallest = (ratio.smallest_effect or 1.0) - 1
    if smallest >= _HOPELESS:
        return f"With {plural(ratio.tasks, 'task')} hardly any slowdown would be found: it takes more."
    size = percent(smallest)
    return f"With {plural(ratio.tasks, 'task')} it takes a slowdown of {size} to be found four times out of five."


def identity_words(comparison: Comparison) -> str | None:
    """The ratio as the product of its two parts, and its logarithm as their sum."""
    identity = comparison.identity
    if identity is None or (logs := identity.rounded()) is None:
        return None
    steps, per_step = ratio_words(identity.steps), ratio_words(identity.per_step)
    whole, one, other = (f"{value:.4f}" for value in logs)
    other = f"- {other[1:]}" if other.startswith("-") else f"+ {other}"
    return f"Number of steps {steps} times time per step {per_step}; in logarithms {whole} = {one} {other}."


def row_words(row: RowKey) -> str:
    """`step 3 (model)`."""
    if row.kind == OUTSIDE.kind:
        return row.label
    label = safe(row.label, 60)
    if row.added:
        return f"new step after {row.position} ({label})" if row.position else f"new step at the start ({label})"
    return f"step {row.position} ({label})"


def sources_words(comparison: Comparison) -> str | None:
    """The phases that make the difference, with what changed of the chain's work: one sentence; None without one."""
    time = comparison.figure("chain time")
    whole = None if time is None else time.shift.difference
    if not whole or certainty(comparison.chain_time) == OPEN:
        return None
    parts = sorted(shown_phases(comparison.phases), key=lambda each: -(each.shift.difference or 0.0) / whole)
    told = [
        f"{each.name} {signed(part, DURATION)}{_work_words(each.name, comparison)}"
        for each in parts
        if (part := each.shift.difference or 0.0) / whole >= _LEAST_PART
    ]
    return f"Of the {signed(whole, DURATION)}: {', '.join(told)}." if told else None


def _work_words(phase: str, comparison: Comparison) -> str:
    """` (cache hits 79% → 0%)`: what of a chain's work that bears on a phase is not the same."""
    facts = [
        Fact(figure.name.removesuffix(" tokens"), figure.unit, figure.shift.base, figure.shift.candidate)
        for name in _OF_PHASES.get(phase, ())
        if (figure := comparison.figure(name)) and figure.shift.base is not None and figure.shift.candidate is not None
    ]
    if phase == "prefill" and (hits := _hits(comparison)) is not None:
        facts.append(hits)
    told = [fact_words(fact) for fact in facts if fact.notable]
    return f" ({', '.join(told)})" if told else ""


def _hits(comparison: Comparison) -> Fact | None:
    prompt, cached = comparison.figure("prompt tokens"), comparison.figure("of these cached")
    if prompt is None or cached is None:
        return None
    sides = [(cached.shift.base, prompt.shift.base), (cached.shift.candidate, prompt.shift.candidate)]
    shares = [some / every for some, every in sides if some is not None and every]
    return Fact("cache hits", "share", *shares) if len(shares) == len(sides) else None


def blame_words(blame: Blame, comparison: Comparison) -> str:
    """One sentence: how much, and what explains it."""
    reached = _reached(blame, comparison)
    said = f"{row_words(blame.row)} {blame.phase} {_size_words(blame)}{reached}"
    reasons = [fact_words(fact) for fact in blame.facts]
    both = {"time" if fact.name.startswith("time per ") else fact.unit for fact in blame.facts} >= {"time", "tokens"}
    if not reasons:
        return f"{said}: {_without_reason(blame, comparison)}"
    split = ""
    if blame.work_ns is not None and blame.speed_ns is not None and both:
        tokens = "prompt tokens to compute" if blame.phase == "prefill" else "tokens to generate"
        split = (
            f"; number of {tokens} {signed(blame.work_ns, DURATION)}, time for each {signed(blame.speed_ns, DURATION)}"
        )
    return f"{said}: {', '.join(reasons)}{split}"


def _size_words(blame: Blame) -> str:
    """The shift; where only the ratio is beyond chance (few tasks, of unlike lengths) that instead of the interval."""
    low, high = blame.shift.low, blame.shift.high
    if blame.certain and blame.ratio is not None and low is not None and high is not None and low <= 0 <= high:
        return f"{signed(blame.shift.difference or 0.0, DURATION)}, {ratio_words(blame.ratio)}"
    return shift_words(blame.shift, DURATION)


def fact_words(fact: Fact) -> str:
    """`prompt 1,486 → 2,810 tokens`."""
    unit = " tokens" if fact.unit == "tokens" else ""
    change = f" ({signed(fact.candidate - fact.base, fact.unit)})" if fact.unit == "tokens" else ""
    return f"{safe(fact.name, 60)} {amount(fact.base, fact.unit)} → {amount(fact.candidate, fact.unit)}{unit}{change}"


def _without_reason(blame: Blame, comparison: Comparison) -> str:
    if not blame.chains[0]:
        return "the base does not have this step"
    if not blame.chains[1]:
        return "the candidate does not have this step"
    if blame.phase == "framework":
        return f"own code and libraries{_owners(comparison)}"
    longer = (blame.shift.difference or 0) > 0
    return f"nothing that is recorded of its work differs: the same takes {'longer' if longer else 'less time'}"


def _owners(comparison: Comparison) -> str:
    """Whose own time grew or shrank most, over the whole chain."""
    named = {"between steps: root": "between steps", "start: root": "at the start", "end: root": "at the end"}
    told = [
        f"{safe(named.get(each.name, each.name.partition(': ')[2].removeprefix('step ')), 60)} "
        f"{signed(each.shift.difference, DURATION)}"
        for each in comparison.owners[:3]
        if each.shift.difference
    ]
    return f" (of a chain, by whose it is: {', '.join(told)})" if told else ""


def _reached(blame: Blame, comparison: Comparison) -> str:
    if blame.row.kind == OUTSIDE.kind or blame.chains == comparison.chains:
        return ""
    here, there = (f"{some} of {all_}" for some, all_ in zip(blame.chains, comparison.chains, strict=True))
    return f" per chain, in {here} chains" if here == there else f" per chain, in {here} → {there} chains"


def blame_lines(comparison: Comparison) -> list[str]:
    """The differences by step and phase; those of a phase of which nothing more can be told are one line."""
    told: dict[tuple[str, bool, bool], list[Blame]] = {}
    for blame in comparison.blame:
        alone = bool(blame.facts) or not all(blame.chains)
        key = (f"{len(told)}" if alone else blame.phase, blame.certain, (blame.shift.difference or 0) > 0)
        told.setdefault(key, []).append(blame)
    lines = []
    for (_, certain, _), group in told.items():
        words = blame_words(group[0], comparison) if len(group) == 1 else _together(group, comparison)
        lines.append(words if certain else f"{words}{CHANCE}")
    return lines


def _together(group: Sequence[Blame], comparison: Comparison) -> str:
    phase = group[0].phase
    total = signed(sum(each.shift.difference or 0.0 for each in group), DURATION)
    most = ", ".join(f"{row_words(each.row)} {signed(each.shift.difference or 0.0, DURATION)}" for each in group[:3])
    more = f" and {len(group) - 3} more" if len(group) > 3 else ""  # noqa: PLR2004
    return f"{phase} {total} in {most}{more}: {_without_reason(group[0], comparison)}"


def change_lines(comparison: Comparison) -> Iterator[str]:
    """Changed trajectories: calls against the script first, then where each task begins to differ from the base."""
    yield from off_script_lines(comparison.off_script)
    grouped: dict[tuple[str, int, str, str], list[tuple[str, int]]] = {}
    for task, own in groupby(comparison.changes, key=lambda each: each[0].task):
        first, *others = (change for change, _ in own)
        label = first.step.partition(" (")[0]
        grouped.setdefault((first.what, first.position, label, first.detail), []).append((task, len(others)))
    for (what, position, label, detail), found in sorted(grouped.items(), key=lambda item: -len(item[1])):
        done = {MORE: "is more than in the base", GONE: "is left out"}.get(what, f"differs, {safe(detail, 120)}")
        further = [number for _, number in found]
        then = "" if not any(further) else f", then {_range(further)} more"
        yield f"step {position} ({safe(label, 80)}) {done}{then}, in {some_names([task for task, _ in found], 'task')}"


def off_script_lines(
    found: Iterable[OffScript], names: tuple[str, str] = ("the base", "the candidate")
) -> Iterator[str]:
    """`the candidate asks for a call that the script lacks after step 3 (model), in 1 task: a`; first the candidate."""
    places: dict[tuple[int, str, int, str], list[str]] = {}
    for each in found:
        places.setdefault((-each.side, each.what, each.after, each.step), []).append(each.task)
    for (side, what, after, step), tasks in sorted(places.items()):
        place = f"step {after} ({safe(step, 60)})" if step else f"call {after}"
        where = f"after {place}" if after else "at the start"
        does = "asks for a call that the script lacks" if what == LACKS else "leaves calls of the script out"
        yield f"{names[-side]} {does} {where}, in {some_names(tasks, 'task')}"


def _range(numbers: Sequence[int]) -> str:
    least, most = min(numbers), max(numbers)
    return str(most) if least == most else f"{least} to {most}"


def some_names(names: Sequence[str], noun: str) -> str:
    """`3 tasks: a, b, c`; of many the first few."""
    more = f" and {len(names) - _FEW_NAMES} more" if len(names) > _FEW_NAMES else ""
    return f"{plural(len(names), noun)}: {safe(', '.join(names[:_FEW_NAMES]), 200)}{more}"


def difference_words(difference: Difference) -> str:
    """`host: cores 2 → 4`."""
    kind = f"{difference.kind}: " if difference.kind and difference.kind != difference.what else ""
    return safe(f"{kind}{difference.what} {difference.base} → {difference.candidate}", 300)


def remarks(
    comparison: Comparison, manifests: tuple[Manifest | None, Manifest | None], *, of_times: bool = True
) -> list[str]:
    """What a reader must know before believing the figures, the gravest first.

    Args:
        comparison: of two runs.
        manifests: theirs.
        of_times: whether any of the figures is a time; what makes only times inexact is left out otherwise.
    """
    found = [*(_of_order(comparison) if of_times else ()), *_of_failures(comparison), *_of_tasks(comparison)]
    blocking = [difference_words(each) for each in comparison.differences if each.blocking]
    if blocking:
        found.insert(0, f"not the same in both, and allowed: {'; '.join(blocking)}")
    for name, manifest in zip(("base", "candidate"), manifests, strict=True):
        if manifest is None:
            continue
        if manifest.status != "finished":
            found.append(f"the {name} was not ended properly (status {manifest.status})")
        inexact = manifest.suspect if of_times else ()
        found += [f"the {name}'s times may be inexact: {safe(reason, 300)}" for reason in inexact]
    if of_times and any(manifest is not None and manifest.engine.get("simulated") for manifest in manifests):
        found.append("the engine's times are simulated: they follow a time model")
    told = [difference_words(each) for each in comparison.differences if not each.blocking]
    if told:
        found.append(f"also different: {'; '.join(told)}")
    return found


def _of_order(comparison: Comparison) -> Iterator[str]:
    order = comparison.order
    if not order.interleaved:
        apart = f" ({_span(order.apart_s)} apart)" if order.apart_s else ""
        yield (
            f"measured one after the other{apart}: a drift of the machine between the two cannot be excluded, and "
            "would look like a difference between them (profiler ab measures both in turns)"
        )
    if order.at_once:
        yield f"{plural(order.at_once, 'chain')} of the candidate ran while one of the base did, on one machine or two"


def _of_failures(comparison: Comparison) -> Iterator[str]:
    if not any(side.failed for side in comparison.failures):
        return
    for name, side in zip(("base", "candidate"), comparison.failures, strict=True):
        kinds = ", ".join(f"{safe(kind, 60)} {number}" for kind, number in side.kinds)
        gone = f"; no chain ended well of {some_names(side.tasks, 'task')}" if side.tasks else ""
        if side.failed:
            failed = f"{side.failed} of {plural(side.chains, 'chain')} of the {name} failed"
            yield f"{failed} ({kinds}) and are in no time{gone}"


def _of_tasks(comparison: Comparison) -> Iterator[str]:
    for name, tasks in zip(("base", "candidate"), comparison.left_out, strict=True):
        if tasks:
            yield f"only the {name} has chains that ended well of {some_names(tasks, 'task')}: left out"
    if comparison.varying:
        yield (
            f"in {comparison.varying} of {plural(comparison.tasks, 'task')} chains of one run differ in their steps: "
            "changed trajectories are looked for in the others"
        )


def _span(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def shown_phases(phases: Iterable[Figure]) -> list[Figure]:
    """Phases that take any time in either run."""
    return [each for each in phases if each.name in PHASES and (each.shift.base or each.shift.candidate)]


def shown_figures(figures: Iterable[Figure]) -> list[Figure]:
    """Figures that either run has any of."""
    return [each for each in figures if each.shift.base or each.shift.candidate]


def _times(ratio: float) -> str:
    if ratio > _HUGE:
        return f"above {_HUGE:,}"
    return f"{ratio:.3f}" if ratio < _LARGE else f"{ratio:.1f}"
