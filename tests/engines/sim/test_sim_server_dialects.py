"""The dialects of Ollama, llama.cpp and the hosted API over real HTTP: what the exchanges do not show."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from sim_server import chat, chunks, forced, http, serving, text_of, until

from profiler.engines.sim import faults
from profiler.truth import FAULTED, OK, REFUSED_BY_SERVER

CHAT = "/v1/chat/completions"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
MS = 1_000_000
SLOW = {"step_us": 5000.0}


def lines(answer):
    return [json.loads(line) for line in answer.content.splitlines()]


def native(**fields):
    return {**chat(), "model": "m", **fields}


def test_a_cold_model_is_loaded_once_and_its_time_is_told_and_logged(tmp_path):
    with serving(tmp_path, dialect="ollama", changes={"load_us": 40_000.0}) as sim:
        first, second = (lines(sim.post(native(options={"num_predict": 3}), "/api/chat"))[-1] for _ in range(2))
        cold, warm = sim.truths(2)
    assert (first["load_duration"], cold.load_ns) == (40 * MS, 40 * MS)
    assert "load_duration" not in second
    assert warm.load_ns == 0
    for last, truth in ((first, cold), (second, warm)):
        assert last["prompt_eval_duration"] == truth.prefill_ns
        assert last["eval_duration"] == truth.decode_ns
        assert last["total_duration"] == truth.last_token_ns - truth.arrival_ns


def test_a_model_that_is_let_go_is_loaded_again(tmp_path):
    with serving(tmp_path, dialect="ollama", changes={"load_us": 20_000.0}) as sim:
        for _ in range(2):
            assert lines(sim.post(native(keep_alive=0), "/api/chat"))[-1]["load_duration"] == 20 * MS
        assert sim.post({"model": "m"}, "/api/generate").json()["done_reason"] == "load"
        assert "load_duration" not in lines(sim.post(native(), "/api/chat"))[-1]
        assert [truth.load_ns for truth in sim.truths(4)] == [20 * MS, 20 * MS, 20 * MS, 0]


def test_under_v1_the_model_is_loaded_as_well_and_nothing_tells(tmp_path):
    with serving(tmp_path, dialect="ollama", changes={"load_us": 30_000.0}) as sim:
        body = sim.post(native(max_tokens=3)).json()
        truth = sim.truth()
    assert set(body) == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert truth.load_ns == 30 * MS
    assert truth.outcome == OK


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("ollama", "/api/chat", native()),
        ("ollama", "/api/generate", {"model": "m", "prompt": "How much is it?"}),
        ("ollama", CHAT, native(stream=True)),
        ("openai", CHAT, native(stream=True)),
        ("llama.cpp", CHAT, native(stream=True)),
        ("tgi", "/generate_stream", {"inputs": "How much is it?", "parameters": {"max_new_tokens": 20}}),
        ("tgi", "/v1/completions", {"prompt": "How much is it?", "max_tokens": 20, "stream": True}),
    ],
)
def test_an_engine_that_fails_in_the_middle_says_so_inside_the_200_or_not_at_all(tmp_path, dialect, path, body):
    with serving(tmp_path, dialect=dialect) as sim:
        answer = sim.post(body, path, headers={faults.HEADER: faults.ERROR_IN_200})
        assert sim.truth().outcome == FAULTED
    assert answer.status_code == 200
    found = lines(answer) if path.startswith("/api") else chunks(answer.content)
    if (dialect, path) == ("ollama", CHAT):
        assert found[-1]["choices"][0] == {
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": None,
        }
        assert "[DONE]" not in found
    else:
        assert found[-1]["error"]
    assert len(found) > 2, "it comes after some tokens"


@pytest.mark.parametrize("fault", [faults.MALFORMED_JSON, faults.INVALID_UTF8, faults.OVERSIZED])
def test_lines_of_json_can_be_spoilt_too(tmp_path, fault):
    with serving(tmp_path, dialect="ollama", plan=faults.FaultPlan({}, oversized_bytes=100_000)) as sim:
        answer = sim.post(native(), "/api/chat", headers={faults.HEADER: fault})
        assert sim.truth().outcome == FAULTED
    spoilt = [line for line in answer.content.splitlines() if not _is_plain(line)]
    assert len(spoilt) == 1
    assert not spoilt[0].startswith(b"data:")


def _is_plain(line):
    try:
        return len(line) < 50_000 and json.loads(line.decode()) is not None
    except ValueError:
        return False


@pytest.mark.parametrize("trait", ["crlf", "split", "join=4", "tokens-per-chunk=4", "keep-alive=0.001", "early-role"])
def test_traits_leave_lines_of_json_whole(tmp_path, trait):
    with serving(tmp_path, dialect="ollama", traits=[trait], changes=SLOW) as sim:
        found = lines(sim.post(native(options={"num_predict": 9}), "/api/chat"))
        truth = sim.truth()
    assert found[-1]["eval_count"] == 9
    assert len(found) == (4 if trait.startswith("tokens") else 10)
    assert truth.written_tokens[-1] == 9


@pytest.mark.parametrize(
    ("dialect", "changes", "status", "said"),
    [
        ("tgi", {"max_concurrent": 1}, 429, "overloaded"),
        ("ollama", {"max_concurrent": 1}, 503, "server busy"),
        ("openai", {"max_concurrent": 1}, 429, "rate_limit_exceeded"),
        ("llama.cpp", {"max_concurrent": 1}, 503, "unavailable_error"),
    ],
)
def test_a_request_too_many_is_refused_in_the_servers_words(tmp_path, dialect, changes, status, said):
    with serving(tmp_path, dialect=dialect, changes=changes) as sim:
        body = {"model": "m", **chat(max_tokens=60)}
        with closing(sim.connect()) as held:
            held.sendall(http(body, headers=[f"{faults.HEADER}: {faults.HANG}"]))
            until(lambda: sim.server._inside == 1)
            refused = sim.post(body)
        assert (refused.status_code, said in refused.text) == (status, True), refused.text
        assert {truth.outcome for truth in sim.truths(2)} == {FAULTED, REFUSED_BY_SERVER}


@pytest.mark.parametrize(
    ("dialect", "key"), [("vllm", True), ("tgi", False), ("ollama", False), ("openai", False), ("llama.cpp", True)]
)
def test_an_output_length_can_be_forced_where_the_server_can(tmp_path, dialect, key):
    with serving(tmp_path, dialect=dialect) as sim:
        body = {"model": "m", **chat(), **forced(120)}
        if dialect == "openai":
            assert sim.post(body).json()["error"]["message"].endswith("supplied: min_tokens, ignore_eos")
            return
        usage = sim.post(body).json()["usage"]
    assert (usage["completion_tokens"] == 120) is key


@pytest.mark.parametrize("dialect", ["vllm", "ollama", "openai", "llama.cpp"])
def test_streamed_and_not_the_words_and_calls_are_the_same(tmp_path, dialect):
    with serving(tmp_path, dialect=dialect) as sim:
        body = {"model": "m", **chat(tools=TOOLS)}
        whole = sim.post(body).json()["choices"][0]
        streamed = chunks(sim.post({**body, "stream": True}).content)
    message = whole["message"]
    assert text_of(streamed) == (message["content"] or "")
    deltas = [choice["delta"] for chunk in streamed[:-1] for choice in chunk["choices"]]
    parts = [part for delta in deltas for part in delta.get("tool_calls", ())]
    assert [part["id"] for part in parts if "id" in part] == [call["id"] for call in message["tool_calls"]]
    arguments = "".join(part["function"]["arguments"] for part in parts)
    assert arguments == "".join(call["function"]["arguments"] for call in message["tool_calls"])
    assert whole["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("dialect", "path", "kind"),
    [
        ("ollama", "/", "text/plain"),
        ("ollama", "/api/tags", "application/json"),
        ("ollama", "/v1/models", "application/json"),
        ("llama.cpp", "/props", "application/json"),
        ("llama.cpp", "/metrics", "text/plain"),
        ("openai", "/v1/models/m", "application/json"),
    ],
)
def test_pages_are_the_servers(tmp_path, dialect, path, kind):
    with serving(tmp_path, dialect=dialect) as sim:
        page = sim.get(path)
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, kind)


@pytest.mark.parametrize("dialect", ["ollama", "openai", "llama.cpp"])
@pytest.mark.parametrize("path", ["/health", "/metrics", "/nothing"])
def test_what_there_is_not_is_a_404(tmp_path, dialect, path):
    with serving(tmp_path, dialect=dialect) as sim:
        there = dialect == "llama.cpp" and path != "/nothing"
        assert sim.get(path).status_code == (200 if there else 404)


@pytest.mark.parametrize("dialect", ["tgi", "ollama", "openai", "llama.cpp"])
def test_no_request_id_of_the_clients_is_adopted(tmp_path, dialect):
    with serving(tmp_path, dialect=dialect) as sim:
        body = sim.post({"model": "m", **chat(max_tokens=2)}, headers={"X-Request-Id": "mine-1"}).json()
    assert "mine-1" not in body["id"]


def test_a_key_is_asked_for_in_the_servers_words(tmp_path):
    for dialect, said in (("openai", "invalid_api_key"), ("llama.cpp", "authentication_error"), ("ollama", "unauth")):
        with serving(tmp_path, dialect=dialect, api_key="secret") as sim:
            refused = sim.post({"model": "m", **chat()})
            assert (refused.status_code, said in refused.text) == (401, True)
            allowed = sim.post({"model": "m", **chat(max_tokens=2)}, headers={"Authorization": "Bearer secret"})
            assert allowed.status_code == 200


def test_a_model_is_shown_to_those_who_ask_for_it_by_name(tmp_path):
    with serving(tmp_path, dialect="ollama") as sim:
        assert sim.post({"model": "m"}, "/api/show").json()["capabilities"] == ["completion", "tools"]
        assert sim.post({"model": "other"}, "/api/show").status_code == 404
        assert sim.get("/api/show").status_code == 405


def test_tokens_of_a_text_are_told(tmp_path):
    with serving(tmp_path, dialect="tgi") as sim:
        found = sim.post({"inputs": "How much is it?"}, "/tokenize").json()
        assert "".join(token["text"] for token in found) == "How much is it?"
        assert found[-1]["stop"] == 15
    with serving(tmp_path, dialect="llama.cpp") as sim:
        assert len(sim.post({"content": "How much is it?"}, "/tokenize").json()["tokens"]) == len(found)
