"""Running the chains of a run: tasks in order, some at once, each chain recorded whatever becomes of it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from profiler.errors import DataError, EngineDied, Interrupted, ProfilerError, ScriptMismatch, StoreError
from profiler.record.agent import Agent
from profiler.record.api import Api
from profiler.record.asking import Asking
from profiler.record.blame import place_of
from profiler.record.chain import Chain, RecordingOptions, active_chain
from profiler.record.graph import spare_models
from profiler.record.lag import LoopLags
from profiler.record.recorder import Recorder
from profiler.record.text import clean_message
from profiler.record.threads import carry_context
from profiler.record.wire import Outgoing, watch_wire
from profiler.script import Script, ScriptedCall, TaskScript
from profiler.store.manifest import Failure, LoopLag, RecordingCost
from profiler.tasks import Task

_CONNECTION_ERRORS = (
    "APIConnectionError",
    "ConnectError",
    "ReadError",
    "RemoteProtocolError",
    "ConnectTimeout",
)
_LAST_STEPS_S = 1.0
_EXECUTOR_THREADS = 64  # for blocking nodes and tools of chains that run at once
_UNREACHABLE_AFTER = 3  # chains in a row that could not connect: an attached engine may be gone
_LISTEN_ATTEMPTS = 3
_LISTEN_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """One chain to be run."""

    task: Task
    repeat: int
    warmup: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and how."""

    agent: Agent
    tasks: Sequence[Task]
    options: RecordingOptions
    repeat: int = 1
    warmup: int = 0
    concurrency: int = 1
    timeout_s: float = 300.0

    def warmup_jobs(self) -> list[Job]:
        """The first tasks, around again if there are more warm-up chains than tasks."""
        return [Job(self.tasks[index % len(self.tasks)], index + 1, warmup=True) for index in range(self.warmup)]

    def jobs(self) -> list[Job]:
        """All tasks once, then all again: what drifts, drifts over all tasks alike."""
        return [Job(task, repeat) for repeat in range(1, self.repeat + 1) for task in self.tasks]


@dataclass(frozen=True, slots=True)
class ChainResult:
    """How a chain ended, for progress."""

    job: Job
    e2e_ns: int
    calls: int
    failure: Failure | None


@dataclass
class Outcome:
    """How the run ended."""

    results: list[ChainResult] = field(default_factory=list)
    fatal: ProfilerError | None = None  # why it ended early
    mismatch: ScriptMismatch | None = None
    calls_outside_chains: int = 0
    calls_not_followed: int = 0  # requests for an engine by an API that the recorder does not know
    timings_not_believed: int = 0  # calls whose engine told longer durations than they took
    abandoned: bool = False  # something of the agent's may still be running
    loop_lag: LoopLag | None = None
    suspect: list[str] = field(default_factory=list)  # why the times may be less exact than they look
    recording_cost: RecordingCost | None = None
    spoken: dict[str, list[ScriptedCall]] = field(default_factory=dict)

    def script(self) -> Script:
        """What was said in the first good chain of each task."""
        return Script(tasks={task: TaskScript(calls=tuple(said)) for task, said in self.spoken.items()})


class Runner:
    """Runs a plan; see `run`."""

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        *,
        check_engine: Callable[[], None],
        check_store: Callable[[], None],
        on_chain: Callable[[ChainResult], None],
        supervised: bool = False,
        pick: Callable[[deque[Job]], Awaitable[Job | None]] | None = None,
    ) -> None:
        """Take what a run needs.

        Args:
            plan: what to run.
            recorder: keeps the spans.
            check_engine: raises EngineDied if the engine is known to be dead.
            check_store: raises StoreError if nothing can be written any more.
            on_chain: is told of each chain that has ended.
            supervised: `check_engine` notices the engine's death, so that a port which stays shut is no proof of it.
            pick: takes the next chain out of those that are left; None if no more are to begin. The first if None.
        """
        self._pick = pick
        self._supervised = supervised
        self._plan = plan
        self._agent_folder = plan.agent.path.resolve().parent  # before the agent changes where it is
        self._recorder = recorder
        self._check_engine = check_engine
        self._check_store = check_store
        self._on_chain = on_chain
        self._outcome = Outcome()
        self._workers: list[asyncio.Task[None]] = []
        self._unreachable = 0
        self._turn = asyncio.Lock()

    def run(self) -> Outcome:
        """Run all chains; an early end is in the outcome's `fatal`, and what was recorded is kept."""
        executor = ThreadPoolExecutor(_EXECUTOR_THREADS, thread_name_prefix="agent")
        loop = asyncio.new_event_loop()
        loop.set_default_executor(executor)
        main = loop.create_task(self._run())
        before = self._take_signals(loop)
        try:
            with (
                watch_wire(self._begin_call, self._not_followed),
                spare_models(),
                carry_context(),
                _old_objects_frozen(),
                self._watched(loop),
            ):
                while not main.done():
                    with suppress(SystemExit):  # of a task of the agent's: it fails the chain that waits for it
                        loop.run_until_complete(main)
        except KeyboardInterrupt:  # the second one, or an agent that holds the loop
            self._outcome.fatal = self._outcome.fatal or Interrupted("interrupted")
            self._outcome.abandoned = True
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._wind_up(loop, executor)
        return self._outcome

    @contextmanager
    def _watched(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Keep account of how late loops are and what recording takes."""
        self._recorder.lag = lag = LoopLags()
        lag.start(loop)
        try:
            yield
        finally:
            lag.stop()
            self._outcome.loop_lag, self._outcome.suspect = lag.summary(), lag.reasons()
            self._outcome.recording_cost = self._recorder.cost.summary()

    def _wind_up(self, loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
        """Close the loop; never wait for a thread that a chain has left behind."""
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_LAST_STEPS_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        executor.shutdown(wait=not self._outcome.abandoned, cancel_futures=True)
        loop.close()

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> dict[int, Any]:
        """First signal: break off in good order. Second: at once, wherever the agent is."""

        def handler(number: int, _frame: object) -> None:
            signal.signal(number, signal.default_int_handler)
            loop.call_soon_threadsafe(self._stop, Interrupted("interrupted"))

        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}

    async def _run(self) -> None:
        for jobs in (self._plan.warmup_jobs(), self._plan.jobs()):
            waiting = deque(jobs)
            self._workers = [
                asyncio.create_task(self._work(waiting)) for _ in range(min(self._plan.concurrency, len(jobs)))
            ]
            await asyncio.gather(*self._workers, return_exceptions=True)
            if self._outcome.fatal is not None:
                break
        for worker in self._workers:
            if not worker.cancelled() and worker.exception() is not None:
                raise worker.exception()  # type: ignore[misc]

    def _stop(self, error: ProfilerError) -> None:
        if self._outcome.fatal is None:
            self._outcome.fatal = error
        for worker in self._workers:
            worker.cancel()

    async def _work(self, waiting: deque[Job]) -> None:
        while waiting and self._outcome.fatal is None:
            job = waiting.popleft() if self._pick is None else await self._pick(waiting)
            if job is None:
                return
            await self._one_at_a_time()
            await self._run_chain(job)

    async def _one_at_a_time(self) -> None:
        """Let the loop see to its sockets between the beginnings and ends of chains, which take it a millisecond each.

        Where dozens of chains begin or end at once, the calls of the others would all be late by the sum of it.
        """
        async with self._turn:
            await asyncio.sleep(0)

    async def _run_chain(self, job: Job) -> None:
        plan = self._plan
        asking = Asking(
            partial(
                Chain,
                self._recorder,
                plan.options,
                task_id=job.task.id,
                repeat=job.repeat,
                warmup=job.warmup,
                tags=job.task.tags,
            ),
            partial(plan.agent.ask, job.task.input),
        )
        try:
            await asking.within(plan.timeout_s)
        except asyncio.CancelledError:
            await asking.give_up(self._outcome.fatal or Interrupted("cancelled"))
        self._outcome.abandoned |= asking.abandoned
        if isinstance(asking.error, Interrupted) and self._outcome.fatal is None:
            self._stop(asking.error)
        chain = asking.chain
        if chain is None:  # the run ended before it began
            return
        try:
            if self._outcome.fatal is None:
                await self._one_at_a_time()
        finally:  # a chain that has ended is written, whatever happens
            chain.deliver()
            self._account(job, chain)
        await self._check_connection(chain)

    def _account(self, job: Job, chain: Chain) -> None:
        failure = None
        self._outcome.timings_not_believed += chain.timings_not_believed
        if chain.failure is not None:
            failure = Failure(
                task=job.task.id,
                repeat=job.repeat,
                warmup=job.warmup,
                type=type(chain.failure).__qualname__,
                message=clean_message(str(chain.failure)),
                trace_id=f"{chain.trace_id:032x}",
                where=place_of(chain.failure, self._agent_folder),
            )
        elif not job.warmup and job.task.id not in self._outcome.spoken:
            self._outcome.spoken[job.task.id] = chain.spoken()
        result = ChainResult(job, chain.e2e_ns, chain.call_count, failure)
        self._outcome.results.append(result)
        self._outcome.mismatch = self._outcome.mismatch or chain.mismatch
        self._on_chain(result)
        self._check(chain)

    def _check(self, chain: Chain) -> None:
        """After each chain: is there still something to write to and to talk to?"""
        try:
            self._check_store()
            if chain.failure is not None and not isinstance(chain.failure, Interrupted):
                self._check_engine()
            self._check_agent(chain)
        except (EngineDied, StoreError, DataError) as error:
            self._stop(error)

    @staticmethod
    def _check_agent(chain: Chain) -> None:
        """An input that does not suit the agent will not suit it in the next chain either."""
        if isinstance(chain.failure, DataError) and not isinstance(chain.failure, ScriptMismatch):
            raise chain.failure

    async def _check_connection(self, chain: Chain) -> None:
        kind = type(chain.failure).__qualname__
        self._unreachable = self._unreachable + 1 if kind in _CONNECTION_ERRORS else 0
        if self._supervised or self._unreachable < _UNREACHABLE_AFTER:
            return
        chains, self._unreachable = self._unreachable, 0
        if not await _listens(self._plan.options.engine):  # otherwise it fails often, but it is there
            self._stop(
                EngineDied(
                    f"the engine does not answer any more: {chains} chains in a row ended with {kind}",
                    remedy="see that it is still running; the chains that had finished are kept",
                )
            )

    def _begin_call(self, api: Api, url: Any, content: bytes, body: dict[str, Any]) -> Outgoing | None:
        chain = active_chain.get()
        if chain is None:
            self._outcome.calls_outside_chains += 1
            return None
        return chain.begin_call(api, url, content, body)

    def _not_followed(self) -> None:
        if active_chain.get() is not None:
            self._outcome.calls_not_followed += 1


async def _listens(engine: tuple[str, int] | None) -> bool:
    """Whether something takes connections there; asked for a while, because a server may be restarting."""
    if engine is None:
        return False
    for attempt in range(_LISTEN_ATTEMPTS):
        try:
            async with asyncio.timeout(_LISTEN_WAIT_S):
                _, writer = await asyncio.open_connection(*engine)
        except OSError:  # a TimeoutError is one
            if attempt + 1 < _LISTEN_ATTEMPTS:
                await asyncio.sleep(_LISTEN_WAIT_S)
        else:
            writer.close()
            return True
    return False


@contextmanager
def _old_objects_frozen() -> Iterator[None]:
    """Spare the collector what was there before: walking all of the agent's libraries stops everything for long."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
