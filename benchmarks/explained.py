"""Are the findings right? Delays are programmed into the embedded engine and an agent, and taken out again.

    python benchmarks/explained.py                  every case, and the table into RESULTS.md
    python benchmarks/explained.py --case retries   one of them, written nowhere

Each case is real runs of `profiler run` in real time: with the cause and without it, in turn (with, without, without,
with, …), so that the machine's drift hits both. The finding is made from the runs with the cause alone. What it
predicts is held against what the chains really gain without it: the difference of the mean chains.

A case holds if the cause is the first finding, names the step and the phase, and predicts the gain within 5%. Exit
code 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import results

import profiler
from profiler.analysis.explain import explain
from profiler.analysis.finding import Finding
from profiler.analysis.measured import Measured
from profiler.analysis.tables import Tables
from profiler.store.reader import load_run

HERE = Path(__file__).parent
AGENT = HERE / "explained_agents" / "agent.py"
PROFILE = HERE / "explained_agents" / "steady.toml"
TOLERANCE = 0.05
RUN_LIMIT_S = 300
MACHINE_PHASES = ("framework", "client", "tool")
MOST_STRAIN = 0.02
MOST_PAIRS = 4


@dataclass(frozen=True)
class Side:
    """One side of a case: what the agent and the engine are told."""

    settings: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """A cause, what it is to be called, and what it costs a chain where that is known beforehand."""

    name: str
    kind: str
    where: str
    phase: str
    slow: Side
    usual: Side = field(default_factory=Side)
    programmed_ms: float | None = None
    chains: int = 12
    concurrency: int = 4
    rounds: int = 2


APART = {"mode": "independent", "per_prompt_token_us": 2}
CASES = (
    Case(
        "slow prefill of one step", "slow-step-prefill", "step 5 (model)", "prefill",
        Side({"turn": 3, "header": "prefill=2000"}, APART), Side({}, APART), programmed_ms=2000,
    ),
    Case(
        "prefix cache off", "prefix-cache", "", "prefill",
        Side({}, {"prefix_caching": False, "per_prompt_token_us": 1000}), Side({}, {"per_prompt_token_us": 1000}),
        concurrency=1, chains=8,
    ),
    Case(
        "one slow tool of three in parallel", "slow-tool", "tool search", "tool",
        Side({"search_s": 0.8, "sql_s": 0.1}, APART), Side({"search_s": 0.05, "sql_s": 0.1}, APART), programmed_ms=2100,
    ),
    Case(
        "queueing under concurrency", "queueing", "", "queue",
        Side({}, {"max_running": 1, "per_prompt_token_us": 0}), Side({}, {"per_prompt_token_us": 0}),
    ),
    Case(
        "a tail in 5% of the calls", "tail-calls", "", "decode",
        Side({"every": 21, "header": "decode=8000"}, APART), Side({}, APART), programmed_ms=1600, chains=40,
    ),
    Case(
        "bundled delivery", "bundled-delivery", "", "delivery",
        Side({"header": "delivery=500"}, APART), Side({}, APART), programmed_ms=2000,
    ),
    Case(
        "framework sleep in a node", "framework-time", "node review", "framework",
        Side({"review_s": 2.0}, APART), Side({}, APART), programmed_ms=2000,
    ),
    Case(
        "retries", "retries", "", "retry",
        Side({"pause_s": 1.5}, APART, ("--sim-fault", "unavailable=0.4")), Side({"pause_s": 1.5}, APART), chains=24,
        concurrency=6,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    case: Case
    first: Finding | None  # the finding that is ranked first
    named: Finding | None  # the one that the case is about
    rank: int | None
    measured_ns: float
    pairs: int  # made; those in which other programs disturbed the machine least are what counts

    @property
    def error(self) -> float | None:
        """Of the prediction, against the measurement."""
        if self.named is None or self.named.gain_ns is None:
            return None
        return self.named.gain_ns / self.measured_ns - 1

    @property
    def holds(self) -> bool:
        """Whether the finding is first, says where and in which phase, and how much within the tolerance."""
        named, error = self.named, self.error
        if named is None or error is None or self.rank != 1:
            return False
        return (named.where, named.phase) == (self.case.where, self.case.phase) and abs(error) <= TOLERANCE


def main() -> int:
    """Run the cases; 1 if one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], default=[])
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder, and take those that are there")
    arguments = parser.parse_args()
    chosen = [case for case in CASES if not arguments.case or case.name in arguments.case]
    kept = len(list(arguments.keep.glob("*/spans.jsonl"))) if arguments.keep else 0
    outcomes = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in chosen:
            outcome = run_case(case, arguments.keep or Path(scratch))
            outcomes.append(outcome)
            print(line_of(outcome), flush=True)
    if not arguments.case:
        results.replace_section("explained", section(outcomes, kept))
    return 0 if all(outcome.holds for outcome in outcomes) else 1


def run_case(case: Case, folder: Path) -> Outcome:
    """Both sides in turn, and what the finding says against what they differ by."""
    pairs = [run_pair(case, folder, number) for number in range(case.rounds)]
    while len(pairs) < MOST_PAIRS and sum(strain(case, pair) <= MOST_STRAIN for pair in pairs) < case.rounds:
        pairs.append(run_pair(case, folder, len(pairs)))
    counted = sorted(pairs, key=lambda pair: strain(case, pair))[: case.rounds]
    slow, usual = joined([pair[0] for pair in counted]), joined([pair[1] for pair in counted])
    findings = explain(slow).findings
    ranks = [at for at, found in enumerate(findings, 1) if (found.kind, found.where) == (case.kind, case.where)]
    ranks = ranks or [at for at, found in enumerate(findings, 1) if found.kind == case.kind]
    there, here = Measured.of(slow).e2e_ns, Measured.of(usual).e2e_ns
    return Outcome(
        case=case,
        first=findings[0] if findings else None,
        named=findings[ranks[0] - 1] if ranks else None,
        rank=ranks[0] if ranks else None,
        measured_ns=float(there.mean() - here.mean()),
        pairs=len(pairs),
    )


def run_pair(case: Case, folder: Path, number: int) -> tuple[Tables, Tables]:
    """A run with the cause and one without, in turns of who is first."""
    found = {}
    for side in ("slow", "usual") if number % 2 == 0 else ("usual", "slow"):
        name = f"{case.name}-{side}-{number}".replace(" ", "-").replace("%", "")
        found[side] = run_side(case, getattr(case, side), folder / name)
    return found["slow"], found["usual"]


def strain(case: Case, pair: tuple[Tables, Tables]) -> float:
    """What the sides differ by in phases of the machine and not of the cause, over all that they differ by."""
    phases = [phase for phase in MACHINE_PHASES if phase != case.phase]
    slow, usual = (Measured.of(tables).chains for tables in pair)
    apart = sum(float(slow[f"{phase}_ns"].mean() - usual[f"{phase}_ns"].mean()) for phase in phases)
    return abs(apart) / abs(float(slow["e2e_ns"].mean() - usual["e2e_ns"].mean()))


def run_side(case: Case, side: Side, folder: Path) -> Tables:
    """One run in real time, or the one that is there; its tables."""
    if (folder / "spans.jsonl").is_file():
        return load_run(folder).tables
    folder.parent.mkdir(parents=True, exist_ok=True)
    profile = folder.parent / f"{folder.name}.toml"
    profile.write_text(profile_text(side.profile), encoding="utf-8")
    inputs = [word for number in range(case.chains) for word in ("--input", f"question {number}")]
    command = [
        sys.executable, "-m", "profiler", "run", f"{AGENT}:agent", "--backend", "sim", "--sim-profile", str(profile),
        "--no-script", "--warmup", "1", "--concurrency", str(case.concurrency), "--out", str(folder),
        *side.options, *inputs,
    ]  # fmt: skip
    environment = {**os.environ, "EXPLAINED": json.dumps(side.settings)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{case.name}: profiler run ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return load_run(folder).tables


def profile_text(changes: dict[str, Any]) -> str:
    """The profile with some of its values replaced."""
    lines = []
    left = dict(changes)
    for line in PROFILE.read_text(encoding="utf-8").splitlines():
        name = line.split("=")[0].strip()
        lines.append(f"{name} = {json.dumps(left.pop(name))}" if name in left else line)
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in left.items())]) + "\n"


def joined(tables: Sequence[Tables]) -> Tables:
    """The tables of several runs as one."""
    names = ("chains", "calls", "steps", "tools", "gaps", "repairs")
    return Tables(**{name: pd.concat([getattr(each, name) for each in tables], ignore_index=True) for name in names})


def line_of(outcome: Outcome) -> str:
    """One case in a line."""
    return "  ".join(cells(outcome))


def cells(outcome: Outcome) -> list[str]:
    """One row of the table."""
    case, named, error = outcome.case, outcome.named, outcome.error
    return [
        case.name,
        "—" if case.programmed_ms is None else f"{case.programmed_ms:,.0f}",
        "—" if named is None or named.gain_ns is None else f"{named.gain_ns / 1e6:,.0f}",
        f"{outcome.measured_ns / 1e6:,.0f}",
        "—" if error is None else f"{error:+.1%}",
        "—" if outcome.rank is None else str(outcome.rank),
        "—" if named is None else f"{named.where or 'everywhere'}, {named.phase}",
        str(outcome.pairs),
        verdict(outcome),
    ]


def verdict(outcome: Outcome) -> str:
    """Whether it holds, and else what came first."""
    if outcome.holds:
        return "yes"
    return f"NO (first: {outcome.first.kind} {outcome.first.where})" if outcome.first else "NO"


def section(outcomes: Sequence[Outcome], kept: int) -> str:
    """For RESULTS.md."""
    header = ["cause, ms per chain", "programmed", "predicted", "gained by reruns without", "error", "rank", "named"]
    about = results.circumstances({"agent-chain-profiler": profiler.__version__})
    how = (
        "A case holds if its finding is the first, names the step and the phase, and predicts the gain within "
        f"{TOLERANCE:.0%}. Pairs of runs are made until two are undisturbed, {MOST_PAIRS} at most: "
        f"{', '.join(MACHINE_PHASES)}, as far as they are not the cause, differ by less than {MOST_STRAIN:.0%} of the "
        "gain. The two that differ least count."
    )
    if kept:
        how += (
            f" {kept} of the {2 * sum(outcome.pairs for outcome in outcomes)} runs were there from earlier invocations."
        )
    rows = [cells(outcome) for outcome in outcomes]
    return "\n\n".join(["## Explained", about, results.table([*header, "pairs", "holds"], rows), how])


if __name__ == "__main__":
    sys.exit(main())
