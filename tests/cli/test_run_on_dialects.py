"""Agents on every kind of server that the embedded engine can be: recorded, replayed, reported."""

from __future__ import annotations

import json

import pytest
from cli_helpers import PLAIN_AGENT

from profiler import semconv as sc
from profiler.engines import EngineOptions, SimOptions, open_engine
from profiler.store.reader import load_run
from profiler.truth import read_truth

RUN = ("--sim-profile", "fast", "--input", "What is new?", "--warmup", "0", "--out", "out")
TGI_AGENT = """
import json, os, httpx2
from pathlib import Path
ROOT = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
def answer(task):
    asked = {"inputs": task, "parameters": {"max_new_tokens": 20, "top_p": 1.0}}
    said = []
    with httpx2.Client(timeout=300) as client:
        with client.stream("POST", ROOT + "/generate_stream", json=asked) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    said.append(json.loads(line[5:]))
        whole = client.post(ROOT + "/generate", json=asked).raise_for_status().json()
        listed = client.post(ROOT + "/", json=asked).raise_for_status().json()
    assert "".join(each["token"]["text"] for each in said) == said[-1]["generated_text"]
    Path("heard.json").write_text(json.dumps([said[-1], whole, listed]))
"""
OLLAMA_AGENT = """
import json, os, httpx2
from pathlib import Path
ROOT = os.environ["OLLAMA_HOST"]
def answer(task):
    asked = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}]}
    said = []
    with httpx2.Client(timeout=300) as client:
        with client.stream("POST", ROOT + "/api/chat", json=asked) as response:
            for line in response.iter_lines():
                said.append(json.loads(line))
        whole = client.post(ROOT + "/api/chat", json={**asked, "stream": False}).raise_for_status().json()
        body = {"model": asked["model"], "prompt": task, "stream": False}
        text = client.post(ROOT + "/api/generate", json=body).raise_for_status().json()
    assert said[-1]["done"] and whole["done"] and text["done"]
    Path("heard.json").write_text(json.dumps([said, whole, text]))
"""
SCRIPT = {
    "format": "profiler-script",
    "version": 1,
    "tasks": {
        "input-1": {"calls": [{"content": f"These are the words of call {n}.", "output_tokens": 8} for n in "123"]}
    },
}


def calls(bench):
    (trace,) = load_run(bench.folder / "out").traces
    return trace, [span for span in trace.spans if span.is_call]


@pytest.mark.parametrize("dialect", ["vllm", "openai", "llama.cpp", "tgi", "ollama"])
def test_an_agent_of_the_openai_protocol_runs_unchanged_on_each(bench, dialect):
    result = bench.run("run", bench.agent(PLAIN_AGENT), *RUN, "--sim-dialect", dialect)
    assert result.code == 0, result.err
    _, made = calls(bench)
    assert len(made) == 2
    assert not any(call.failed for call in made)
    truth = {each.span_id: each for each in read_truth(bench.folder / "out" / "engine-truth.jsonl")}
    for call in made:
        get = call.attributes.get
        assert get(sc.OUTPUT_TOKENS) == truth[call.span_id].output_tokens
        assert get(sc.CALL_API) == "openai.chat"
        source = {"vllm": "vllm.metrics", "llama.cpp": "llama.cpp.timings"}.get(dialect)
        assert get(sc.ENGINE_SOURCE) == source
    assert bench.manifest()["engine"]["server"] == dialect


def test_llama_cpps_timings_leave_the_wait_for_a_slot_unaccounted(bench):
    bench.run("run", bench.agent(PLAIN_AGENT), *RUN, "--sim-dialect", "llama.cpp")
    trace, made = calls(bench)
    for call in made:
        assert sc.ENGINE_QUEUE_NS not in call.attributes
        assert [child.name for child in trace.children[call.span_id]] == ["unaccounted", "prefill", "decode"]


def test_an_agent_of_tgis_own_api_is_recorded(bench):
    result = bench.run("run", bench.agent(TGI_AGENT), *RUN, "--sim-dialect", "tgi")
    assert result.code == 0, result.err
    _, (streamed, whole, listed) = calls(bench)
    assert [call.attributes[sc.CALL_API] for call in (streamed, whole, listed)] == [
        "tgi.generate_stream",
        "tgi.generate",
        "tgi.compatible",
    ]
    assert all(call.attributes[sc.OUTPUT_TOKENS] <= 20 for call in (streamed, whole, listed))
    assert all(call.attributes[sc.INPUT_TOKENS] > 0 for call in (streamed, whole, listed))
    assert "parameters.top_p" in streamed.attributes[sc.CALL_ADAPTED]
    assert "parameters.details" in streamed.attributes[sc.CALL_ADAPTED]
    assert sc.ENGINE_SOURCE not in streamed.attributes
    assert streamed.attributes[sc.CHUNK_TIMES_US]
    assert whole.attributes[sc.ENGINE_SOURCE] == "tgi.headers"
    assert whole.attributes[sc.ENGINE_PRECISION_NS] == 1_000_000
    assert sc.ENGINE_PREFILL_NS not in whole.attributes
    assert whole.attributes[sc.ENGINE_INFERENCE_NS] % 1_000_000 == 0


def test_an_agent_of_ollamas_own_api_is_recorded_with_the_load_of_a_cold_model(bench):
    result = bench.run("run", bench.agent(OLLAMA_AGENT), *RUN, "--sim-dialect", "ollama")
    assert result.code == 0, result.err
    _, made = calls(bench)
    assert [call.attributes[sc.CALL_API] for call in made] == ["ollama.chat", "ollama.chat", "ollama.generate"]
    assert [call.attributes[sc.REQUEST_STREAM] for call in made] == [True, False, False]
    for call in made:
        assert call.attributes[sc.ENGINE_SOURCE] == "ollama.durations"
        assert call.attributes[sc.ENGINE_DECODE_NS] > 0
        assert call.attributes[sc.OUTPUT_TOKENS] > 0
    loads = [call.attributes[sc.ENGINE_LOAD_NS] for call in made]
    assert loads[0] >= 10_000_000 > max(loads[1:]), "the profile's model takes 10 ms to load, once"
    chain = json.loads(bench.run("report", "out", "--format", "json").out)["chains"][0]
    assert chain["load_ns"] >= loads[0] - 2_000, "less the gaps between phases"
    names = ("framework", "client", "load", "queue", "prefill", "decode", "inference", "delivery", "tool", "retry")
    assert sum(chain[f"{name}_ns"] for name in (*names, "unaccounted")) == chain["e2e_ns"]


@pytest.mark.parametrize(("agent", "dialect"), [(TGI_AGENT, "tgi"), (OLLAMA_AGENT, "ollama")])
def test_a_script_is_replayed_over_an_own_api_and_the_agent_hears_its_words(bench, agent, dialect):
    path = bench.tasks(SCRIPT, "said.json")
    result = bench.run("run", bench.agent(agent), *RUN, "--sim-dialect", dialect, "--script", path)
    assert result.code == 0, result.err
    heard = (bench.folder / "heard.json").read_text()
    first, second, third = json.loads(heard)
    if dialect == "tgi":
        said = [first["generated_text"], second["generated_text"], third[0]["generated_text"]]
        assert first["details"] is None, "what was asked for on the agent's behalf is not shown to it"
    else:
        said = ["".join(each["message"]["content"] for each in first), second["message"]["content"], third["response"]]
    assert said == [f"These are the words of call {n}." for n in "123"]
    _, made = calls(bench)
    assert all(call.attributes[sc.REQUEST_MAX_TOKENS] == 8 for call in made)
    assert all(call.attributes[sc.OUTPUT_TOKENS] <= 8 for call in made)


@pytest.mark.parametrize("dialect", ["vllm", "openai", "llama.cpp", "tgi", "ollama"])
def test_a_server_that_runs_is_recognised_with_its_key_and_profiled(bench, monkeypatch, dialect):
    monkeypatch.setenv("HOSTED_KEY", "s3cret")
    backend = dialect if dialect in ("vllm", "tgi", "ollama") else "openai"
    options = EngineOptions(backend="sim", api_key="s3cret", sim=SimOptions(profile="fast", dialect=dialect))
    agent = bench.agent("""
        import os, openai
        def answer(task):
            asked = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}]}
            said = openai.OpenAI().chat.completions.create(**asked, top_p=1, max_completion_tokens=8)
            return said.choices[0].message.content
        """)
    with open_engine(options, log_path=bench.folder / "engine.log", progress=print) as engine:
        address = ("--backend", backend, "--base-url", engine.info.base_url)
        refused = bench.run("run", agent, *address, "--input", "a")
        result = bench.run("run", agent, *address, "--api-key-env", "HOSTED_KEY", *RUN[2:])
    assert refused.code == 4
    assert "wants an API key" in refused.err
    assert result.code == 0, result.err
    found = bench.manifest()["engine"]
    assert (found["name"], found["server"], found["simulated"]) == ("sim", dialect, True)
    assert (found["recognised_by"] is None) == (dialect == "openai")
    assert "s3cret" not in (bench.folder / "out" / "run.json").read_text()
    _, (call,) = calls(bench)
    assert not call.failed
    assert call.attributes[sc.OUTPUT_TOKENS] <= 8


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--backend", "openai"), 2, "none is named"),
        (("--backend", "tgi"), 2, "needs a model"),
        (("--backend", "ollama", "--sim-profile", "fast"), 2, "are for the embedded engine"),
    ],
)
def test_a_backend_that_lacks_something_says_so_before_anything_is_made(bench, monkeypatch, options, code, words):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    result = bench.run("run", bench.agent(PLAIN_AGENT), "--input", "a", *options)
    assert result.code == code
    assert words in result.err
    assert not (bench.folder / "traces").exists()
