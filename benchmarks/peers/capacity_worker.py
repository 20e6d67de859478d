"""A client of the capacity benchmark in a process of its own: the same calls, recorded or not.

    python capacity_worker.py KIND '{"url", "model", "streams", "chains", "tasks", "output_tokens", "folder", "marks"}'

    bare       a loop over httpx2 that reads the bytes and drops them: the least that a client can do
    timed      the same that decodes lines and JSON and times them by hand: `stream_loop.py`
    recorded   the bare loop as the agent of a run: through the runner, each chain's spans written to `folder`

One call per chain, after a chain that warms up. Prints {"cpu_ns", "wall_ns", "failed", "rss"}: processor time of the
process and time from the end of the warm-up to the end of the last chain, how many chains failed, and the resident
memory in bytes when as many chains had ended as each of `marks` says.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil
from stream_loop import one

TIMEOUT_S = 300.0


class Meter:
    """Begins with the end of the warm-up and ends with the last chain."""

    def __init__(self, load: dict[str, Any]) -> None:
        self._chains = load["chains"]
        self._marks = set(load["marks"])
        self._rss = psutil.Process().memory_info
        self._done = 0
        self._began = (0, 0)
        self.failed = 0
        self.found: dict[str, Any] = {"rss": []}

    def begin(self) -> None:
        """Whatever is made once has been made."""
        self._began = time.process_time_ns(), time.perf_counter_ns()

    def chain(self) -> None:
        """One more has ended."""
        self._done += 1
        if self._done in self._marks:
            self.found["rss"].append(int(self._rss().rss))
        if self._done == self._chains:
            self.found["cpu_ns"] = time.process_time_ns() - self._began[0]
            self.found["wall_ns"] = time.perf_counter_ns() - self._began[1]


class Caller:
    """A plain client of many streams, each on a connection of its own; the last call closes it."""

    def __init__(self, load: dict[str, Any]) -> None:
        self._load = load
        self._left = load["chains"] + 1
        self._client: httpx2.AsyncClient | None = None

    async def drop(self, question: Any) -> None:
        """Read the bytes of an answer."""
        body = {
            "model": self._load["model"],
            "messages": [{"role": "user", "content": str(question)}],
            "max_tokens": self._load["output_tokens"],
            "min_tokens": self._load["output_tokens"],
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        client = self._open()
        try:
            async with client.stream("POST", self._load["url"], json=body) as response:
                response.raise_for_status()
                async for _ in response.aiter_raw():
                    pass
        finally:
            await self._close(client)

    async def time_by_hand(self, question: Any) -> None:
        """Decode and time an answer."""
        client = self._open()
        try:
            said = await one(client, self._load, int(str(question).split()[-1]))
        finally:
            await self._close(client)
        if said["error"] is not None:
            raise RuntimeError(said["error"])

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = httpx2.AsyncClient(limits=limits, timeout=TIMEOUT_S, trust_env=False)
        return self._client

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


def recorded(ask: Callable[[Any], Awaitable[None]], load: dict[str, Any], meter: Meter) -> None:
    """All chains as `profiler run` runs them.

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

    writer = RunWriter(create_run_folder(Path(load["folder"])))
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


def main() -> None:
    kind, load = sys.argv[1], json.loads(sys.argv[2])
    caller, meter = Caller(load), Meter(load)
    if kind == "recorded":
        recorded(caller.drop, load, meter)
    else:
        asyncio.run(loop(caller.time_by_hand if kind == "timed" else caller.drop, load, meter))
    print(json.dumps({**meter.found, "failed": meter.failed}))


if __name__ == "__main__":
    main()
