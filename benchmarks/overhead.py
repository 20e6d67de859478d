"""What recording adds to an agent's chain: this profiler and the public instrumentations of LangChain, side by side.

    python benchmarks/overhead.py             measures, and writes the table into RESULTS.md
    python benchmarks/overhead.py --check     fewer rounds; exit 1 if the profiler adds more than half of what the
                                              best of the others adds (a ratio: it holds on any machine), and that
                                              beyond chance: the whole of its interval is above

The chain is the same for all: 6 streamed LLM calls and 5 tools over an in-process transport (`peers/mock_chain.py`).
Each variant lives in a process of its own; all run in one environment. In each round every variant has a turn, in
random order. A turn is four chains in one process: bare, recorded, recorded, bare. What recording adds is half the
difference of the two sums: two processes differ by more than recording costs (memory layout), and so do two moments (a
processor's speed changes by a third within seconds on a shared machine), but that cancels as far as it is linear.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import environments
import numpy as np
import results
import scipy.stats

OURS = "profiler"
PEERS = ("opentelemetry-genai", "openinference-content", "traceloop-content")
"""Without content, as the profiler records by default; with it they cost more."""
VARIANTS = {
    OURS: "this profiler",
    "profiler+content": "this profiler, `--capture-content`",
    "opentelemetry-genai": "opentelemetry-instrumentation-genai-langchain",
    "openinference-content": "openinference-instrumentation-langchain, content hidden",
    "openinference": "the same as it comes, with content",
    "traceloop-content": "opentelemetry-instrumentation-langchain (Traceloop), content off",
    "traceloop": "the same as it comes, with content",
}
PACKAGES = [
    "opentelemetry-instrumentation-genai-langchain",
    "openinference-instrumentation-langchain",
    "opentelemetry-instrumentation-langchain",
    "opentelemetry-sdk",
    "langchain",
    "langgraph",
    "langchain-openai",
    "openai",
]
ROUNDS, CHECK_ROUNDS = 100, 60
RESAMPLES = 4000
ROUNDS_PER_PROCESS = 12
WARMUP = 10
FIGURES = ("wall_ns", "busy_ns", "cpu_ns")
_TURN = ("off", "on", "on", "off")

MOST = 0.5
"""How much of the best peer's addition the profiler may add."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Four chains of one process, as the worker tells: see `peers/chain_worker.py` for the figures."""

    bare: Sequence[Mapping[str, int]]
    recorded: Sequence[Mapping[str, int]]

    def added_ns(self, figure: str) -> float:
        """What recording added to a chain."""
        return (sum(each[figure] for each in self.recorded) - sum(each[figure] for each in self.bare)) / 2


@dataclass(frozen=True, slots=True)
class Ratio:
    """What ours adds over what the best peer adds, and bootstrap bounds that hold with 95% each.

    Infinite where the best peer seems to add nothing: too few rounds to tell.
    """

    value: float
    low: float
    high: float
    best: str

    @property
    def too_much(self) -> bool:
        """Whether it is above the limit beyond chance: a machine that others use too must raise no false alarm."""
        return self.low > MOST


Turns = Mapping[str, Sequence[Turn]]
"""Per variant."""


@dataclass(frozen=True, slots=True)
class Added:
    """Time that a variant adds to a chain: the median over rounds, and its 95% bootstrap interval."""

    median_ns: float
    low_ns: float
    high_ns: float


class Worker:
    """A process that runs chains of one variant when told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, word: str) -> dict[str, Any]:
        """Tell it, and wait for its answer.

        Raises:
            RuntimeError: it has died; its own output says why.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker died: {self._process.args!r}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def started(python: str, variant: str, words: int) -> Iterator[Worker]:
    """A worker, ended with the context."""
    command = [python, str(environments.PEERS / "chain_worker.py"), variant, str(words)]
    variables = environments.clean_environment(PYTHONPATH=str(environments.ROOT), LANGSMITH_TRACING="false")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=variables) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def measure(
    python: str, variants: Sequence[str], rounds: int, *, words: int, seed: int
) -> tuple[Turns, dict[str, dict[str, Any]]]:
    """(what the chains took, what was recorded of a chain), per variant.

    Some rounds, then all processes anew: what a process adds to itself depends on where its memory came to lie.
    """
    order = random.Random(seed)
    turns: dict[str, list[Turn]] = {name: [] for name in variants}
    facts: dict[str, dict[str, Any]] = {}
    done = 0
    while done < rounds:
        with ExitStack() as stack:
            workers = {name: stack.enter_context(started(python, name, words)) for name in variants}
            for worker in workers.values():
                for _ in range(WARMUP):
                    worker.ask("run")
            for _ in range(min(ROUNDS_PER_PROCESS, rounds - done)):
                for name in order.sample(list(workers), len(workers)):
                    turns[name].append(_turn(workers[name]))
                done += 1
                _progress(done, rounds)
            for worker in workers.values():
                worker.ask("on")
            facts = {name: worker.ask("facts") for name, worker in workers.items()}
    return turns, facts


def _turn(worker: Worker) -> Turn:
    chains: dict[str, list[dict[str, int]]] = {"off": [], "on": []}
    for switch in _TURN:
        worker.ask(switch)
        chains[switch].append(worker.ask("run"))
    return Turn(chains["off"], chains["on"])


def added(turns: Sequence[Turn], figure: str) -> Added:
    """The median over turns; a median, because a turn may be disturbed."""
    differences = np.asarray([turn.added_ns(figure) for turn in turns])
    interval = scipy.stats.bootstrap(
        (differences,), np.median, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Added(float(np.median(differences)), float(interval.low), float(interval.high))


def ratio_to_best(turns: Turns) -> Ratio:
    """Ours to the best peer: a ratio of medians, in CPU time for neighbours' sake.

    Each draw takes turns of every variant anew and finds its own best peer.
    """
    random_source = np.random.default_rng(0)
    medians, draws = {}, {}
    for name in (OURS, *PEERS):
        more = np.asarray([turn.added_ns("busy_ns") for turn in turns[name]])
        medians[name] = float(np.median(more))
        draws[name] = np.median(random_source.choice(more, (RESAMPLES, len(more))), axis=1)
    best = min(PEERS, key=medians.__getitem__)
    ratios = _over(draws[OURS], np.min([draws[name] for name in PEERS], axis=0))
    low, high = np.quantile(ratios, (0.05, 0.95), method="nearest")
    return Ratio(float(_over(medians[OURS], medians[best])), float(low), float(high), best)


def _over(ours: Any, peers: Any) -> Any:
    ours, peers = np.asarray(ours), np.asarray(peers)
    return np.divide(ours, peers, out=np.full(peers.shape, np.inf), where=peers > 0)


def rendered(turns: Turns, facts: dict[str, dict[str, Any]], words: int) -> str:
    """The two tables: what it costs, and what one gets for it."""
    bare = [chain for each in turns.values() for turn in each for chain in turn.bare]
    cost_rows = [["bare, in all processes", *_quantiles(bare), "", "", ""]]
    for name, each in turns.items():
        recorded = [chain for turn in each for chain in turn.recorded]
        costs = (_interval(added(each, figure)) for figure in FIGURES)
        cost_rows.append([VARIANTS[name], *_quantiles(recorded), *costs])
    marks = ("steps", "first_chunk", "chunk_times", "traceparent", "content")
    fact_rows = [
        [VARIANTS[name], str(said["spans"]), *("yes" if said[mark] else "no" for mark in marks)]
        for name, said in facts.items()
    ]
    ratio = ratio_to_best(turns)
    verdict = (
        f"{len(turns[OURS])} rounds, {words} words per call, each a chunk. In CPU time this profiler adds "
        f"{ratio.value:.2f} (bounds of 95% each: {ratio.low:.2f} and {ratio.high:.2f}) of what the best of the others "
        f"adds ({VARIANTS[ratio.best]})."
    )
    return "\n\n".join(
        [
            results.table(["ms per chain", "p50", "p90", "added", "added CPU", "the same with delivery"], cost_rows),
            verdict,
            results.table(
                ["recorded of a chain", "spans", "steps", "first chunk", "every chunk", "traceparent sent", "content"],
                fact_rows,
            ),
        ]
    )


def _quantiles(chains: Sequence[Mapping[str, int]]) -> list[str]:
    return [_ms(float(value)) for value in np.quantile([chain["wall_ns"] for chain in chains], (0.5, 0.9))]


def _interval(more: Added) -> str:
    return f"{_ms(more.median_ns)} ({_ms(more.low_ns)} to {_ms(more.high_ns)})"


def main() -> int:
    """Measure, and say or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fewer rounds, an exit code, and nothing is written")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, with --check {CHECK_ROUNDS}")
    parser.add_argument("--words", type=int, default=40, help="streamed chunks per call (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order within rounds")
    options = parser.parse_args()
    rounds = options.rounds or (CHECK_ROUNDS if options.check else ROUNDS)
    python = environments.peer_python("instrumentations", with_project=True)
    variants = (OURS, *PEERS) if options.check else tuple(VARIANTS)
    turns, facts = measure(str(python), variants, rounds, words=options.words, seed=options.seed)
    text = rendered(turns, facts, options.words)
    print(text)
    if not options.check:
        what = results.circumstances(environments.versions(python, PACKAGES))
        results.replace_section("overhead", f"## Overhead\n\n{what}\n\n{text}")
        return 0
    ratio = ratio_to_best(turns)
    if ratio.too_much:
        print(
            f"the profiler adds {ratio.value:.2f} of what {ratio.best} adds, and at least {ratio.low:.2f} with 95% "
            f"confidence; the limit is {MOST}",
            file=sys.stderr,
        )
        return 1
    return 0


def _ms(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.2f}"


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\rround {done} of {of}", end="" if done < of else "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
