"""Does the gate keep its error rates, and what does it find? Whole checks in virtual time, hundreds of each kind.

    python benchmarks/gate.py            all of them, and the tables into RESULTS.md; some minutes of one core
    python benchmarks/gate.py --check    a short version that writes nothing; seconds

A check is two runs of 25 tasks with 4 chains each, made by `virtual.py`: 3 to 8 calls per chain, and a machine whose
speed wanders by 5% to either side meanwhile. Exit code 1 if a rate is worse than promised by more than chance: the
binomial test at 1%.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import gate_rules as rules
import numpy as np
import results
import scipy
from gate_check import BUDGETS, Decisions, Whole, decisions
from scipy import stats
from virtual import AT_ONCE, Measured, World, measure, on_the_engine, stall_that_raises

import profiler
from profiler.stats.drift import verdict_apart
from profiler.stats.paired import PairedRatio, Verdict, by_block, paired_ratio
from profiler.stats.sequential import look, plan_looks

ALPHA = rules.ALPHA
CHANCE = 0.01
QUICK = 30
QUICK_WHOLE = 2  # a second each
VERSIONS = {"agent-chain-profiler": profiler.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
FREE, PINNED = World(), World(cv=0.15, free=False, planned=True)
STALLING = World(stalls=0.01, stall=10)
RARE, COMMON = World(stalled_chains=0.1), World(stalls=0.02)


@dataclass(frozen=True)
class Case:
    """Checks of one kind."""

    name: str
    make: Callable[[int], Measured]
    checks: int
    rule: str | None = None
    """The one of ours that is to see it; None where nothing is to be seen."""
    promised: float = 0.0
    """In this share of the checks, at least."""
    quick: bool = False


def changed(name: str, base: World, candidate: World, rule: str, promised: float, *, quick: bool = False) -> Case:
    """Something to be found."""
    return Case(name, partial(_measured, base, candidate), 200, rule, promised, quick)


def alike(name: str, world: World, *, tasks: int = 25, checks: int = 200, quick: bool = False) -> Case:
    """Nothing to be found."""
    return Case(name, partial(_measured, world, world, tasks=tasks), checks, quick=quick)


def _measured(base: World, candidate: World, seed: int, *, tasks: int = 25) -> Measured:
    return measure(seed, base, candidate, tasks=tasks)


def _stalling(world: World) -> World:
    return replace(world, stall=stall_that_raises(0.95, 0.2, world))


def cases() -> list[Case]:
    """What is measured, in the order of the table."""
    return [
        alike("A/A, free", FREE, checks=500, quick=True),
        alike("A/A, pinned", PINNED, checks=500),
        alike("A/A, calls of a chain correlated by 0.5", World(shared=0.5)),
        alike("A/A, 5 tasks only", FREE, tasks=5),
        alike("A/A, one call in 100 takes ten more", STALLING),
        Case("A/A, engine's time model", partial(on_the_engine, at_once=1), 60),
        changed("pinned, calls 5% slower", PINNED, replace(PINNED, slower=1.05), "chain time", 0.9, quick=True),
        changed("pinned, calls 3% slower", PINNED, replace(PINNED, slower=1.03), "chain time", 0.6),
        changed("free, calls 5% slower", FREE, World(slower=1.05), "time per step", 0.68),
        changed(
            "free, as planned, calls 5% slower",
            World(planned=True),
            World(planned=True, slower=1.05),
            "time per step",
            0.6,
        ),
        changed("free, calls 10% slower", FREE, World(slower=1.1), "time per step", 0.95),
        changed(
            "free, one step more in 30% of chains", FREE, World(more_steps=0.3), "number of steps", 0.75, quick=True
        ),
        changed("free, p95 + 20%: a stall in 10% of chains", FREE, _stalling(RARE), "p95 of chains", 0.8),
        changed("free, p95 + 20%: 2% of calls stall", FREE, _stalling(COMMON), "p95 of chains", 0.65),
        Case("engine's time model, 15% slower", partial(on_the_engine, slower=1.15, at_once=1), 40, "chain time", 0.8),
    ]


@dataclass(frozen=True)
class Rates:
    """How often each rule raised an alarm."""

    case: Case
    checks: int
    alarms: dict[str, int]
    decisions: int
    """Checks, or two per check where both sides are alike and either may be taken for the slower one."""

    def holds(self) -> bool:
        """Whether what was promised is within chance of what came out."""
        if self.case.rule is None:
            return all(_within(self.alarms[rule], self.decisions, ALPHA, "greater") for rule in self.ours())
        return _within(self.alarms[self.case.rule], self.decisions, self.case.promised, "less")

    def ours(self) -> list[str]:
        """Our rules' names."""
        return [rule for rule in rules.NAMES if rule in self.alarms]


def _within(count: int, of: int, rate: float, side: str) -> bool:
    return bool(stats.binomtest(count, of, rate, alternative=side).pvalue >= CHANCE)


def rates(case: Case, checks: int, *, with_others: bool = True) -> Rates:
    """Make the checks and count."""
    alarms: Counter[str] = Counter()
    for seed in range(checks):
        measured = case.make(seed)
        slower, faster = rules.ours(measured.base, measured.candidate)
        alarms.update(slower)
        if case.rule is None:
            alarms.update(faster)
        if with_others:
            alarms.update(rules.others(measured.base, measured.candidate))
            if case.rule is None:
                alarms.update(rules.others(measured.candidate, measured.base))
    decisions = checks * (2 if case.rule is None else 1)
    return Rates(case, checks, dict(alarms), decisions)


def _rates(case: Case, most: int | None) -> Rates:
    return rates(case, min(most or case.checks, case.checks))


@dataclass(frozen=True)
class Apart:
    """What runs measured one after the other come to."""

    name: str
    checks: int
    plain: int
    """Alarms if nobody thinks of drift."""
    alarms: int
    drift: int
    """"Drift cannot be excluded" in place of an alarm."""


def one_after_the_other(name: str, candidate: World, checks: int) -> Apart:
    """Under drift, with the stored baseline measured first."""
    results_of = []
    for seed in range(checks):
        measured = measure(seed, FREE, candidate, interleaved=False)
        result = rules.ratio(measured.base, measured.candidate, "per step")
        results_of.append(verdict_apart(result, margin=rules.MARGIN))
    plain = [each for each in results_of if each.without_drift is Verdict.REGRESSED]
    alarms = sum(each.verdict is Verdict.REGRESSED for each in results_of)
    return Apart(name, checks, len(plain), alarms, sum(each.drift_decides for each in plain))


@dataclass(frozen=True)
class Together:
    """What chains that run at once on one engine come to."""

    name: str
    decisions: int
    by_task: int
    by_block: int


def together(name: str, slower: float, checks: int) -> Together:
    """Five chains at once, by the engine's time model; A/A counts both sides."""
    by_task = blocks = 0
    alike = slower == 1
    for seed in range(checks):
        measured = on_the_engine(seed, slower)
        base, candidate = measured.base.samples("chain"), measured.candidate.samples("chain")
        of = {task: [f"{number // AT_ONCE} {repeat}" for repeat in range(4)] for number, task in enumerate(base)}
        plain, blocked = paired_ratio(base, candidate), paired_ratio(*by_block(base, candidate, of))
        by_task += _decided(plain, either=alike)
        blocks += _decided(blocked, either=alike)
    return Together(name, checks * (2 if alike else 1), by_task, blocks)


def _decided(result: PairedRatio, *, either: bool) -> bool:
    return result.low is not None and (result.low > 1 or (either and result.high is not None and result.high < 1))


@dataclass(frozen=True)
class Sequences:
    """What measuring until it is clear comes to."""

    name: str
    metric: str
    verdicts: Counter[Verdict]
    share: float
    """Mean of the chains measured, of those of a check of fixed size."""


def sequences(name: str, base: World, candidate: World, metric: str, checks: int) -> Sequences:
    """Sequential checks with the budget of 25 tasks x 4."""
    plan = plan_looks(25, 4, margin=rules.MARGIN)
    verdicts: Counter[Verdict] = Counter()
    used = []
    for seed in range(checks):
        measured = measure(seed, base, candidate)
        for index, pairs in enumerate(plan.pairs):
            done = Counter(int(turn.task) for turn in measured.order[:pairs])
            sides = [side.samples(metric, done) for side in (measured.base, measured.candidate)]
            found = look(plan, index, *sides)
            if found.final:
                break
        verdicts[found.verdict] += 1
        used.append(pairs / plan.pairs[-1])
    return Sequences(name, metric, verdicts, float(np.mean(used)))


def all_sequences(checks: int) -> list[Sequences]:
    """For the second table."""
    made = []
    for kind, world, metric in (("pinned", PINNED, "chain"), ("free", FREE, "per step")):
        for name, factor in (("A/A", 1.0), ("5% slower", 1.05), ("10% slower", 1.1)):
            slower = replace(world, slower=factor)
            made.append(sequences(f"{kind}, {name}", world, slower, metric, checks))
            print(f"  sequential: {made[-1].name}", file=sys.stderr)
    return made


def wholes() -> list[Whole]:
    """Decisions of the command as a whole."""
    pinned, free = (replace(world, slower=1.1) for world in (PINNED, FREE))
    much = replace(FREE, slower=1.3)
    return [
        Whole("A/A, free", FREE, FREE, 200),
        Whole("A/A, pinned", PINNED, PINNED, 200),
        Whole("A/A, one call in 100 takes ten more", STALLING, STALLING, 100),
        Whole("A/A, free, one after the other", FREE, FREE, 100, in_turns=False),
        Whole("pinned, calls 5% slower", PINNED, replace(PINNED, slower=1.05), 100, promised=0.9),
        Whole("pinned, calls 10% slower", PINNED, pinned, 50, promised=0.95),
        Whole("free, calls 10% slower", FREE, free, 50, promised=0.95),
        Whole("free, p95 + 20%: a stall in 10% of chains", RARE, _stalling(RARE), 50),
        Whole("free, 30% slower, one after the other", FREE, much, 50, in_turns=False, promised=0.9),
    ]


def as_promised(found: Decisions) -> bool:
    """Where nothing is to be found, neither the primary margin nor any other beyond the nominal; else found enough."""
    if found.whole.alike:
        return all(_within(count, found.decisions, ALPHA, "greater") for count in (found.primary, found.secondary))
    return _within(found.primary, found.decisions, found.whole.promised, "less")


def quick() -> int:
    """The short version: the same code, fewer checks, ours alone."""
    failed = []
    for case in cases():
        if case.quick:
            found = rates(case, QUICK, with_others=False)
            print(
                f"{case.name}: " + ", ".join(f"{rule} {count}" for rule, count in found.alarms.items()),
                f"of {found.decisions}",
            )
            failed += [] if found.holds() else [case.name]
    apart = one_after_the_other("one after the other", FREE, QUICK)
    print(f"{apart.name}: {apart.plain} alarms without thinking of drift, {apart.alarms} with, of {apart.checks}")
    if not _within(apart.alarms, apart.checks, ALPHA, "greater"):
        failed.append(apart.name)
    tenth = sequences("sequential, pinned, 10% slower", PINNED, replace(PINNED, slower=1.1), "chain", QUICK // 2)
    print(
        f"{tenth.name}: {tenth.verdicts[Verdict.REGRESSED]} of {QUICK // 2} found with {tenth.share:.0%} of the chains"
    )
    if tenth.verdicts[Verdict.REGRESSED] < 0.9 * QUICK // 2 or tenth.share > 0.5:
        failed.append(tenth.name)
    for whole in (wholes()[0], wholes()[5]):
        said = decisions(whole, QUICK_WHOLE)
        print(f"check, {whole.name}: {said.primary} by the primary, {said.secondary} by others, of {said.decisions}")
        failed += [] if as_promised(said) else [f"check, {whole.name}"]
    print(f"worse than promised: {', '.join(failed)}" if failed else "all as promised")
    return 1 if failed else 0


def all_decisions(pool: ProcessPoolExecutor, most: int | None) -> int:
    """The command's decisions: an exit code. With all that there are to make the table is written, else printed."""
    found = []
    for each in pool.map(partial(decisions, most=most), wholes()):
        found.append(each)
        said = f"{each.primary} by the primary, {each.secondary} by others, of {each.decisions}"
        print(f"{'' if as_promised(each) else 'NOT '}as promised: check, {each.whole.name}: {said}", file=sys.stderr)
    text = section_of_check(found)
    if most is None:
        results.replace_section("gate-check", text)
    else:
        print(text)
    return 0 if all(map(as_promised, found)) else 1


def section(
    found: Sequence[Rates],
    aparts: Sequence[Apart],
    shared: Sequence[Together],
    looks: Sequence[Sequences],
) -> str:
    """For RESULTS.md."""
    names = [*rules.NAMES, *rules.OTHERS]
    rows = [
        [each.case.name, f"{each.checks}", *(_cell(each, name) for name in names), "yes" if each.holds() else "NO"]
        for each in found
    ]
    apart_rows = [
        [
            each.name,
            str(each.checks),
            *(f"{count / each.checks:.1%}" for count in (each.plain, each.alarms, each.drift)),
        ]
        for each in aparts
    ]
    shared_rows = [
        [each.name, str(each.decisions), *(f"{count / each.decisions:.1%}" for count in (each.by_task, each.by_block))]
        for each in shared
    ]
    look_rows = [
        [
            each.name,
            str(each.verdicts.total()),
            *(f"{each.verdicts[kind] / each.verdicts.total():.1%}" for kind in Verdict),
            f"{each.share:.0%}",
        ]
        for each in looks
    ]
    promised = "; ".join(f"{each.case.name}: {each.case.promised:.0%}" for each in found if each.case.rule)
    about = (
        "Alarms, in percent of checks of 25 tasks x 4 chains on either side, interleaved, on a machine whose speed "
        "wanders by 5% to either side. In A/A either side may be taken for the slower one: the figure is per side, and "
        "2.5% is allowed. **Bold** is the rule of ours that is to see the change. The five columns on the right are "
        "the usual rules."
    )
    what = (
        f"*Holds*: every rule of ours at most {ALPHA:.1%} in A/A, the bold one at least as often as promised "
        f"({promised}), within chance (binomial test at {CHANCE:.0%})."
    )
    apart_header = [
        "one after the other, time per step",
        "checks",
        "alarms, drift forgotten",
        "alarms",
        "drift not excluded",
    ]
    shared_header = ["five chains at once on one engine", "decisions", "tasks as units", "blocks as units"]
    look_header = [
        "until it is clear, budget 25 x 4",
        "checks",
        *(kind.value for kind in Verdict),
        "chains, of the budget",
    ]
    return "\n\n".join(
        [
            "## Gate",
            results.circumstances(VERSIONS),
            about,
            results.table(["case", "checks", *names, "holds"], rows),
            what,
            results.table(apart_header, apart_rows),
            results.table(shared_header, shared_rows),
            results.table(look_header, look_rows),
        ]
    )


def section_of_check(found: Sequence[Decisions]) -> str:
    """For RESULTS.md: what the command decides, with all of its margins."""
    header = [
        "`profiler check`",
        "decisions",
        "by the primary",
        "by any other",
        *(kind.value for kind in Verdict),
        "holds",
    ]
    rows = [
        [
            each.whole.name,
            str(each.decisions),
            *(f"{count / each.decisions:.1%}" for count in (each.primary, each.secondary)),
            *(f"{each.verdicts[kind] / each.decisions:.1%}" for kind in Verdict),
            "yes" if as_promised(each) else "NO",
        ]
        for each in found
    ]
    about = (
        f"Whole decisions of the command, with {BUDGETS.margins[0].metric} as the primary margin and "
        f"{len(BUDGETS.margins) - 1} others (`gate_check.py`), drift taken for 5% where runs did not take turns. "
        f"*Holds*: in A/A at most {ALPHA:.1%} regressed by the primary margin, and at most as many by any of the "
        "others; else found by the primary at least as often as promised, within chance."
    )
    text = ["## Gate, whole decisions", results.circumstances(VERSIONS), about, results.table(header, rows)]
    return "\n\n".join(text)


def _cell(found: Rates, name: str) -> str:
    share = f"{100 * found.alarms.get(name, 0) / found.decisions:.1f}"
    return f"**{share}**" if name == found.case.rule else share


def main() -> int:
    """Run it."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--check", action="store_true", help="a short version that writes nothing")
    options.add_argument("--checks", type=int, help="of each kind, at most")
    options.add_argument("--whole", action="store_true", help="the whole decisions of the command alone")
    options.add_argument("--jobs", type=int, default=1, help="cases at the same time, a process each")
    chosen = options.parse_args()
    if chosen.check:
        return quick()
    found = []
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        if chosen.whole:
            return all_decisions(pool, chosen.checks)
        for each in pool.map(partial(_rates, most=chosen.checks), cases()):
            found.append(each)
            print(f"{'' if each.holds() else 'NOT '}as promised: {each.case.name}: {each.alarms}", file=sys.stderr)
        code = all_decisions(pool, chosen.checks)
    many, some = chosen.checks or 500, chosen.checks or 200
    aparts = [
        one_after_the_other(name, replace(FREE, slower=factor), many)
        for name, factor in (("A/A", 1.0), ("10% slower", 1.1), ("30% slower", 1.3))
    ]
    shared = [together("A/A", 1.0, min(some, 60)), together("15% slower", 1.15, min(some, 40))]
    looks = all_sequences(some)
    results.replace_section("gate", section(found, aparts, shared, looks))
    return code if all(each.holds() for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
