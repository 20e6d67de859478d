"""What one core of recording can take: streams, tokens per second, processor time per token, memory over many chains.

    python benchmarks/capacity.py            measures for some minutes, and writes the tables into RESULTS.md
    python benchmarks/capacity.py --check    a short version that writes nothing: exit 1 if recording takes more than
                                             1.5 of the processor time of a bare loop in every turn, or memory per chain

The client has one core, the embedded engine another, which it keeps to itself (`--spin`). Each measurement
has an engine of its own. See `peers/capacity_worker.py` for the clients.

- *Ladder*: more and more streams of 100 tokens a second (profile `paced`) are recorded until the profiler's TTFT errs
  by more than 1 ms at p99, or chains take longer than the engine took for them, because the client's core is full.
- *Processor time* per 1,000 tokens: a bare loop, a loop that is timed by hand, the bare loop recorded; in turn.
- *Memory*: resident size over 10,000 chains of one short call (profile `fast`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import environments
import numpy as np
import results
from accuracy import pinned

from profiler.analysis.accuracy import compare
from profiler.engines import EngineOptions, SimOptions, open_engine
from profiler.store.reader import load_run
from profiler.truth import OK, Truth, read_truth

MS = 1_000_000
TOKENS = 128
LADDER = (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512)
CHAINS_PER_STREAM = 3
TTFT_LIMIT_NS = 1 * MS
STRETCH_LIMIT = 1.05
DISTURBED = 0.1
"""Share of the client's core that others took: more than that, and a rung says little."""
TRIES, MOST_TRIES, PAUSE_S = 5, 10, 10.0
"""Of each rung: undisturbed ones, which are always made (a p99 of a few hundred calls rests on three of them, and near
the limit a single try is a matter of luck); all; and the wait after a disturbed one."""

KINDS = {
    "bare": "httpx2, bytes read and dropped",
    "timed": "httpx2, lines and JSON decoded, timed by hand",
    "recorded": "httpx2, bytes read and dropped, recorded",
}
CPU_STREAMS, CPU_CHAINS_PER_STREAM, CPU_ROUNDS = 32, 2, 4
MEMORY_STREAMS, MEMORY_TOKENS = 16, 8
REPEATED_TASKS = 20
MARKS = (200, 1_000, 5_000, 10_000)
CHECK_STREAMS, CHECK_ROUNDS, CHECK_MARKS = 16, 5, (200, 3_000)
CHECK_TRIES = 2  # of memory: what the allocator took once, it does not take twice
MOST_CPU = 1.5
MOST_GROWTH = 2_000  # bytes per chain: a leaked chain of one short call is several times that

Cores = tuple[int | None, int | None]
"""(the client's, the engine's)"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a client is asked for: chains of one call."""

    streams: int
    chains: int
    tokens: int = TOKENS
    tasks: int | None = None
    """How many different tasks, each repeated; a task for each chain if None."""
    marks: tuple[int, ...] = ()
    """After how many chains memory is looked at."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a client process told of itself; see `peers/capacity_worker.py`."""

    cpu_ns: int
    wall_ns: int
    others_ns: int | None
    failed: int
    rss: Sequence[int]


@dataclass(frozen=True, slots=True)
class Rung:
    """Some number of streams, recorded. Errors are absolute, in nanoseconds."""

    streams: int
    failed: int
    tokens_per_s: float
    ttft_p50_ns: float
    ttft_p99_ns: float
    tpot_p99_ns: float
    cpu_share: float
    """Of the client's core, from the first chain to the last."""
    cpu_ns_per_token: float
    stretch: float
    """The median chain's time over the median time from a request's arrival at the engine to its last write."""
    engine_stretch: float
    """The latter over what the engine had planned."""
    engine_late_ns: float
    """p99 of the engine's own delay."""
    others_share: float | None
    """What other processes took of the client's core; None where that is not known."""
    all_p99_ns: tuple[float, ...] = ()
    """TTFT error of every try that counts, this one's among them."""
    fine: int = 0
    """How many of these tries were not too much."""
    dropped: int = 0
    """Tries that were disturbed and do not count."""

    @property
    def disturbed(self) -> bool:
        """Whether the client had less of its core than it should have had."""
        return (self.others_share or 0.0) > DISTURBED

    def too_much(self) -> str | None:
        """Why this is more than the recorder can take, in words; None if it is not."""
        if self.failed:
            return f"{self.failed} chains failed"
        if self.engine_stretch > STRETCH_LIMIT:
            return f"the engine cannot keep up: it takes {self.engine_stretch:.2f} of what it planned"
        if self.stretch > STRETCH_LIMIT:
            return f"the client's core is full: chains take {self.stretch:.2f} of the engine's time"
        if self.ttft_p99_ns > TTFT_LIMIT_NS:
            return f"TTFT error p99 {self.ttft_p99_ns / MS:.2f} ms"
        return None


@contextmanager
def engine(profile: str, core: int | None, folder: Path, truth: Path | None = None) -> Iterator[dict[str, str]]:
    """The embedded engine on a core of its own: where it listens and what it serves, as a client is told."""
    sim = SimOptions(profile=profile, truth=truth, spin=core is not None)
    with ExitStack() as stack:
        with pinned(core):
            options = EngineOptions(backend="sim", sim=sim)
            info = stack.enter_context(
                open_engine(options, log_path=folder / "engine.log", progress=lambda _: None)
            ).info
        yield {"url": f"{info.base_url}/chat/completions", "model": info.model}


def clients(kinds: Sequence[str], load: Load, told: Mapping[str, str], core: int | None, folder: Path) -> list[Ran]:
    """Run clients one after the other in one process; what the n-th records goes to `folder`/n.

    Raises:
        RuntimeError: one failed; its own output says why.
    """
    asked = {**told, "streams": load.streams, "chains": load.chains, "tasks": load.tasks or load.chains}
    asked |= {"output_tokens": load.tokens, "folder": str(folder), "marks": load.marks}
    command = [sys.executable, str(environments.PEERS / "capacity_worker.py"), ",".join(kinds), json.dumps(asked)]
    variables = environments.clean_environment(PYTHONPATH=str(environments.ROOT))
    with pinned(core):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=variables, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"a client of {load.streams} streams failed: {', '.join(kinds)}")
    return [Ran(**turn) for turn in json.loads(done.stdout)]


def climb(cores: Cores) -> list[Rung]:
    """Rungs up to and with the first that is too much."""
    rungs: list[Rung] = []
    for streams in LADDER:
        rungs.append(steady(streams, cores))
        if rungs[-1].too_much() is not None:
            break
    return rungs


def steady(streams: int, cores: Cores) -> Rung:
    """The middle one of several tries, so that a rung is too much if most of its tries are.

    Disturbed tries do not count, unless the machine is never quiet.
    """
    tries: list[Rung] = []
    while len(tries) < MOST_TRIES and sum(not each.disturbed for each in tries) < TRIES:
        tried = rung(streams, cores)
        tries.append(tried)
        _progress(
            f"{streams} streams: TTFT error p99 {tried.ttft_p99_ns / MS:.3f} ms, "
            f"{tried.too_much() or 'fine'}{', disturbed' if tried.disturbed else ''}"
        )
        if tried.disturbed:
            time.sleep(PAUSE_S)
    counted = [each for each in tries if not each.disturbed] or tries
    ordered = sorted(counted, key=lambda each: (each.too_much() is not None, each.ttft_p99_ns))
    return replace(
        ordered[len(ordered) // 2],
        all_p99_ns=tuple(each.ttft_p99_ns for each in ordered),
        fine=sum(each.too_much() is None for each in ordered),
        dropped=len(tries) - len(counted),
    )


def rung(streams: int, cores: Cores) -> Rung:
    """Record so many streams, and lay what was recorded beside the engine's log."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, truth = Path(scratch) / "run", Path(scratch) / "truth.jsonl"
        with engine("paced", cores[1], Path(scratch), truth) as told:
            (ran,) = clients(["recorded"], Load(streams, CHAINS_PER_STREAM * streams), told, cores[0], folder)
        tables = load_run(folder / "0").tables
        truths = read_truth(truth)
    errors = {each.metric: each for each in compare(tables.calls, tables.chains, truths)}
    chains = tables.chains[~tables.chains["warmup"]]
    took_ns = int((chains["start_ns"] + chains["e2e_ns"]).max() - chains["start_ns"].min())
    really_ns, planned_ns = engine_times_ns(truths)
    tokens = len(chains) * TOKENS
    return Rung(
        streams=streams,
        failed=ran.failed,
        tokens_per_s=tokens / took_ns * 1e9,
        ttft_p50_ns=errors["ttft"].p50_ns,
        ttft_p99_ns=errors["ttft"].p99_ns,
        tpot_p99_ns=errors["tpot"].p99_ns,
        cpu_share=ran.cpu_ns / ran.wall_ns,
        cpu_ns_per_token=ran.cpu_ns / tokens,
        stretch=float(chains["e2e_ns"].median()) / really_ns,
        engine_stretch=really_ns / planned_ns,
        engine_late_ns=float(np.quantile([each.late_max_ns for each in truths if each.outcome == OK], 0.99)),
        others_share=None if ran.others_ns is None else ran.others_ns / ran.wall_ns,
    )


def engine_times_ns(truths: Sequence[Truth]) -> tuple[float, float]:
    """Medians over answered requests: from arrival to the last write, and to the last token as it was planned."""
    answered = [each for each in truths if each.outcome == OK and each.writes_ns and each.last_token_ns is not None]
    really = statistics.median(each.writes_ns[-1] - each.arrival_ns for each in answered)
    planned = statistics.median((each.last_token_ns or 0) - each.arrival_ns for each in answered)
    return really, planned


def sustained(rungs: Sequence[Rung]) -> str:
    """The result of the ladder in a sentence or two."""
    fine = [each for each in rungs if each.too_much() is None]
    failed = [each for each in rungs if each.too_much() is not None]
    said = "Even the lowest rung is too much."
    if fine:
        most = fine[-1]
        said = f"One core sustains {most.streams} streams, {most.tokens_per_s:,.0f} tokens/s{_tries(most)}."
    if not failed:
        return f"{said} No higher rung was tried."
    disturbed = ", disturbed: others had the core" if failed[0].disturbed else ""
    return f"{said} At {failed[0].streams}: {failed[0].too_much()}{disturbed}{_tries(failed[0])}."


def _tries(found: Rung) -> str:
    return f" ({found.fine} of {len(found.all_p99_ns)} tries were fine)" if found.all_p99_ns else ""


def processor_time(
    streams: int, rounds: int, cores: Cores, kinds: Sequence[str] = tuple(KINDS)
) -> dict[str, list[float]]:
    """Nanoseconds of the processor per token, of each kind of client; there and back in each round, against drift."""
    load = Load(streams, CPU_CHAINS_PER_STREAM * streams)
    turns = [*kinds, *reversed(kinds)] * rounds
    _progress(f"processor time: {len(turns)} turns of {', '.join(kinds)}")
    with tempfile.TemporaryDirectory() as scratch, engine("paced", cores[1], Path(scratch)) as told:
        ran = clients(turns, load, told, cores[0], Path(scratch))
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for kind, each in zip(turns, ran, strict=True):
        found[kind].append(each.cpu_ns / (load.chains * load.tokens))
    return found


def ratios(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Of the bare loop's processor time: the median over the turns, each against the bare one of its own turn."""
    return {
        kind: statistics.median(one / bare for one, bare in zip(values, times["bare"], strict=True))
        for kind, values in times.items()
    }


def ratio_bounds(times: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """The smallest and the largest ratio of a turn: with five, the true median lies between in 94% of the cases."""
    each = [one / bare for one, bare in zip(times["recorded"], times["bare"], strict=True)]
    return min(each), max(each)


def memory(marks: tuple[int, ...], cores: Cores, *, tasks: int | None) -> Ran:
    """Record short chains up to the last mark."""
    load = Load(MEMORY_STREAMS, marks[-1], MEMORY_TOKENS, tasks, marks)
    with tempfile.TemporaryDirectory() as scratch, engine("fast", cores[1], Path(scratch)) as told:
        (ran,) = clients(["recorded"], load, told, cores[0], Path(scratch) / "run")
    if ran.failed:
        raise RuntimeError(f"{ran.failed} of {load.chains} chains failed")
    _progress(f"memory over {load.chains:,} chains of {tasks or load.chains:,} tasks")
    return ran


def growth(rss: Sequence[int], marks: Sequence[int]) -> float:
    """Bytes per chain between the first mark and the last."""
    return (rss[-1] - rss[0]) / (marks[-1] - marks[0])


def ladder_table(rungs: Sequence[Rung]) -> str:
    """A line per rung."""
    header = ["streams", "tokens/s", "TTFT error p50, ms", "p99", "p99 of all tries", "TPOT error p99, ms"]
    header += [
        "client's core",
        "CPU ms per 1,000 tokens",
        "chain / engine",
        "engine late p99, ms",
        "others",
        "fine / tries",
        "disturbed",
    ]
    rows = [
        [
            str(each.streams),
            f"{each.tokens_per_s:,.0f}",
            f"{each.ttft_p50_ns / MS:.3f}",
            f"{each.ttft_p99_ns / MS:.3f}",
            f"{min(each.all_p99_ns) / MS:.2f} to {max(each.all_p99_ns) / MS:.2f}",
            f"{each.tpot_p99_ns / MS:.4f}",
            f"{each.cpu_share:.0%}",
            f"{each.cpu_ns_per_token / 1000:.1f}",
            f"{each.stretch:.3f}",
            f"{each.engine_late_ns / MS:.2f}",
            "—" if each.others_share is None else f"{each.others_share:.0%}",
            f"{each.fine} / {len(each.all_p99_ns)}",
            str(each.dropped),
        ]
        for each in rungs
    ]
    return results.table(header, rows)


def processor_table(times: Mapping[str, Sequence[float]]) -> str:
    """A line per kind of client."""
    of_bare = ratios(times)
    rows = [
        [
            KINDS[kind],
            f"{statistics.median(values) / 1000:.1f}",
            f"{min(values) / 1000:.1f} to {max(values) / 1000:.1f}",
            f"{of_bare[kind]:.2f}",
        ]
        for kind, values in times.items()
    ]
    return results.table(["client", "CPU ms per 1,000 tokens", "least to most", "of bare"], rows)


def memory_table(ran: Mapping[str, Ran]) -> str:
    """A line per run."""
    header = ["resident MiB after", *(f"{mark:,} chains" for mark in MARKS), "bytes per chain"]
    rows = [
        [name, *(f"{rss / 2**20:.1f}" for rss in each.rss), f"{growth(each.rss, MARKS):,.0f}"]
        for name, each in ran.items()
    ]
    return results.table(header, rows)


def main() -> int:
    """Measure, and say or check."""
    options = _options()
    cores = _cores()
    if options.check:
        return _checked(cores)
    rungs = climb(cores)
    parts = ["## Capacity", results.circumstances(environments.versions(Path(sys.executable), ["httpx2"]))]
    parts += [sustained(rungs), ladder_table(rungs)]
    parts += [f"At {CPU_STREAMS} streams:", processor_table(processor_time(CPU_STREAMS, CPU_ROUNDS, cores))]
    ran = {
        f"{REPEATED_TASKS} tasks, repeated": memory(MARKS, cores, tasks=REPEATED_TASKS),
        "each chain a task of its own": memory(MARKS, cores, tasks=None),
    }
    parts += ["Memory of the recording process:", memory_table(ran)]
    text = "\n\n".join(parts)
    print(text)
    if not options.dry:
        results.replace_section("capacity", text)
    return 0


def _checked(cores: Cores) -> int:
    """The exit code; what is beyond a bound is told."""
    times = processor_time(CHECK_STREAMS, CHECK_ROUNDS, cores, ("bare", "recorded"))
    low, high = ratio_bounds(times)
    print(f"recording takes {low:.2f} to {high:.2f} of the processor time of a bare loop (at most {MOST_CPU})")
    grown = []
    while len(grown) < CHECK_TRIES and not (grown and grown[-1] <= MOST_GROWTH):
        grown.append(growth(memory(CHECK_MARKS, cores, tasks=REPEATED_TASKS).rss, CHECK_MARKS))
        print(f"memory grows by {grown[-1]:,.0f} bytes per chain (at most {MOST_GROWTH:,})")
    return 0 if low <= MOST_CPU and grown[-1] <= MOST_GROWTH else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="a short version with an exit code")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def _cores() -> Cores:
    """None where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else (None, None)


def _progress(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
