"""The loop's lag, on a clock that stands still until it is told to move."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import serve

from profiler.record.chain import Chain, RecordingOptions
from profiler.record.lag import INTERVAL_NS, Judged, LagProbe, LoopLags
from profiler.record.recorder import Recorder
from profiler.record.wire import watch_wire

MS = 1_000_000


class Ticker:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


def probe_with(*samples):
    """A probe that has seen (due, ran) in milliseconds, and its clock."""
    clock = Ticker()
    probe = LagProbe(clock)
    for due, ran in samples:
        probe.sample(due * MS, ran * MS)
        clock.now = ran * MS
    return probe, clock


def test_without_a_sample_nothing_is_known():
    probe, _ = probe_with()
    assert probe.max_since(0) is None
    assert probe.summary() is None
    assert probe.reasons() == []


def test_the_largest_lag_since_the_start_of_a_call_is_told():
    probe, _ = probe_with((10, 40), (50, 55), (65, 67))
    assert probe.max_since(0) == 30 * MS
    assert probe.max_since(41 * MS) == 5 * MS
    assert probe.max_since(60 * MS) == 2 * MS
    assert probe.max_since(68 * MS) is None


def test_of_a_lag_that_began_before_the_call_its_part_within_it_counts():
    probe, _ = probe_with((10, 40), (50, 52))
    assert probe.max_since(33 * MS) == 7 * MS
    assert probe.max_since(39 * MS) == 2 * MS


def test_a_lag_that_has_not_ended_counts():
    clock = Ticker()
    probe = LagProbe(clock)
    loop = asyncio.new_event_loop()
    probe.start(loop)
    clock.now = INTERVAL_NS + 70 * MS
    assert probe.max_since(0) == 70 * MS
    assert probe.max_since(clock.now - 20 * MS) == 20 * MS
    probe.stop()
    assert probe.max_since(0) == 70 * MS, "the loop never came back to its timer"
    loop.close()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(0, 1500))
def test_the_short_way_finds_what_looking_at_all_samples_finds(lags, start):
    samples, at = [], 0
    for lag in lags:
        samples.append((at + 10, at + 10 + lag))
        at += 10 + lag
    probe, _ = probe_with(*samples)
    overlapping = [min(ran - due, ran - start) for due, ran in samples if ran >= start]
    assert probe.max_since(start * MS) == (max(overlapping) * MS if overlapping else None)


def test_the_run_is_told_in_quantiles():
    probe, _ = probe_with(*[(at, at + 1) for at in range(99)], (100, 140))
    lag = probe.summary()
    assert (lag.samples, lag.p50_ms, lag.max_ms) == (100, 1.1, 40.0)
    assert lag.p99_ms == 1.1


def test_calls_whose_first_token_could_be_off_by_a_tenth_are_suspect():
    probe, _ = probe_with((10, 15))
    for ttft_ms in (100, 100, 100, 40, 40, 40):
        probe.first_token(0, ttft_ms * MS)
    (reason,) = probe.reasons()
    assert reason.startswith("in 3 of 6 calls the event loop was late by more than 10% of the time to first token")


def test_one_or_two_late_calls_are_no_reason_however_few_there_are():
    probe, _ = probe_with((10, 15))
    for expected in (0, 0, 1):
        probe.first_token(0, 40 * MS)
        assert len(probe.reasons()) == expected


@pytest.mark.parametrize(("warmup", "judged"), [(True, 0), (False, 1)])
def test_calls_of_a_warm_up_are_not_judged(warmup, judged):
    lags, told = LoopLags(), Judged()
    lags._own = LagProbe(judged=told)
    lags._own.sample(0, 0)
    with Recorder(service_name="agent", resource={}, sinks=[[].append]) as recorder, serve() as (url, _):
        recorder.lag = lags
        options = RecordingOptions(agent_name="test", provider="vllm")
        chain = Chain(recorder, options, task_id="t", repeat=1, warmup=warmup)
        with watch_wire(chain.begin_call), chain.active(), httpx2.Client() as client:
            client.post(
                f"{url}/chat/completions",
                json={"model": "test-model", "messages": [{"role": "user", "content": "x"}], "stream": True},
            )
        chain.finish(None)
    assert told.calls == judged


def test_a_lag_before_the_sending_is_no_reason():
    probe, _ = probe_with((10, 60), (70, 70))
    for _ in range(3):
        probe.first_token(65 * MS, 40 * MS)
    assert probe.reasons() == []


def test_a_lag_below_what_timers_can_tell_is_no_reason_however_short_the_call():
    probe, _ = probe_with((10, 11))
    for _ in range(3):
        probe.first_token(0, 1 * MS)
    assert probe.reasons() == []


def test_a_run_without_first_tokens_is_not_judged():
    probe, _ = probe_with((10, 20))
    assert probe.reasons() == []


def test_a_real_loop_that_is_held_is_seen_to_be_late():
    probe = LagProbe()

    async def hold():
        probe.start(asyncio.get_running_loop())
        await asyncio.sleep(0.03)
        began = time.perf_counter_ns()
        while time.perf_counter_ns() - began < 50 * MS:
            pass
        probe.stop()
        return began

    began = asyncio.run(hold())
    assert probe.max_since(began) >= 30 * MS
    assert probe.summary().samples >= 1


def test_loops_that_are_closed_are_counted_and_not_kept():
    lags = LoopLags()
    own = asyncio.new_event_loop()
    lags.start(own)

    async def late():
        lags.here().sample(0, 30 * MS)

    for _ in range(5):
        asyncio.run(late())
    assert len(lags._others) == 1
    lags.stop()
    own.close()
    summary = lags.summary()
    assert summary.samples >= 5, "real timers of a busy machine add their own"
    assert summary.max_ms >= 30.0


def test_in_a_thread_without_a_loop_the_runs_own_counts():
    lags = LoopLags()
    assert lags.here() is lags._own


def test_a_call_that_is_judged_later_is_judged_by_what_was_while_it_waited():
    probe, clock = probe_with((10, 10), (60, 90), (100, 100), (200, 400))
    clock.now = 500 * MS
    for _ in range(3):
        probe.first_token(5 * MS, 40 * MS)
    assert probe.reasons() == [], "it came before the lag"
    for _ in range(3):
        probe.first_token(50 * MS, 45 * MS)
    (reason,) = probe.reasons()
    assert reason.startswith("in 3 of 6 calls")


def test_of_a_lag_only_the_part_before_the_first_token_counts():
    probe, _ = probe_with((10, 10), (95, 200))
    for _ in range(3):
        probe.first_token(0, 100 * MS)
    assert probe.reasons() == [], "5 ms of 100"


def test_a_call_counts_although_its_loop_is_closed_by_then():
    lags, kept = LoopLags(), []

    async def call():
        kept.append(lags.here())
        await asyncio.sleep(0.015)

    for _ in range(2):
        asyncio.run(call())
    kept[0].sample(0, 50 * MS)
    for _ in range(3):
        kept[0].first_token(0, 100 * MS)
    lags.stop()
    assert lags.reasons()[0].startswith("in 3 of 3 calls")
