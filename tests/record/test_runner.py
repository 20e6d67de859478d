"""What a run tells of itself besides its chains."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx2
from loopback import serve

from profiler import semconv as sc
from profiler.record.agent import Agent
from profiler.record.chain import RecordingOptions
from profiler.record.recorder import Recorder
from profiler.record.runner import Plan, Runner
from profiler.tasks import Task

CHAT = {"model": "m", "messages": []}
ANSWER = {"id": "1", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": {}}


def run(ask, *, repeat=1, timeout_s=60.0, tags=(), **settings):
    """The outcome of an agent's run, and the chains' spans."""
    batches = []
    with Recorder(service_name="agent", resource={}, sinks=[batches.append]) as recorder:
        plan = Plan(
            Agent("test", Path("test.py"), "function", ask),
            [Task(id="t", input="question", tags=tags)],
            RecordingOptions(agent_name="test", provider="vllm"),
            repeat=repeat,
            timeout_s=timeout_s,
        )
        nothing = lambda *_: None  # noqa: E731
        runner = Runner(plan, recorder, check_engine=nothing, check_store=nothing, on_chain=nothing, **settings)
        outcome = runner.run()
    return outcome, batches


async def call(handler=lambda _: httpx2.Response(200, json=ANSWER)):
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as client:
        await client.post("http://engine/v1/chat/completions", json=CHAT)


def test_a_tasks_tags_are_recorded_with_its_chains():
    async def ask(_):
        pass

    roots = [run(ask, tags=tags)[1][0][0].attributes.get(sc.TASK_TAGS) for tags in (("slow", "long"), ())]
    assert roots == [("slow", "long"), None]


def test_a_run_tells_what_recording_cost():
    async def ask(_):
        await call()

    outcome, _ = run(ask, repeat=3)
    cost = outcome.recording_cost
    assert (cost.chains, cost.calls, cost.spans) == (3, 3, 6)
    assert cost.per_chain_us > 0
    assert cost.per_chunk_us is None, "nothing was streamed"


def test_a_loop_that_is_held_during_a_call_shows_on_its_span():
    def hold(_):
        time.sleep(0.08)
        return httpx2.Response(200, json=ANSWER)

    async def ask(_):
        await asyncio.sleep(0.02)
        await call(hold)

    outcome, ((chat, _),) = run(ask)
    assert chat.attributes[sc.LOOP_LAG_MAX_NS] > 50_000_000
    assert outcome.loop_lag.samples > 0
    assert outcome.loop_lag.max_ms > 50
    assert outcome.suspect == [], "no first token was waited for"


def test_a_loop_that_is_held_while_a_first_token_is_waited_for_makes_the_run_suspect():
    async def ask(_):
        async def stream():
            async with httpx2.AsyncClient(trust_env=False) as client:
                body = {"model": "test-model", "messages": [], "stream": True}
                async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
                    async for _ in response.aiter_raw():
                        pass

        does.hang.clear()
        before = len(does.requests)
        reading = asyncio.create_task(stream())
        while len(does.requests) == before:  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.001)
        threading.Timer(0.05, does.hang.set).start()
        time.sleep(0.1)  # noqa: ASYNC251 - the very thing: somebody holds the loop
        await reading

    with serve() as (url, does):
        does.hang = threading.Event()
        once, _ = run(ask)
        outcome, _ = run(ask, repeat=3)
    assert once.suspect == [], "one call may be late by chance"
    assert "event loop was late" in outcome.suspect[0]


def test_the_collector_is_as_before_after_a_run():
    during = []

    async def ask(_):
        during.append(gc.get_freeze_count())

    run(ask)
    assert during[0] > 1000
    assert gc.get_freeze_count() == 0


def test_an_agent_that_swallows_its_cancellation_is_left_behind(monkeypatch):
    monkeypatch.setattr("profiler.record.asking.GIVE_UP_S", 0.05)

    async def ask(_):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()  # as if nothing had been said
        finally:
            await call()

    outcome, ((root,),) = run(ask, timeout_s=0.05)
    (result,) = outcome.results
    assert (result.failure.type, result.failure.message) == ("TimeoutError", "the chain did not end within 0.05 s")
    assert outcome.abandoned
    assert root.attributes[sc.ERROR_TYPE] == "TimeoutError"


def test_chains_go_on_beside_an_agent_that_was_left_behind(monkeypatch):
    monkeypatch.setattr("profiler.record.asking.GIVE_UP_S", 0.05)
    asked = []

    async def ask(_):
        asked.append(None)
        if len(asked) == 1:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()
        await call()

    outcome, batches = run(ask, repeat=3, timeout_s=2)  # the other two need some milliseconds of it
    assert [result.failure is None for result in outcome.results] == [False, True, True]
    assert [len(spans) for spans in batches] == [1, 2, 2]


def test_an_agent_that_cleans_up_in_time_has_its_last_call_recorded():
    async def ask(_):
        try:
            await asyncio.Event().wait()
        finally:
            await call()

    outcome, ((_, root),) = run(ask, timeout_s=0.05)
    assert outcome.results[0].calls == 1
    assert root.attributes[sc.ERROR_TYPE] == "TimeoutError"


def test_the_loop_that_an_agent_runs_in_a_thread_is_watched_too():
    def hold(_):
        time.sleep(0.08)
        return httpx2.Response(200, json=ANSWER)

    async def calls():
        await call()  # from here on its loop is watched
        await asyncio.sleep(0.03)
        await call(hold)

    async def ask(_):
        await asyncio.to_thread(asyncio.run, calls())

    outcome, ((*chats, _),) = run(ask)
    assert max(chat.attributes[sc.LOOP_LAG_MAX_NS] for chat in chats if sc.LOOP_LAG_MAX_NS in chat.attributes) > 5e7
    assert outcome.loop_lag.max_ms > 50


def test_a_shut_port_ends_a_run_unless_the_engine_is_supervised():
    async def ask(_):
        raise httpx2.ConnectError("refused")

    attached, _ = run(ask, repeat=6)
    assert (len(attached.results), type(attached.fatal).__name__) == (3, "EngineDied")
    supervised, _ = run(ask, repeat=6, supervised=True)
    assert (len(supervised.results), supervised.fatal) == (6, None)
