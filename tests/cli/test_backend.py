"""Which engine a run takes when nobody says, and which options belong to which."""

from __future__ import annotations

import json

import pytest
from loopback import serve

SIM = ["--sim-profile", "fast", "--input", "a", "--warmup", "0", "--out", "out"]


def test_without_any_engine_named_the_embedded_one_is_taken_and_said_to_be_simulated(bench, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    result = bench.run("run", bench.agent(), "--input", "a", "--warmup", "0", "--out", "out")
    assert result.code == 0
    assert "taking the embedded one" in result.err
    assert "against the embedded engine, profile cpu-tiny: simulated times" in result.out
    assert "! the times are simulated" in result.out
    assert bench.manifest()["engine"]["simulated"] is True
    assert (bench.folder / "out" / "engine-truth.jsonl").exists()


def test_an_address_in_the_environment_is_attached_to_with_its_key(bench, monkeypatch):
    with serve() as (url, does):
        does.require_key = "from-the-environment"
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
        agent = bench.agent("""
            import os, httpx2
            def answer(task):
                httpx2.post(
                    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
                    json={"model": os.environ["OPENAI_MODEL"], "messages": []},
                    headers={"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
                ).raise_for_status()
            """)
        result = bench.run("run", agent, "--input", "a", "--warmup", "0")
    assert result.code == 0
    assert "which OPENAI_BASE_URL names" in result.err
    assert does.headers[0]["authorization"] == "Bearer from-the-environment"
    assert [path.name.rsplit("-", 1)[1] for path in (bench.folder / "traces").iterdir()] == ["attached"]


def test_options_of_the_embedded_engine_choose_it(bench, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    result = bench.run("run", bench.agent(), *SIM)
    assert result.code == 0
    assert bench.manifest()["engine"]["profile"] == "fast"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "Qwen/Qwen3-0.6B"], "--model is for an engine that loads a model"),
        (["--no-provision"], "--no-provision is for an engine that loads a model"),
        (["--backend", "sim", "--base-url", "http://127.0.0.1:1"], "--base-url is not for the embedded engine"),
        (["--backend", "vllm", "--sim-profile", "fast"], "are for the embedded engine"),
        (["--sim-profile", "fats"], "there is no profile 'fats'"),
        (["--sim-trait", "crfl"], "there is no such trait"),
        (["--sim-fault", "reset=2"], "is no probability"),
        (["--sim-fault", "any=0.6", "--sim-fault", "hang=0.6"], "exceed 1"),
        (["--sim-fault", "fire=0.1"], "there is no fault 'fire'"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_made(bench, monkeypatch, options, message):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    result = bench.run("run", bench.agent(), "--input", "a", *options)
    assert result.code == 2
    assert message in result.err
    assert not (bench.folder / "traces").exists()


def test_the_manifest_tells_the_lag_of_the_loop_and_what_recording_cost(bench):
    result = bench.run("run", bench.agent(), *SIM, "--repeat", "12", "--format", "json")
    document = json.loads(result.out)
    manifest = bench.manifest()
    assert document["run"]["recording_cost"] == manifest["recording_cost"]
    assert manifest["recording_cost"]["calls"] == 24
    assert manifest["loop_lag"]["samples"] > 0
    assert "Recording" in bench.run("report", "out").out


def test_credentials_in_an_address_of_the_environment_are_never_printed(bench, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:s3cret@127.0.0.1:1/v1")
    result = bench.run("run", bench.agent(), "--input", "a")
    assert result.code == 2
    assert "s3cret" not in result.err + result.out
