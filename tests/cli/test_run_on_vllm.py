"""The main job on the real engine: provisioned, started, measured, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
from cli_helpers import ROOT, Result, start

from profiler import semconv as sc
from profiler.analysis import critical_path, phases
from profiler.analysis.reconcile import cross_check
from profiler.store.reader import load_run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

REACT = str(ROOT / "agents" / "react.py")
TEN_LINES = """
import os
import openai

client = openai.OpenAI()

def answer(task):
    said = []
    for question in ("Plan: ", "Answer: "):
        reply = client.chat.completions.create(
            model=os.environ["OPENAI_MODEL"], max_tokens=12,
            messages=[{"role": "user", "content": question + task}])
        said.append(reply.choices[0].message.content)
    return said[-1]
"""


def engines_running() -> set[int]:
    """Process ids of anything that looks like an engine or its supervisor."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if "vllm.entrypoints" in line or "supervise" in line or "VLLM::" in line:
            found.add(process.pid)
    return found


def finished(bench, *arguments: str) -> Result:
    """A run in a process of its own: agents seldom close their connections, and here that would be a warning."""
    process = start("run", *arguments, cwd=bench.folder)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    return Result(process.returncode, out, err)


def gone(pids: set[int], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not pids & engines_running():
            return True
        time.sleep(0.2)
    return False


def check_run(folder: Path) -> dict:
    """What every run promises, whatever was run."""
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    run = load_run(folder)
    assert not run.notes
    assert manifest["spans"]["started"] == manifest["spans"]["written"]
    of_engine = (manifest["engine_spans"] or {}).get("kept", 0)
    assert manifest["spans"]["written"] + of_engine == sum(len(trace.spans) for trace in run.traces)
    for trace in run.traces:
        sections = critical_path.critical_path(trace)
        critical_path.check(trace, sections)
        phases.check(trace, phases.classify(trace, sections))
    return manifest


@pytest.fixture
def managed(vllm_python, bench):
    """A command line that starts an engine of its own, with the vLLM that the tests use."""

    def run(*arguments: str):
        before = engines_running()
        process = start("run", *arguments, "--backend", "vllm", "--vllm-python", str(vllm_python), cwd=bench.folder)
        return process, before

    return run


def test_a_run_starts_measures_and_stops_the_engine(managed, bench):
    process, before = managed(REACT, "--task", "leave-days", "--task", "backfill-duration", "--out", "out")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert gone(engines_running() - before)
    manifest = check_run(bench.folder / "out")
    assert manifest["engine"]["managed"] is True
    assert manifest["engine"]["random_weights"] is True
    assert "engine timing for 6 of 6 calls (100%) from vllm.metrics (6) and vllm.spans (6)" in out
    assert "its timing is real, its text is not" in out
    sampled = manifest["engine_metrics"]
    assert (sampled["source"], sampled["failed"], sampled["error"]) == ("vllm", 0, None)
    header = json.loads((bench.folder / "out" / "engine-metrics.jsonl").read_text().splitlines()[0])
    assert set(header["names"]) == {"running", "waiting", "kv_cache_usage", "preemptions"}
    running = load_run(bench.folder / "out").tables.calls["engine_running"]
    assert running.notna().any()
    seen_running = running.max() > 0  # samples fall between calls, too, and then there is nothing to tell
    assert ("by its own metrics, at" in " ".join(out.split())) == seen_running
    port = int(manifest["engine"]["base_url"].rsplit(":", 1)[1].split("/")[0])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the port is free again"
    chain = load_run(bench.folder / "out").traces[-1]
    calls = [span for span in chain.spans if span.is_call]
    script = json.loads((ROOT / "agents" / "react.script.json").read_text())["tasks"]["backfill-duration"]["calls"]
    assert [span.attributes[sc.OUTPUT_TOKENS] for span in calls] == [call["output_tokens"] for call in script]
    assert all(sc.CHUNK_TIMES_US in span.attributes for span in calls)
    assert calls[-1].attributes[sc.CACHED_TOKENS] > 0, "the chain finds its own history in the prefix cache"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_every_call_is_joined_by_span_and_in_band_and_the_two_agree(managed, bench, monkeypatch, protocol):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol)
    process, _ = managed(REACT, "--task", "leave-days", "--task", "car-trip", "--out", "out")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    manifest = check_run(bench.folder / "out")
    spans = manifest["engine_spans"]
    assert list(spans["requests"]) == [protocol.partition("/")[0]]
    assert (spans["kept"], spans["joined"]) == (spans["calls"], spans["calls"])
    assert not (spans["other"], spans["malformed"], spans["dropped"]) > (0, 0, 0)
    assert spans["refused"] == {}
    names = {part["name"] for part in manifest["loading"]}
    assert {"Worker init", "Load model"} <= names, names
    found = cross_check(load_run(bench.folder / "out").traces)
    assert found.calls == found.compared == spans["calls"]
    assert found.by_source == {"vllm.metrics": found.calls, "vllm.spans": found.calls}
    assert set(found.most_ns) == {"queue", "decode"}
    assert max(found.most_ns.values()) <= 1_000_000
    assert "which agree within 1 ms" in " ".join(out.split())


CHAIN = b'"name":"invoke_agent'  # one for each chain; lines are of the engine's spans, too


def test_an_engine_that_dies_in_mid_run_is_told_and_the_chains_are_kept(managed, bench):
    process, before = managed(REACT, "--task", "leave-days", "--repeat", "1000", "--out", "out")
    spans = bench.folder / "out" / "spans.jsonl"
    deadline = time.monotonic() + 300
    while not spans.exists() or spans.read_bytes().count(CHAIN) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    for pid in engines_running() - before:
        line = " ".join(psutil.Process(pid).cmdline())
        if "vllm.entrypoints" in line and "supervise" not in line:
            os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 4, err
    assert "SIGKILL" in err
    assert "ended well" in out
    assert check_run(bench.folder / "out")["status"] == "failed"
    assert gone(engines_running() - before)


def test_a_profiler_that_is_killed_leaves_no_engine(managed, bench):
    process, before = managed(REACT, "--task", "leave-days", "--repeat", "1000", "--out", "out")
    spans = bench.folder / "out" / "spans.jsonl"
    deadline = time.monotonic() + 300
    while not spans.exists() or spans.read_bytes().count(CHAIN) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    started = engines_running() - before
    assert started
    process.kill()
    process.communicate(timeout=300)
    assert gone(started)
    assert len(load_run(bench.folder / "out").traces) >= 2


def test_chains_at_once_plain_clients_and_free_runs(vllm_engine, bench):
    url = vllm_engine.info.base_url
    tasks = ["--task", "leave-days", "--task", "pension-plan", "--task", "shipment-weights", "--task", "car-trip"]
    together = finished(bench, REACT, "--base-url", url, *tasks, "--concurrency", "4", "--out", "together")
    assert together.code == 0, together.err
    check_run(bench.folder / "together")
    grown = {
        trace.root.attributes[sc.TASK_ID]: max(sizes) - min(sizes)
        for trace in load_run(bench.folder / "together").traces
        if (sizes := [span.attributes[sc.INPUT_TOKENS] for span in trace.spans if span.is_call])
    }
    assert grown["pension-plan"] > 1000, "a long observation makes the next prompts long"
    assert grown["car-trip"] > 1000

    plain = finished(bench, bench.agent(TEN_LINES), "--base-url", url, "--input", "why?", "--out", "plain")
    assert plain.code == 0, plain.err
    check_run(bench.folder / "plain")
    assert "engine timing for 2 of 2 calls" in plain.out

    free = finished(bench, REACT, "--base-url", url, *tasks, "--no-script", "--out", "free")
    assert free.code in (0, 3), free.err
    check_run(bench.folder / "free")


def test_a_recorded_script_replays_the_same_calls_tools_and_lengths(vllm_engine, bench):
    url = vllm_engine.info.base_url
    tasks = ["--task", "leave-days", "--task", "car-trip"]
    first = finished(bench, REACT, "--base-url", url, *tasks, "--record-script", "said.json", "--out", "one")
    assert first.code == 0, first.err
    second = finished(bench, REACT, "--base-url", url, *tasks, "--script", "said.json", "--out", "two")
    assert second.code == 0, second.err
    assert shape(bench.folder / "one") == shape(bench.folder / "two")


def shape(folder: Path) -> list[list[tuple[object, ...]]]:
    """Per chain: each call's place and output tokens, each tool's name, in order."""
    chains = []
    for trace in load_run(folder).traces:
        get = [(span, span.attributes) for span in trace.spans]
        chains.append(
            [
                (span.name, has.get(sc.CALL_PLACE), has.get(sc.OUTPUT_TOKENS), has.get(sc.TOOL_NAME))
                for span, has in get
                if span.is_call or span.is_tool
            ]
        )
    return chains
