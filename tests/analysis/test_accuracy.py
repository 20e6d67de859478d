"""Recorded figures against the truth: what an error is, worked out on paper."""

from __future__ import annotations

import pandas as pd
import pytest

from profiler.analysis.accuracy import TPOT_BY_ENGINE, compare, true_tpot_ns, true_ttft_ns
from profiler.truth import Truth

MS = 1_000_000


def truth(span_id="a", **known) -> Truth:
    """Arrived at 100 ms, four tokens written 20 ms apart from 150 ms on, after an empty role chunk."""
    facts = {
        "number": 1, "id": "x", "span_id": span_id, "path": "/", "arrival_ns": 100 * MS, "stream": True,
        "queue_ns": 5 * MS, "prefill_ns": 40 * MS, "decode_ns": 60 * MS, "output_tokens": 4,
        "writes_ns": [149 * MS, 150 * MS, 170 * MS, 190 * MS, 210 * MS, 211 * MS],
        "written_tokens": [0, 1, 2, 3, 4, 4],
    }  # fmt: skip
    return Truth(**{**facts, **known})


def call(span_id="a", **known) -> dict[str, object]:
    row = {
        "trace_id": "t", "span_id": span_id, "warmup": False, "failed": False, "chain_failed": False,
        "ttft_ns": 51 * MS, "tpot_ns": 20.5 * MS, "tpot_source": "chunks", "call_e2e_ns": 120 * MS, "sent_ns": 7 * MS,
        "queue_ns": 5 * MS, "prefill_ns": 40 * MS, "decode_ns": 60 * MS,
    }  # fmt: skip
    return {**row, **known}


def chain(**known) -> dict[str, object]:
    row = {"trace_id": "t", "warmup": False, "failed": False, "e2e_ns": 130 * MS, "queue_ns": 5 * MS}
    return {**row, "prefill_ns": 39 * MS, "decode_ns": 60 * MS, **known}


def errors(calls, truths, chains=()):
    found = compare(
        pd.DataFrame(calls), pd.DataFrame(list(chains) or None, columns=None if chains else list(chain())), truths
    )
    return {each.metric: each for each in found}


def test_the_truth_of_a_stream_is_what_was_written():
    assert true_ttft_ns(truth()) == 50 * MS
    assert true_tpot_ns(truth()) == 20 * MS


def test_the_truth_of_several_tokens_in_a_write_counts_those_after_the_first_write():
    held = truth(writes_ns=[160 * MS, 200 * MS], written_tokens=[2, 4])
    assert true_tpot_ns(held) == 20 * MS
    assert true_tpot_ns(truth(writes_ns=[160 * MS], written_tokens=[4])) is None
    assert true_ttft_ns(truth(writes_ns=[160 * MS], written_tokens=[0])) is None


def test_errors_are_recorded_minus_true():
    found = errors([call()], [truth()], [chain()])
    assert found["ttft"].bias_ns == 1 * MS
    assert found["ttft"].bias_share == pytest.approx(1 / 50)
    assert found["tpot"].p99_ns == 0.5 * MS
    assert found["call e2e"].max_ns == 2 * MS  # 113 ms from the sending, 111 ms of truth
    assert found["decode"].max_ns == 0
    assert found["chain prefill"].bias_ns == -1 * MS
    assert found["chain rest"].bias_ns == 1 * MS, "what one phase has too little of, the rest has too much of"


def test_times_per_token_that_the_engine_tells_are_a_metric_of_their_own():
    found = errors([call("a"), call("b", tpot_source="engine", tpot_ns=21 * MS)], [truth("a"), truth("b")])
    assert (found["tpot"].n, found["tpot"].bias_ns) == (1, 0.5 * MS)
    assert (found[TPOT_BY_ENGINE].n, found[TPOT_BY_ENGINE].bias_ns) == (1, 1 * MS)


def test_absolute_errors_and_bias_are_told_apart():
    calls = [call("a", ttft_ns=48 * MS), call("b", ttft_ns=52 * MS)]
    found = errors(calls, [truth("a"), truth("b")])["ttft"]
    assert (found.n, found.p50_ns, found.max_ns, found.bias_ns) == (2, 2 * MS, 2 * MS, 0)


def test_calls_that_failed_or_warmed_up_or_have_no_truth_are_left_out():
    calls = [call("a", failed=True), call("b", warmup=True), call("c", chain_failed=True), call("d")]
    assert errors(calls, [truth("a"), truth("b"), truth("c")]) == {}
    assert errors([call("d")], [truth("d", outcome="client_gone")]) == {}


def test_what_is_missing_on_either_side_has_no_error():
    found = errors([call(ttft_ns=None, tpot_ns=float("nan"), queue_ns=pd.NA)], [truth(prefill_ns=None)])
    assert set(found) == {"call e2e", "decode"}


# --- engines that do not tell everything -------------------------------------------------------------------


def test_what_an_engine_does_not_tell_is_not_compared():
    silent = call(queue_ns=None, prefill_ns=None, decode_ns=None)
    found = errors([silent], [truth()], [chain()])
    assert "prefill" not in found
    assert not [name for name in found if name.startswith("chain")]


def test_a_chains_phases_are_compared_if_all_its_calls_tell_them():
    calls = [call("a", queue_ns=None), call("b")]
    found = errors(calls, [truth("a"), truth("b")], [chain(queue_ns=5 * MS, prefill_ns=81 * MS, decode_ns=120 * MS)])
    assert "chain queue" not in found
    assert (found["chain prefill"].bias_ns, found["chain decode"].bias_ns) == (1 * MS, 0)
    assert found["chain rest"].bias_ns == -1 * MS


def test_prefill_and_decode_that_are_not_told_apart_are_compared_together():
    calls = [call(prefill_ns=None, decode_ns=None, inference_ns=99 * MS)]
    found = errors(calls, [truth()], [{**chain(), "inference_ns": 99 * MS}])
    assert found["inference"].bias_ns == -1 * MS
    assert found["chain inference"].bias_ns == -1 * MS


def test_loading_is_compared_where_a_model_is_loaded():
    found = errors([call(load_ns=7 * MS)], [truth(load_ns=6 * MS)], [{**chain(), "load_ns": 7 * MS}])
    assert (found["load"].bias_ns, found["chain load"].bias_ns) == (1 * MS, 1 * MS)
    assert "load" not in errors([call(load_ns=7 * MS)], [truth()], [{**chain(), "load_ns": 7 * MS}])
