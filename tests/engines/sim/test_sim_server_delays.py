"""Delays that a request asks for, on the wire."""

from __future__ import annotations

import pytest
from sim_server import chat, chunks, forced, serving, streamed, text_of

from profiler.engines.sim.delays import HEADER

MS = 1_000_000


def test_a_late_prefill_is_in_the_engines_own_timing(tmp_path):
    with serving(tmp_path) as sim:
        sim.post(streamed(**forced(5)), headers={HEADER: "prefill=40 decode=20"})
        truth = sim.truth()
        assert 40 * MS < truth.prefill_ns < 42 * MS
        assert 20 * MS < truth.decode_ns < 22 * MS


@pytest.mark.parametrize("traits", [(), ("early-role", "tokens-per-chunk=4", "join=3")])
def test_what_is_delivered_late_comes_at_once_and_is_the_same(tmp_path, traits):
    with serving(tmp_path, traits=traits) as sim:
        usual = sim.post(streamed(**forced(20)))
        late = sim.post(streamed(**forced(20)), headers={HEADER: "delivery=50"})
        assert text_of(chunks(late.content)) == text_of(chunks(usual.content))
        assert chunks(late.content)[-1] == "[DONE]"
        _, truth = sim.truths(2)
        assert truth.written_tokens[-1] == 20
        assert truth.writes_ns[-1] - truth.last_token_ns >= 50 * MS
        assert len([tokens for tokens in truth.written_tokens if tokens]) == 1
        assert truth.decode_ns < 50 * MS


def test_an_unstreamed_answer_is_delivered_late_too(tmp_path):
    with serving(tmp_path) as sim:
        answer = sim.post(chat(**forced(5)), headers={HEADER: "delivery=50"})
        assert answer.status_code == 200
        truth = sim.truth()
        assert truth.end_ns - truth.last_token_ns >= 50 * MS


def test_a_delay_that_there_is_not_is_the_clients_mistake(tmp_path):
    with serving(tmp_path) as sim:
        answer = sim.post(headers={HEADER: "coffee=5"})
        assert answer.status_code == 400
        assert "coffee" in answer.text
