"""Runs on the embedded engine that take its spans: over both protocols, and with engines that misbehave."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import PLAIN_AGENT, ROOT, Result, start

from profiler.analysis.reconcile import cross_check
from profiler.engines import EngineOptions, SimOptions, open_engine
from profiler.receive.documents import spans_of
from profiler.receive.receiver import SpanReceiver
from profiler.store.reader import load_run

REACT = str(ROOT / "agents" / "react.py")
TASKS = ("--task", "leave-days", "--task", "car-trip")


def finished(bench, *arguments: str) -> Result:
    """A run in a process of its own: this agent leaves its connections open, which here would be a warning."""
    process = start("run", REACT, *arguments, cwd=bench.folder)
    out, err = process.communicate(timeout=300)
    return Result(process.returncode, out, err)


def engine_spans_of(folder: Path) -> list:
    return [span for trace in load_run(folder).traces for span in trace.spans if span.name == "llm_request"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_every_call_is_joined_by_span_and_in_band(bench, monkeypatch, protocol):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol)
    result = finished(bench, *TASKS, "--engine-spans", "on", "--out", "out")
    assert result.code == 0, result.err
    manifest = bench.manifest()
    spans = manifest["engine_spans"]
    assert list(spans["requests"]) == [protocol.partition("/")[0]]
    assert spans["joined"] == spans["kept"] == spans["calls"] == 7
    assert manifest["spans"]["started"] == manifest["spans"]["written"]
    run = load_run(bench.folder / "out")
    assert not run.notes
    found = cross_check(run.traces)
    assert found.calls == found.compared == 7
    assert max(found.most_ns.values()) <= 1_000_000
    assert "from vllm.metrics (5) and vllm.spans (5)" in " ".join(result.out.split())
    assert {span.service for span in engine_spans_of(bench.folder / "out")} == {"vllm"}


def test_a_run_without_the_option_receives_nothing_and_loads_nothing_for_it(bench):
    result = finished(bench, "--task", "leave-days", "--out", "out")
    assert result.code == 0, result.err
    assert bench.manifest()["engine_spans"] is None
    assert "from vllm.metrics\n" in result.out
    program = "import sys, profiler.cli.session; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=300).returncode == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("dialect", "source"),
    [("vllm", "vllm.metrics+vllm.spans"), ("tgi", "vllm.spans")],
    ids=["timing in-band too", "timing in spans alone"],
)
def test_an_attached_engine_sends_to_the_port_that_was_named(bench, tmp_path, dialect, source):
    port = free_port()
    sim = SimOptions(dialect=dialect, otlp_traces_endpoint=f"http://127.0.0.1:{port}/v1/traces")
    options = EngineOptions(backend="sim", sim=sim)
    with open_engine(options, log_path=tmp_path / "engine" / "engine.log", progress=print) as engine:
        result = bench.run(
            "run", bench.agent(PLAIN_AGENT), "--base-url", engine.info.base_url, "--input", "why?",
            "--engine-spans", str(port), "--out", "out", "--no-script",
        )  # fmt: skip
    assert result.code == 0, result.err
    assert f"--otlp-traces-endpoint http://127.0.0.1:{port}/v1/traces" in result.err
    assert bench.manifest()["engine_spans"]["joined"] == 4
    tables = load_run(bench.folder / "out").tables
    assert tables.calls["timing_source"].tolist() == [source] * 4
    assert (tables.chains["decode_ns"] > 0).all()
    assert (tables.chains["unaccounted_ns"] == 0).all()


def test_spans_that_never_come_cost_the_run_a_stated_wait_and_are_told(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("profiler.cli.engine_spans.LAST_SPANS_ATTACHED_S", 0.3)
    options = EngineOptions(backend="sim")
    with open_engine(options, log_path=tmp_path / "engine" / "engine.log", progress=print) as engine:
        result = bench.run(
            "run", bench.agent(PLAIN_AGENT), "--base-url", engine.info.base_url, "--input", "why?",
            "--engine-spans", "on", "--out", "out", "--no-script",
        )  # fmt: skip
    assert result.code == 0, result.err
    assert "waiting up to 0.3 s for the engine's last spans" in result.err
    assert "the engine sent no span for 4 of 4 calls" in result.err
    assert "none came at all" in result.err


def test_what_others_send_meanwhile_is_counted_and_harms_nothing(bench):
    port = free_port()
    agent = f"""
    import os, httpx2, urllib.request, urllib.error

    def spans(body, kind):
        request = urllib.request.Request("http://127.0.0.1:{port}/v1/traces", body, {{"content-type": kind}})
        try:
            urllib.request.urlopen(request, timeout=300).read()
        except urllib.error.HTTPError as error:
            error.close()

    def answer(task):
        messages = [{{"role": "user", "content": task}}]
        body = {{"model": os.environ["OPENAI_MODEL"], "messages": messages, "stream": True}}
        with httpx2.Client(timeout=300) as client:
            client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
        spans(b"garbage", "application/json")
        span = '{{"traceId": "%032x", "spanId": "%016x", "startTimeUnixNano": "1795650000000000000",' % (7, 7)
        span += '"endTimeUnixNano": "9000000000000000000", "name": "other"}}'
        spans(('{{"resourceSpans": [{{"scopeSpans": [{{"spans": [' + span + ']}}]}}]}}').encode(), "application/json")
        return "done"
    """
    result = bench.run(
        "run", bench.agent(agent), "--backend", "sim", "--input", "why?", "--engine-spans", str(port), "--out", "out",
        "--no-script",
    )  # fmt: skip
    assert result.code == 0, result.err
    spans = bench.manifest()["engine_spans"]
    assert (spans["joined"], spans["kept"], spans["other"], spans["refused"]) == (2, 2, 2, {"not OTLP": 2})
    assert "2 spans of the engine are of other traces: not kept" in result.err
    assert not load_run(bench.folder / "out").notes


def test_a_run_that_is_read_without_its_last_line_still_has_its_chains(bench):
    result = finished(bench, "--task", "leave-days", "--engine-spans", "on", "--out", "out")
    assert result.code == 0, result.err
    path = bench.folder / "out" / "spans.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    kinds = ["llm_request" in json.dumps(json.loads(line)) and "invoke_agent" not in line.decode() for line in lines]
    assert kinds[0] is False, "a chain's own spans stand before what its engine sent"
    for count in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        run = load_run(bench.folder / "out")
        assert len(run.tables.chains) == sum(not kind for kind in kinds[:count])
        assert run.tables.calls["timing_source"].str.startswith("vllm.metrics").all()


def test_a_wrong_value_is_refused_before_anything_is_made(bench):
    result = bench.run("run", REACT, "--engine-spans", "always", "--out", "out")
    assert result.code == 2
    assert "--engine-spans 'always' is neither auto, on, off nor a port" in result.err
    assert not (bench.folder / "out").exists()


def test_a_live_export_gets_each_chain_in_one_piece_with_the_engines_spans(bench):
    with SpanReceiver() as collector:  # a collector as good as any: it reads OTLP with the official messages
        received = []
        take = collector._intake.take
        collector._http._take = lambda request, protocol: received.append(request) or take(request, protocol)
        address = f"http://127.0.0.1:{collector.port}"
        result = finished(bench, *TASKS, "--engine-spans", "on", "--otlp-endpoint", address, "--out", "out")
    assert result.code == 0, result.err
    manifest = bench.manifest()
    own, of_engine = manifest["spans"]["written"], manifest["engine_spans"]["kept"]
    assert (manifest["export"]["sent"], manifest["export"]["not_sent"]) == (own + of_engine, 0)
    assert of_engine == 7
    pieces = []
    for request in received:
        spans = [span for span, _, _ in spans_of(request)]
        pieces.append((len({span.trace_id for span in spans}), sum(span.name == "llm_request" for span in spans)))
    chains = [piece for piece in pieces if piece[0]]
    assert sorted(chains) == [(1, 2), (1, 2), (1, 3)], "each chain came once, with a request for each of its calls"
