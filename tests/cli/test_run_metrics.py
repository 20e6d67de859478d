"""Metrics of whole runs on the embedded engine: scraped while they run, sent to a collector, the engine's kept."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from cli_helpers import ROOT, start, wait_for_lines
from prometheus_client.parser import text_string_to_metric_families

import profiler

sys.path.append(str(Path(__file__).parents[1] / "metrics"))
from metric_collectors import http_collector, points

REACT = str(ROOT / "agents" / "react.py")
ENDLESS = ("--task", "lost-laptop", "--repeat", "10000")
TWO = ("--task", "lost-laptop", "--task", "june-migration-review")


def run_react(folder, *arguments):
    """The sample agent in a process of its own: it leaves its clients open."""
    process = start("run", REACT, "--out", "out", *arguments, cwd=folder)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return err


def manifest(folder):
    return json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))


def wait_for(stream, pattern):
    for line in stream:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"never said {pattern}")


def values(page):
    """Name -> sum over all labels."""
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def total(requests, name, what):
    return sum(getattr(point, what) for point in points(requests[-1])[name])


def test_a_run_can_be_scraped_while_it_goes_on(tmp_path):
    process = start("run", REACT, *ENDLESS, "--prometheus", "0", "--out", "out", cwd=tmp_path)
    try:
        url = wait_for(process.stderr, r"to scrape, while the run goes on: (\S+)")[1]
        seen = [{"gen_ai_invoke_agent_duration_seconds_count": 0}]
        while len(seen) < 3:
            with urllib.request.urlopen(url, timeout=300) as response:
                found = values(response.read().decode())
            count = found.get("gen_ai_invoke_agent_duration_seconds_count", 0)
            if count > seen[-1]["gen_ai_invoke_agent_duration_seconds_count"]:
                seen.append(found)
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate(timeout=300)
    last = seen[-1]
    assert last["gen_ai_client_operation_duration_seconds_count"] >= last["gen_ai_invoke_agent_duration_seconds_count"]
    assert last["profiler_client_time_per_output_token_seconds_sum"] > 0
    assert last["gen_ai_client_operation_time_per_output_chunk_seconds_count"] > last["gen_ai_client_token_usage_count"]


def test_what_a_collector_is_told_is_what_the_spans_say(tmp_path):
    with http_collector() as (endpoint, requests, paths):
        err = run_react(tmp_path, *TWO, "--repeat", "2", "--otlp-endpoint", endpoint)
    run = profiler.load(tmp_path / "out")
    chains, calls = run.chains[~run.chains["warmup"]], run.calls[~run.calls["warmup"]]
    assert total(requests, "gen_ai.invoke_agent.duration", "count") == len(chains) == 4
    assert total(requests, "gen_ai.invoke_agent.duration", "sum") == pytest.approx(chains["e2e_ns"].sum() / 1e9)
    assert total(requests, "gen_ai.invoke_agent.inference_calls", "sum") == len(calls)
    assert total(requests, "gen_ai.invoke_agent.tool_calls", "sum") == len(run.tools[~run.tools["warmup"]])
    assert total(requests, "gen_ai.client.operation.duration", "sum") == pytest.approx(calls["call_e2e_ns"].sum() / 1e9)
    assert total(requests, "gen_ai.client.operation.time_to_first_chunk", "sum") == pytest.approx(
        calls["ttft_ns"].sum() / 1e9, abs=1e-5 * len(calls)
    )
    assert total(requests, "gen_ai.client.operation.time_per_output_chunk", "count") == (calls["chunks"] - 1).sum()
    assert total(requests, "profiler.client.time_per_output_token", "sum") == pytest.approx(
        calls["tpot_ns"].sum() / 1e9
    )
    tokens = calls["input_tokens"].sum() + calls["output_tokens"].sum()
    assert total(requests, "gen_ai.client.token.usage", "sum") == tokens
    engine = calls[["queue_ns", "prefill_ns", "decode_ns"]].sum().sum()
    assert total(requests, "profiler.engine.phase.duration", "sum") == pytest.approx(engine / 1e9)
    assert set(paths) == {"/v1/traces", "/v1/metrics"}
    assert "measurements sent to" in err
    assert manifest(tmp_path)["metrics_export"]["not_sent"] == 0
    assert manifest(tmp_path)["export"]["not_sent"] == 0


def test_a_collector_of_spans_alone_is_told_in_one_line_and_the_run_is_whole(tmp_path):
    with http_collector(statuses=[404] * 999) as (endpoint, _, paths):
        err = run_react(tmp_path, *TWO, "--otlp-endpoint", endpoint)
    assert paths.count("/v1/metrics") == 1
    assert "takes no metrics: its answer was 404" in err
    assert manifest(tmp_path)["spans"]["written"] == manifest(tmp_path)["spans"]["started"]


def test_a_port_that_is_taken_is_told_before_anything_starts(bench):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = bench.run("run", REACT, "--prometheus", str(port), "--out", "out")
    assert result.code == 2
    assert f"--prometheus {port}: 127.0.0.1:{port} cannot be listened on" in result.err
    assert not (bench.folder / "out").exists()


def test_calls_know_how_busy_the_engine_was(tmp_path):
    run_react(tmp_path, *TWO, "--concurrency", "2", "--repeat", "3", "--sim-profile", "gpu-8b-vllm",
              "--engine-metrics", "0.05")  # fmt: skip
    told = manifest(tmp_path)["engine_metrics"]
    assert (told["source"], told["failed"], told["error"]) == ("vllm", 0, None)
    lines = (tmp_path / "out" / "engine-metrics.jsonl").read_text().splitlines()
    assert told["samples"] == len(lines) - 1 > 2
    calls = profiler.load(tmp_path / "out").calls
    sampled = calls[calls["engine_running"].notna()]
    assert len(sampled) > len(calls) / 2
    assert 1 <= sampled["engine_running"].max() <= 2, "no more than there are chains at once"
    assert (calls["engine_preemptions"].dropna() == 0).all()
    assert calls["engine_kv_cache_usage"].dropna().between(0, 1).all()


def test_a_killed_run_keeps_the_samples_that_it_had(tmp_path):
    process = start("run", REACT, *ENDLESS, "--engine-metrics", "0.05", "--out", "out", cwd=tmp_path)
    path = tmp_path / "out" / "engine-metrics.jsonl"
    try:
        wait_for_lines(path, 4, seconds=200)
        wait_for_lines(tmp_path / "out" / "spans.jsonl", 1, seconds=200)
    finally:
        process.kill()
        process.communicate(timeout=300)
    assert len(json.loads(path.read_text().splitlines()[3])) == 6
    assert "engine_running" in profiler.load(tmp_path / "out").calls


def test_a_run_without_metrics_asks_nobody_and_imports_nothing_for_them(tmp_path):
    code = (
        "import sys; from profiler.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'prometheus_client', 'opentelemetry.sdk.metrics', 'profiler.metrics.figures'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy or code else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", REACT, *TWO, "--engine-metrics", "0", "--out", str(tmp_path / "out")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out" / "engine-metrics.jsonl").exists()
    assert manifest(tmp_path)["engine_metrics"] is None
