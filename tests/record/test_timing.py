"""Engines' own times, each in the words of its documentation."""

from __future__ import annotations

import pytest

from profiler.record.placement import place_phases
from profiler.record.timing import (
    EngineTiming,
    engine_timing,
    hosted_timing,
    llama_cpp_timing,
    ollama_timing,
    tgi_timing,
)

TIMINGS = {
    "cache_n": 236, "prompt_n": 1, "prompt_ms": 30.958, "prompt_per_token_ms": 30.958, "prompt_per_second": 32.3,
    "predicted_n": 35, "predicted_ms": 661.064, "predicted_per_token_ms": 18.887, "predicted_per_second": 52.9,
}  # fmt: skip
LAST = {
    "model": "llama3.2", "created_at": "2023-08-04T19:22:45.499127Z", "message": {"role": "assistant", "content": ""},
    "done": True, "total_duration": 4883583458, "load_duration": 1334875, "prompt_eval_count": 26,
    "prompt_eval_duration": 342546000, "eval_count": 282, "eval_duration": 4535599000,
}  # fmt: skip
HEADERS = {
    "x-compute-type": "gpu", "x-compute-time": "0.4357", "x-compute-characters": "24", "x-total-time": "435",
    "x-validation-time": "0", "x-queue-time": "2", "x-inference-time": "433", "x-time-per-token": "21",
    "x-prompt-tokens": "6", "x-generated-tokens": "20",
}  # fmt: skip


def test_llama_cpp_tells_prefill_and_decode_and_not_the_wait_for_a_slot():
    timing = llama_cpp_timing(TIMINGS)
    assert timing == EngineTiming("llama.cpp.timings", None, 30_958_000, 661_064_000, untold_ns=None)


def test_ollama_tells_the_load_of_its_own_and_a_total_that_leaves_a_rest():
    timing = ollama_timing(LAST)
    rest = 4883583458 - 1334875 - 342546000 - 4535599000
    assert timing == EngineTiming("ollama.durations", None, 342546000, 4535599000, load_ns=1334875, untold_ns=rest)
    assert sum(duration for _, duration in timing.phases) == 4883583458


def test_what_ollama_leaves_out_is_zero():
    told = {"done": True, "total_duration": 900, "eval_duration": 500}
    assert ollama_timing(told) == EngineTiming("ollama.durations", None, 0, 500, load_ns=0, untold_ns=400)


def test_tgi_cuts_off_to_whole_milliseconds_and_has_the_prefill_in_its_inference():
    timing = tgi_timing(HEADERS)
    assert timing == EngineTiming("tgi.headers", 2_000_000, inference_ns=433_000_000, precision_ns=1_000_000)
    assert (timing.prefill_ns, timing.decode_ns) == (None, None)


def test_hosted_apis_tell_seconds():
    usage = {"queue_time": 0.0375, "prompt_tokens": 18, "prompt_time": 0.00068, "completion_time": 0.4634}
    assert hosted_timing("groq.usage", usage) == EngineTiming("groq.usage", 37_500_000, 680_000, 463_400_000)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (llama_cpp_timing, {**TIMINGS, "prompt_ms": -1}),
        (llama_cpp_timing, {**TIMINGS, "predicted_ms": None}),
        (llama_cpp_timing, {**TIMINGS, "predicted_ms": "1"}),
        (llama_cpp_timing, {**TIMINGS, "predicted_ms": float("nan")}),
        (ollama_timing, {**LAST, "eval_duration": -5}),
        (ollama_timing, {**LAST, "total_duration": 10**20}),
        (ollama_timing, {"done": True}),
        (tgi_timing, {**HEADERS, "x-queue-time": "-2"}),
        (tgi_timing, {**HEADERS, "x-queue-time": "2.5"}),
        (tgi_timing, {**HEADERS, "x-inference-time": "9" * 40}),
        (tgi_timing, {"x-queue-time": "2"}),
    ],
)
def test_what_is_no_duration_is_no_timing(read, told):
    assert read(told) is None


def test_an_answer_with_none_of_it_has_no_timing():
    assert engine_timing({"usage": {"prompt_tokens": 1, "completion_tokens": 2}}, {"server": "uvicorn"}) is None


def test_a_wait_that_is_not_told_is_unaccounted_from_the_sending_to_the_first_phase():
    # sent 100 |----- unaccounted -----| 160 prefill 190 | decode 250
    timing = EngineTiming("llama.cpp.timings", prefill_ns=30, decode_ns=60, untold_ns=None)
    placed = place_phases(timing, 100, 190, 250)
    assert placed == [("unaccounted", 100, 160), ("prefill", 160, 190), ("decode", 190, 250)]


def test_ollamas_load_comes_first_and_its_rest_before_the_prefill():
    timing = EngineTiming("ollama.durations", None, 30, 60, load_ns=40, untold_ns=10)
    placed = place_phases(timing, 0, 140, 200)
    assert placed == [("load", 60, 100), ("unaccounted", 100, 110), ("prefill", 110, 140), ("decode", 140, 200)]


def test_inference_that_is_not_told_apart_ends_with_the_answer():
    timing = EngineTiming("tgi.headers", 5, inference_ns=40)
    assert place_phases(timing, 0, None, 50) == [("queue", 5, 10), ("inference", 10, 50)]
