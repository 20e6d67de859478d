"""Clients of the capacity benchmark in a process of their own: the same calls, recorded or not.

    python capacity_worker.py KIND[,KIND...] \
        '{"url", "model", "streams", "chains", "tasks", "output_tokens", "folder", "marks"}'

    bare       a loop over httpx2 that reads the bytes and drops them: the least that a client can do
    timed      the same that decodes lines and JSON and times them by hand: `stream_loop.py`
    recorded   the bare loop as the agent of a run: through the runner, each chain's spans written to `folder/NUMBER`

One call per chain, after a short chain that warms up. Kinds take their turns in one process, for two processes differ
by more than is to be measured. Prints a list with {"cpu_ns", "wall_ns", "others_ns", "failed", "rss"} of each turn:
from the end of the warm-up to the end of the last chain the processor time of this process, the time that passed, and
the processor time that others took on the core that this process is pinned to (null if it is not); how many chains
failed; and the resident memory in bytes when as many chains had ended as each of `marks` says.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil
from stream_loop import one

TIMEOUT_S = 300.0
WARMUP_TOKENS = 8


class Meter:
    """Begins with the end of the warm-up and ends with the last chain."""

    def __init__(self, load: dict[str, Any]) -> None:
        self._chains = load["chains"]
        self._marks = set(load["marks"])
        self._rss = psutil.Process().memory_info
        self._done = 0
        self._began: tuple[int, int, int | None] = (0, 0, None)
        self.failed = 0
        self.found: dict[str, Any] = {"rss": []}

    def begin(self) -> None:
        """Whatever is made once has been made."""
        self._began = time.process_time_ns(), time.perf_counter_ns(), core_busy_ns()

    def chain(self) -> None:
        """One more has ended."""
        self._done += 1
        if self._done in self._marks:
            self.found["rss"].append(int(self._rss().rss))
        if self._done == self._chains:
            self._end()

    def _end(self) -> None:
        cpu_ns, wall_ns, busy_ns = self._began
        self.found["cpu_ns"] = took_ns = time.process_time_ns() - cpu_ns
        self.found["wall_ns"] = time.perf_counter_ns() - wall_ns
        now_busy_ns = core_busy_ns()
        known = busy_ns is not None and now_busy_ns is not None
        self.found["others_ns"] = max(0, now_busy_ns - busy_ns - took_ns) if known else None  # type: ignore[operator]


def core_busy_ns() -> int | None:
    """How long the core that this process is pinned to has been busy, in ticks of 10 ms; None without one core."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    if len(cores) != 1:
        return None
    spent = psutil.cpu_times(percpu=True)[next(iter(cores))]
    return round((sum(spent) - spent.idle - spent.iowait - spent.guest - spent.guest_nice) * 1e9)


class Caller:
    """A plain client of many streams, each on a connection of its own; the first call warms up, the last closes it."""

    def __init__(self, load: dict[str, Any]) -> None:
        self._load = load
        self._left = load["chains"] + 1
        self._client: httpx2.AsyncClient | None = None

    async def drop(self, question: Any) -> None:
        """Read the bytes of an answer."""
        client, tokens = self._open()
        body = {
            "model": self._load["model"],
            "messages": [{"role": "user", "content": str(question)}],
            "max_tokens": tokens,
            "min_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            async with client.stream("POST", self._load["url"], json=body) as response:
                response.raise_for_status()
                async for _ in response.aiter_raw():
                    pass
        finally:
            await self._close(client)

    async def time_by_hand(self, question: Any) -> None:
        """Decode and time an answer."""
        client, tokens = self._open()
        try:
            said = await one(client, {**self._load, "output_tokens": tokens}, int(str(question).split()[-1]))
        finally:
            await self._close(client)
        if said["error"] is not None:
            raise RuntimeError(said["error"])

    def _open(self) -> tuple[httpx2.AsyncClient, int]:
        """(the client, how many tokens to ask for)."""
        tokens: int = self._load["output_tokens"]
        if self._client is None:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = httpx2.AsyncClient(limits=limits, timeout=TIMEOUT_S, trust_env=False)
            return self._client, WARMUP_TOKENS
        return self._client, tokens

    async def _close(self, client: httpx2.AsyncClient) -> None:
        self._left -= 1
        if self._left == 0:
            await client.aclose()


async def loop(ask: Callable[[Any], Awaitable[None]], load: dict[str, Any], meter: Meter) -> None:
    """All chains, so many at once, without the profiler."""
    await ask("Stream 0")
    gc.collect()
    gc.freeze()  # as a recorded run does: what the collector walks through must be the same
    meter.begin()
    numbers = iter(range(load["chains"]))

    async def stream() -> None:
        for number in numbers:
            await ask(f"Stream {number}")
            meter.chain()

    await asyncio.gather(*(stream() for _ in range(load["streams"])))


def recorded(ask: Callable[[Any], Awaitable[None]], load: dict[str, Any], meter: Meter, folder: Path) -> None:
    """All chains as `profiler run` runs them; `folder` is made.

    Raises:
        ProfilerError: the run ended early.
    """
    from profiler.record.agent import Agent
    from profiler.record.chain import RecordingOptions, new_salt
    from profiler.record.recorder import Recorder
    from profiler.record.runner import ChainResult, Plan, Runner
    from profiler.store.writer import RunWriter, create_run_folder
    from profiler.tasks import Task

    def on_chain(result: ChainResult) -> None:
        meter.failed += result.failure is not None
        if result.job.warmup:
            meter.begin()
        else:
            meter.chain()

    writer = RunWriter(create_run_folder(folder))
    plan = Plan(
        Agent("capacity", Path(__file__), "function", ask),
        [Task(id=str(number), input=f"Stream {number}") for number in range(load["tasks"])],
        RecordingOptions(agent_name="capacity", provider="sim", seed=0, salt=new_salt()),
        repeat=load["chains"] // load["tasks"],
        warmup=1,
        concurrency=load["streams"],
        timeout_s=TIMEOUT_S,
    )
    with Recorder(service_name="agent", resource={}, sinks=[writer.write_chain]) as recorder:
        outcome = Runner(plan, recorder, check_engine=lambda: None, check_store=lambda: None, on_chain=on_chain).run()
    writer.close()
    if outcome.fatal is not None:
        raise outcome.fatal


def turn(kind: str, load: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One kind of client, from its warm-up to its end."""
    caller, meter = Caller(load), Meter(load)
    if kind == "recorded":
        recorded(caller.drop, load, meter, folder)
    else:
        asyncio.run(loop(caller.time_by_hand if kind == "timed" else caller.drop, load, meter))
        gc.unfreeze()
    return {**meter.found, "failed": meter.failed}


def main() -> None:
    kinds, load = sys.argv[1].split(","), json.loads(sys.argv[2])
    print(json.dumps([turn(kind, load, Path(load["folder"]) / str(number)) for number, kind in enumerate(kinds)]))


if __name__ == "__main__":
    main()
