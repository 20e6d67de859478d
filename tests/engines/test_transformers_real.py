"""A real engine that is not vLLM: `transformers serve` with the tiny model, profiled by `--backend openai`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from profiler import semconv as sc
from profiler.cli import main
from profiler.engines.launch import free_port, make_tiny_model, tiny_folder
from profiler.store.reader import load_run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
READY_S = 300
PLAIN = """
import os, httpx2
def answer(task):
    asked = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}], "max_tokens": 6}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    with httpx2.Client(timeout=300) as client:
        said = client.post(url, json=asked).raise_for_status().json()["choices"][0]["message"]
        with client.stream("POST", url, json={**asked, "stream": True}) as response:
            lines = [line for line in response.iter_lines() if line]
    return f"{len(said)} {len(lines)}"
"""


def pip_target(python, folder):
    """`accelerate`, which `transformers serve` needs and vLLM's environment lacks, beside that environment."""
    command = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), "accelerate"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"NO SECOND REAL ENGINE, its tests are skipped: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def served(vllm_python, tmp_path_factory):
    """Base URL and model of a `transformers serve` that answers."""
    folder = tmp_path_factory.mktemp("transformers")
    pip_target(vllm_python, folder / "packages")
    make_tiny_model(vllm_python, tiny_folder())
    model, port = folder / "model", free_port()
    # One thread: it shares the machine with the run, and threads that wait for each other take many times as long.
    environment = {
        **os.environ, "PYTHONPATH": str(folder / "packages"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "HF_HOME": str(folder / "home"),
    }  # fmt: skip
    save = [str(vllm_python), str(Path(__file__).with_name("save_random_model.py")), str(tiny_folder()), str(model)]
    subprocess.run(save, env=environment, check=True, capture_output=True, timeout=300)
    program = "from transformers.cli.transformers import main; main()"
    command = [str(vllm_python), "-c", program, "serve", str(model), "--port", str(port), "--host", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--device", "cpu"], env=environment, stdout=log, stderr=log)
    try:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + READY_S
        with httpx.Client(trust_env=False, timeout=5) as client:
            while True:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, (folder / "log").read_text()
                try:
                    if client.get(f"{url}/health").status_code == 200:
                        break
                except httpx.HTTPError:
                    time.sleep(0.5)
        yield url, str(model)
    finally:
        server.terminate()
        server.wait(200)


def profiled(folder, served, agent, *options):
    url, model = served
    command = [sys.executable, "-m", "profiler", "run", str(agent), "--backend", "openai", "--base-url", url]
    command += ["--model", model, "--warmup", "0", "--out", "out", *options]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (trace,) = load_run(folder / "out").traces
    return done, trace, [span for span in trace.spans if span.is_call]


def test_the_sample_agent_runs_unchanged_on_it_with_exactly_the_scripted_lengths(served, tmp_path):
    done, trace, calls = profiled(tmp_path, served, ROOT / "agents" / "react.py", "--task", "leave-days")
    assert "it is transformers serve" in done.stderr
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (manifest["engine"]["name"], manifest["engine"]["server"]) == ("transformers", "transformers")
    assert not trace.root.failed
    assert len(calls) == 2
    for call in calls:
        get = call.attributes.get
        assert get(sc.OUTPUT_TOKENS) == get(sc.REQUEST_MAX_TOKENS) > 1
        assert len(get(sc.CHUNK_TIMES_US)) <= get(sc.OUTPUT_TOKENS)  # the early chunk of a role is no token
        assert get(sc.INPUT_TOKENS) > 1000
        assert "generation_config" in get(sc.CALL_ADAPTED)
        assert sc.ENGINE_SOURCE not in call.attributes
    growth = [call.attributes[sc.INPUT_TOKENS] for call in calls]
    assert growth[1] > growth[0]


def test_a_free_run_has_tokens_streamed_and_not(served, tmp_path):
    (tmp_path / "plain.py").write_text(PLAIN, encoding="utf-8")
    _, _, (whole, streamed) = profiled(tmp_path, served, tmp_path / "plain.py", "--input", "What is new?")
    assert [call.attributes[sc.REQUEST_STREAM] for call in (whole, streamed)] == [False, True]
    assert all(1 <= call.attributes[sc.OUTPUT_TOKENS] <= 6 for call in (whole, streamed))
    assert sc.CHUNK_TIMES_US not in whole.attributes
    assert streamed.attributes[sc.RESPONSE_TTFC] > 0
    assert not any(call.attributes.get(sc.CALL_TRUNCATED) for call in (whole, streamed))


def test_conformance_tells_where_it_deviates(served, capsys):
    url, model = served
    code = main(["engine", "conformance", "--base-url", f"{url}/v1", "--model", model, "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    states = {check["check"]: check["state"] for check in document["checks"]}
    assert (code, document["usable"], document["protocol"]) == (0, True, "openai")
    assert document["server"].startswith("transformers serve")
    for name in ("chat", "stream", "spread", "usage", "stream usage", "max_tokens", "request id"):
        assert states[name] == "yes", name
    assert (states["end mark"], states["unasked usage"]) == ("deviates", "deviates")
    assert states["unknown fields"] == "no"
