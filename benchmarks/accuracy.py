"""How wrong clients are: TTFT and TPOT of this profiler and of public load generators against the engine's own log.

    python benchmarks/accuracy.py                          everything, and the tables into RESULTS.md
    python benchmarks/accuracy.py --client profiler --client aiperf --streams 16 --no-traits
    python benchmarks/accuracy.py --check                  the profiler and the loops only, at 16 streams: exit 1 if the
                                                           profiler's p99 error is worse than both in each of 5 rounds

The embedded engine (profile `paced`: 128 tokens, the first after 100 ms, then one every 10 ms with a CV of 0.2, each
stream by itself) logs each write. It runs on one core and never sleeps, the client with all its processes on another.
All clients take their turn in a cell before the next cell begins, each with an engine of its own.

The truth of a request is from its arrival to the first write with output (TTFT), and the time per token between the
first and the last write (TPOT). An error is what the client says minus the truth: it holds the way there and back,
and whatever the client did not see in time. The row `sockets` is the floor: the same in a bare asyncio protocol.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import environments
import numpy as np
import results
from clients import CLIENTS, Load, Measured, NotRun
from environments import NotInstalled

from profiler.analysis.accuracy import true_tpot_ns, true_ttft_ns
from profiler.engines.environments import list_environments
from profiler.truth import OK, Truth, read_truth

MODEL = "paced"
STREAMS = {1: 20, 16: 160, 64: 640}
"""Requests per cell: at 64 streams ten from each, of which the first is in the opening burst."""
TRAIT_STREAMS = 16
TRAITS = (
    "early-role",
    "tokens-per-chunk=4",
    "reasoning=reasoning",
    "reasoning=reasoning_content",
    "reasoning=hidden",
    "tool-deltas",
    "keep-alive=0.05",
    "split",
    "join=4",
    "line-separator-text",
    "crlf",
)
TRAIT_CLIENTS = ("profiler", "httpx2 loop")
"""Under every trait: a load generator takes minutes for each."""
CHECKED = ("profiler", "httpx2 loop", "httpx loop")
CHECK_ROUNDS = 5
"""A client that is as good as both others is worse than each of them in all of these once in 32 times at most."""
HEADER = ["ms", "requests", "lost", "TTFT p50", "p99", "max", "bias", "TPOT p50", "p99", "max", "bias"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One condition under which every client is measured."""

    streams: int
    requests: int
    trait: str | None = None

    @property
    def title(self) -> str:
        """For headings."""
        streams = f"{self.streams} stream{'s' if self.streams > 1 else ''}"
        return f"`{self.trait}`, {streams}" if self.trait else streams


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one metric, in nanoseconds: quantiles of absolute errors, the mean of signed ones, the mean of the truth."""

    p50: float
    p99: float
    max: float
    bias: float
    mean_truth: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a client in a cell."""

    requests: int
    """That the engine answered in full."""
    lost: int
    """Of these, how many the client says nothing of, or no TTFT."""
    ttft: Errors | None
    tpot: Errors | None


@contextmanager
def engine(trait: str | None, truth: Path, core: int | None) -> Iterator[str]:
    """The embedded engine on a core of its own; its address without /v1."""
    command = [sys.executable, "-m", "profiler.engines.sim", "--profile", "paced", "--model", MODEL, "--spin"]
    command += ["--truth", str(truth), *(["--trait", trait] if trait else [])]
    variables = environments.clean_environment(PYTHONPATH=str(environments.ROOT))
    with pinned(core):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)
    with process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if " on " not in line:
                raise RuntimeError("the embedded engine did not start")
            yield line.split(" on ")[1].strip().removesuffix("/v1")
        finally:
            process.terminate()


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Processes started meanwhile run on this core; None, or a system that cannot, leaves them free."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(client: str, cell: Cell, cores: tuple[int | None, int | None]) -> Outcome:
    """Measure one client in one cell, with an engine of its own.

    Raises:
        NotRun, NotInstalled: there is nothing to report.
    """
    with tempfile.TemporaryDirectory() as folder:
        truth = Path(folder) / "truth.jsonl"
        scratch = Path(folder) / "client"
        scratch.mkdir()
        with engine(cell.trait, truth, cores[1]) as url, pinned(cores[0]):
            load = Load(url, MODEL, cell.streams, cell.requests, tools=cell.trait == "tool-deltas")
            measured = CLIENTS[client](load, scratch)
        return joined(measured, read_truth(truth))


def joined(measured: Sequence[Measured], truths: Sequence[Truth]) -> Outcome:
    """Lay a client's figures beside the engine's log, by the request's id.

    A request that the engine answered and the client knows nothing of is lost. Requests that clients make of their own
    accord, to see whether the engine is there, have few tokens and are left out.
    """
    fullest = max((truth.output_tokens or 0 for truth in truths), default=0)
    answered = {each.id: each for each in truths if each.outcome == OK and 2 * (each.output_tokens or 0) >= fullest}
    said = {each.id: each for each in measured if each.id in answered}
    ttft, tpot = [], []
    lost = 0
    for request_id, truth in answered.items():
        each = said.get(request_id)
        true_ttft, true_tpot = true_ttft_ns(truth), true_tpot_ns(truth)
        if each is None or each.ttft_ns is None or true_ttft is None:
            lost += 1
            continue
        ttft.append((each.ttft_ns, true_ttft))
        if each.tpot_ns is not None and true_tpot is not None:
            tpot.append((each.tpot_ns, true_tpot))
    return Outcome(len(answered), lost, errors(ttft), errors(tpot))


def errors(pairs: Sequence[tuple[float, float]]) -> Errors | None:
    """Of (said, true) pairs; None of none."""
    if not pairs:
        return None
    said, true = np.asarray(pairs, dtype=float).T
    signed = said - true
    p50, p99 = np.quantile(np.abs(signed), (0.5, 0.99))
    return Errors(float(p50), float(p99), float(np.abs(signed).max()), float(signed.mean()), float(true.mean()))


def rendered(cell: Cell, outcomes: dict[str, Outcome | str]) -> str:
    """One table; a client that did not run has a line that says why."""
    rows = [row(name, each) for name, each in outcomes.items() if isinstance(each, Outcome)]
    missing = [f"{name}: not run ({why})." for name, why in outcomes.items() if isinstance(why, str)]
    return "\n\n".join([f"### {cell.title}", results.table(HEADER, rows), *missing])


def rendered_traits(outcomes: Sequence[tuple[Cell, dict[str, Outcome | str]]]) -> str:
    """One table of all traits, a row for each client."""
    rows, missing = [], []
    for cell, ran in outcomes:
        for name, each in ran.items():
            if isinstance(each, Outcome):
                rows.append([f"`{cell.trait}`", *row(name, each)])
            else:
                missing.append(f"{name} under `{cell.trait}`: not run ({each}).")
    head = f"### Habits of servers on the wire, {TRAIT_STREAMS} streams"
    return "\n\n".join([head, results.table(["trait", "client", *HEADER[1:]], rows), *missing])


def row(name: str, outcome: Outcome) -> list[str]:
    """A line of a table; TTFT in hundredths of a millisecond, TPOT in thousandths."""
    return [name, str(outcome.requests), str(outcome.lost), *_cells(outcome.ttft, 2), *_cells(outcome.tpot, 3)]


def _cells(found: Errors | None, digits: int) -> list[str]:
    if found is None:
        return ["—"] * 4
    sizes = [f"{value / 1e6:.{digits}f}" for value in (found.p50, found.p99, found.max)]
    return [*sizes, f"{found.bias / 1e6:+.{digits}f} ({found.bias / found.mean_truth:+.1%})"]


def main() -> int:
    """Measure, and say or check."""
    options = _options()
    cores = _cores()
    if options.check:
        return _check(cores)
    tables = []
    under_traits = []
    for cell in _cells_of(options):
        clients = options.client or (TRAIT_CLIENTS if cell.trait else tuple(CLIENTS))
        ran = _ran(cell, clients, cores)
        if cell.trait:
            under_traits.append((cell, ran))
            continue
        tables.append(rendered(cell, ran))
        print(tables[-1], end="\n\n", flush=True)
    if under_traits:
        tables.append(rendered_traits(under_traits))
        print(tables[-1], end="\n\n", flush=True)
    if not options.dry:
        text = "\n\n".join(["## Accuracy", results.circumstances(_versions()), *tables])
        results.replace_section("accuracy", text)
    return 0


def _ran(cell: Cell, clients: Sequence[str], cores: tuple[int | None, int | None]) -> dict[str, Outcome | str]:
    ran: dict[str, Outcome | str] = {}
    for name in clients:
        print(f"{cell.title}: {name}", file=sys.stderr)
        try:
            ran[name] = run(name, cell, cores)
        except (NotRun, NotInstalled) as error:
            ran[name] = " ".join(str(error).split())[-200:]
    return ran


def _check(cores: tuple[int | None, int | None]) -> int:
    """The exit code: 1 if the profiler errs more than loops without one, beyond what chance and a busy machine do."""
    cell = Cell(16, STREAMS[16])
    for number in range(1, CHECK_ROUNDS + 1):
        ran = _ran(cell, CHECKED, cores)
        print(rendered(cell, ran), end="\n\n", flush=True)
        why = worse(ran)
        if why is None:
            return 0
        print(f"round {number} of {CHECK_ROUNDS}: {why}", file=sys.stderr)
    return 1


def worse(ran: dict[str, Outcome | str]) -> str | None:
    """In what the profiler is worse than each loop without one; None if it is not."""
    ours, *others = (ran[name] for name in CHECKED)
    if isinstance(ours, str) or ours.lost or ours.ttft is None:
        return f"the profiler has no figures, or lost requests: {ours}"
    theirs = [each.ttft.p99 for each in others if isinstance(each, Outcome) and each.ttft is not None]
    if not theirs:
        return f"nothing to compare with: {others}"
    if ours.ttft.p99 <= max(theirs):
        return None
    return f"TTFT p99 is {ours.ttft.p99 / max(theirs):.2f} of the worse loop's without a profiler"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", action="append", choices=list(CLIENTS), help="repeatable; default: all")
    parser.add_argument("--streams", action="append", type=int, choices=list(STREAMS), help="repeatable; default: all")
    parser.add_argument("--trait", action="append", choices=TRAITS, help="repeatable; default: all")
    parser.add_argument("--no-traits", action="store_true")
    parser.add_argument("--check", action="store_true", help="a short version with an exit code")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def _cells_of(options: argparse.Namespace) -> list[Cell]:
    plain = [] if options.trait and not options.streams else options.streams or list(STREAMS)
    traits = [] if options.no_traits else options.trait or ([] if options.streams else TRAITS)
    return [Cell(streams, STREAMS[streams]) for streams in plain] + [
        Cell(TRAIT_STREAMS, STREAMS[TRAIT_STREAMS], trait) for trait in traits
    ]


def _cores() -> tuple[int | None, int | None]:
    """(the client's, the engine's); none where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else (None, None)


def _versions() -> dict[str, str]:
    found = environments.versions(Path(sys.executable), ["httpx", "httpx2", "openai"])
    vllm = {each.marker.package: each.marker.version for each in list_environments() if each.marker}
    return found | vllm | {name: environments.pinned(name) for name in ("guidellm", "aiperf")}


if __name__ == "__main__":
    sys.exit(main())
