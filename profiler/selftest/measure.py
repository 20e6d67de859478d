"""Running one cell: the embedded engine in its own process, the recorder in this one, both on cores of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from profiler.analysis.accuracy import Errors, compare
from profiler.engines import Engine, EngineOptions, SimOptions, open_engine
from profiler.engines.url import unversioned
from profiler.record.agent import Agent
from profiler.record.chain import RecordingOptions
from profiler.record.recorder import Recorder
from profiler.record.runner import Outcome, Plan, Runner
from profiler.record.servers import server_of
from profiler.selftest.asking import body_of, path_of
from profiler.selftest.grid import Cell, beyond
from profiler.store.reader import load_run
from profiler.store.writer import RunWriter, create_run_folder
from profiler.tasks import Task
from profiler.truth import read_truth

PROFILE = "paced"
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class CellResult:
    """What one cell came to."""

    cell: Cell
    errors: Sequence[Errors]
    calls: int
    lost: int  # chains that failed: each is an error of the recorder, for the engine had none
    beyond: Sequence[str]


def measure(cell: Cell, *, seed: int = 0) -> CellResult:
    """Run a cell, from the engine's start to its end.

    Raises:
        EngineError: the embedded engine could not be started, or died.
        Interrupted: Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="profiler-selftest-") as scratch:
        folder = create_run_folder(Path(scratch) / "run")
        truth_path = folder / "truth.jsonl"
        sim = SimOptions(
            profile=PROFILE,
            dialect=cell.dialect,
            traits=(cell.trait,) if cell.trait else (),
            truth=truth_path,
            spin=_cores() > 1,
        )
        options = EngineOptions(backend="sim", sim=sim, seed=seed)
        with (
            open_engine(options, log_path=folder / "engine.log", progress=lambda _: None) as engine,
            _cores_of_their_own(engine),
        ):
            outcome = _record(cell, engine, folder)
        tables = load_run(folder).tables
        errors = compare(tables.calls, tables.chains, read_truth(truth_path))
    lost = sum(result.failure is not None for result in outcome.results)
    found = beyond(cell, errors)
    if lost:
        found = [f"{cell.name}: {lost} of {len(outcome.results)} chains failed", *found]
    return CellResult(cell, errors, len(tables.calls), lost, found)


def _record(cell: Cell, engine: Engine, folder: Path) -> Outcome:
    writer = RunWriter(folder)
    with Recorder(service_name="agent", resource={}, sinks=[writer.write_chain]) as recorder:
        plan = Plan(
            Agent("selftest", Path(__file__), "function", _Caller(cell, engine.info.base_url, engine.info.model).ask),
            [Task(id=str(number), input=f"Stream {number}, please.") for number in range(cell.chains)],
            RecordingOptions(agent_name="selftest", provider="sim", server=server_of(cell.dialect)),
            concurrency=cell.streams,
            timeout_s=TIMEOUT_S,
        )
        runner = Runner(plan, recorder, check_engine=engine.check, check_store=lambda: None, on_chain=lambda _: None)
        outcome = runner.run()
    writer.close()
    if outcome.fatal is not None:
        raise outcome.fatal
    return outcome


class _Caller:
    """The agent under test: a plain client of many streams, which opens a connection for each at the start."""

    def __init__(self, cell: Cell, base_url: str, model: str) -> None:
        self._cell = cell
        self._url = unversioned(base_url) + path_of(cell)
        self._model = model
        self._client: httpx2.AsyncClient | None = None
        self._left = cell.chains

    async def ask(self, question: Any) -> None:
        """Make a chain's calls; the last chain closes the client."""
        if self._client is None:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = httpx2.AsyncClient(limits=limits, timeout=TIMEOUT_S, trust_env=False)
        try:
            await self._calls(self._client, question)
        finally:
            self._left -= 1
            if self._left == 0:
                await self._client.aclose()

    async def _calls(self, client: httpx2.AsyncClient, question: Any) -> None:
        """One after the other, each with a longer prompt."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": str(question)}]
        for number in range(self._cell.calls):
            await self._call(client, messages)
            messages += [{"role": "assistant", "content": "…"}, {"role": "user", "content": f"And {number}?"}]

    async def _call(self, client: httpx2.AsyncClient, messages: list[dict[str, Any]]) -> None:
        body = body_of(self._cell, self._model, messages)
        async with client.stream("POST", self._url, json=body) as response:
            response.raise_for_status()
            async for _ in response.aiter_raw():
                pass


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


@contextmanager
def _cores_of_their_own(engine: Engine) -> Iterator[None]:
    """The client on one core, the engine on the others; with a single core, or off Linux, nothing is done."""
    if not hasattr(os, "sched_setaffinity") or engine.pid is None:
        yield
        return
    before = os.sched_getaffinity(0)
    first, *others = sorted(before)
    if not others:
        yield
        return
    os.sched_setaffinity(engine.pid, set(others))
    os.sched_setaffinity(0, {first})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
