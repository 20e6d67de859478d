"""TGI's protocols over real HTTP."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from sim_server import chat, chunks, http, serving, text_of, until

from profiler.engines.sim import faults
from profiler.truth import FAULTED, OK, REFUSED_BY_SERVER

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
SLOW = {"step_us": 5000.0}


@pytest.fixture
def sim(tmp_path):
    with serving(tmp_path, dialect="tgi") as server:
        yield server


def generate(**parameters):
    return {"inputs": "How much is it?", "parameters": {"max_new_tokens": 12, "details": True, **parameters}}


def test_a_stream_and_a_body_say_the_same(sim):
    whole = sim.post(generate(), "/generate")
    streamed = sim.post(generate(), "/generate_stream")
    found = chunks(streamed.content)
    assert [event["index"] for event in found] == list(range(1, 13))
    assert found[-1]["generated_text"] == whole.json()["generated_text"]
    assert found[-1]["details"]["generated_tokens"] == 12
    assert all(event["details"] is None for event in found[:-1])
    assert [truth.output_tokens for truth in sim.truths(2)] == [12, 12]


def test_timing_is_in_the_headers_of_what_is_not_streamed(sim):
    headers = sim.post(generate(), "/generate").headers
    truth = sim.truth()
    assert headers["x-queue-time"] == str(truth.queue_ns // 1_000_000)
    assert headers["x-inference-time"] == str((truth.prefill_ns + truth.decode_ns) // 1_000_000)
    assert headers["x-total-time"] == str((truth.last_token_ns - truth.arrival_ns) // 1_000_000)
    assert float(headers["x-compute-time"]) == (truth.last_token_ns - truth.arrival_ns) / 1e9
    assert (headers["x-prompt-tokens"], headers["x-generated-tokens"]) == (str(truth.prompt_tokens), "12")


def test_a_streams_headers_have_no_timing(sim):
    headers = sim.post(generate(), "/generate_stream").headers
    assert headers["x-compute-characters"] == "15"
    assert "x-total-time" not in headers
    assert "x-compute-time" not in headers


def test_chat_is_answered_streamed_and_not(sim):
    body = sim.post(chat(model="tgi", max_tokens=9)).json()
    found = chunks(sim.post(chat(max_tokens=9, stream=True, stream_options={"include_usage": True})).content)
    assert (body["id"], body["usage"]["completion_tokens"]) == ("", 9)
    assert text_of(found) == body["choices"][0]["message"]["content"]
    assert (found[-2]["usage"]["completion_tokens"], found[-1]) == (9, "[DONE]")


def test_a_wrong_request_is_a_422_unless_it_streams_natively_or_in_chat(sim):
    wrong = generate(max_new_tokens=10_000_000)
    refused = sim.post(wrong, "/generate")
    assert (refused.status_code, refused.json()["error_type"]) == (422, "validation")
    streamed = sim.post(wrong, "/generate_stream")
    assert streamed.status_code == 200
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert [event["error_type"] for event in chunks(streamed.content)] == ["validation"]
    in_chat = chunks(sim.post(chat(stream=True, top_p=1.0)).content)
    assert in_chat[0]["error"]["http_status_code"] == 422
    assert in_chat[1] == "[DONE]"
    assert sim.post(chat(top_p=1.0)).status_code == 422
    assert [(truth.outcome, truth.status) for truth in sim.truths(4)] == [
        (REFUSED_BY_SERVER, status) for status in (422, 200, 200, 422)
    ]


def test_what_cannot_be_read_is_a_422_even_for_a_stream(sim):
    assert sim.post({"parameters": {}}, "/generate_stream").status_code == 422


def test_too_many_at_once_are_turned_away_at_once(tmp_path):
    # An answer ends by itself after some dozen tokens, however many are allowed: each takes a second.
    with serving(tmp_path, dialect="tgi", changes={"step_us": 1e6, "max_concurrent": 2}) as sim:
        with closing(sim.connect()) as one, closing(sim.connect()) as other:
            for busy in (one, other):
                busy.sendall(http(generate(max_new_tokens=100_000), "/generate"))
            until(lambda: sim.scheduler.running == 2)
            for path in ("/generate", "/generate_stream"):
                refused = sim.post(generate(), path)
                assert (refused.status_code, refused.json()["error_type"]) == (429, "overloaded")
        sim.settle()
        assert sim.post(generate(max_new_tokens=1), "/generate").status_code == 200


def test_a_generation_that_is_thrown_away_takes_time_and_is_told_nowhere(tmp_path):
    with serving(tmp_path, dialect="tgi", changes=SLOW) as sim:
        # somewhere along a conversation the model has called its tools and answers in words
        turns = [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"}] * 8
        messages = [*chat()["messages"], *turns]
        answer = sim.post({"messages": messages, "tools": TOOLS, "tool_choice": "auto", "max_tokens": 6})
        truth = sim.truth()
    assert answer.json()["usage"]["completion_tokens"] == truth.output_tokens == 6
    assert truth.hidden_tokens > 1
    assert truth.prefill_ns == 5_000_000 * (1 + truth.hidden_tokens)
    assert truth.decode_ns == 5_000_000 * 5
    assert answer.headers["x-inference-time"] == "30"
    assert answer.headers["x-queue-time"] == "0"


@pytest.mark.parametrize("path", ["/generate", "/generate_stream", "/v1/chat/completions"])
@pytest.mark.parametrize("fault", [faults.ERROR_IN_200, faults.OVERSIZED])
def test_faults_are_in_the_protocols_own_words(tmp_path, path, fault):
    plan = faults.FaultPlan({}, oversized_bytes=1000)
    with serving(tmp_path, dialect="tgi", plan=plan) as sim:
        body = {**generate(), **chat(stream=True, max_tokens=12)}
        answer = sim.post(body, path, headers={faults.HEADER: fault})
        assert sim.truth().outcome == FAULTED
    found = [answer.json()] if path == "/generate" else chunks(answer.content)
    if fault == faults.ERROR_IN_200:
        assert [one for one in found if one != "[DONE]"][-1]["error"]
    else:
        assert sum("x" in one for one in found if one != "[DONE]") == 1


def test_pages_and_metrics_are_tgis(sim):
    sim.post(generate(), "/generate")
    assert sim.get("/info").json()["model_id"] == "m"
    page = sim.get("/metrics").text
    assert "tgi_request_count 1.0" in page
    assert "tgi_request_success 1.0" in page
    assert "tgi_queue_size 0.0" in page
    assert "tgi_request_inference_duration_count 1.0" in page
    assert sim.truth().outcome == OK
    assert json.loads(sim.get("/v1/models").text)["data"]
