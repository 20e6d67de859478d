"""Whatever an engine does wrong, no run crashes or hangs, and every call and chain is accounted for."""

from __future__ import annotations

from collections import Counter

from cli_helpers import start

from profiler import semconv as sc
from profiler.analysis.reconcile import reconcile
from profiler.analysis.tables import build_tables
from profiler.engines.sim.faults import FAULTS, SLOW_HEADERS
from profiler.store.reader import load_run
from profiler.truth import TRUTH_FILE, read_truth

PATIENT_AGENT = """
import os, openai
client = openai.AsyncOpenAI(max_retries=2, timeout=PATIENCE)
async def answer(task):
    for number in range(3):
        messages = [{"role": "user", "content": f"{task} {number}"}]
        said = await client.chat.completions.create(
            model=os.environ["OPENAI_MODEL"], messages=messages, max_tokens=8, stream=number != 1
        )
        if number != 1:
            async for _ in said:
                pass
    return "done"
"""


def run_with(bench, *options: str, chains: int = 48, patience_s: int = 200):
    inputs = [word for number in range(chains) for word in ("--input", f"question {number}")]
    agent = bench.agent(PATIENT_AGENT.replace("PATIENCE", str(patience_s)))
    process = start(  # of its own: the agent leaves its client open
        "run", agent, "--backend", "sim", "--sim-profile", "fast", *options, *inputs,
        "--concurrency", "16", "--warmup", "0", "--timeout", str(10 * patience_s), "--out", "out", cwd=bench.folder,
    )  # fmt: skip
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_every_call_and_chain_is_accounted_for_whatever_goes_wrong(bench):
    chains = 80
    run_with(bench, "--sim-fault", "any=0.4", chains=chains, patience_s=2)
    run = load_run(bench.folder / "out")
    manifest = bench.manifest()
    assert len(run.traces) == manifest["chains"]["finished"] == chains
    assert manifest["spans"]["started"] == manifest["spans"]["written"] == sum(len(trace.spans) for trace in run.traces)
    assert len(manifest["failures"]) == sum(trace.root.failed for trace in run.traces)
    truths = read_truth(bench.folder / "out" / TRUTH_FILE)
    joined = reconcile(run.tables.calls, truths)
    assert joined.requests == joined.recorded
    assert (joined.unseen_failures, joined.lost) == (0, 0)
    for trace in run.traces:
        for span in trace.spans:
            assert not (span.is_call and span.failed) or span.attributes[sc.ERROR_TYPE]
    assert {truth.fault for truth in truths} == {None, *FAULTS}


def test_a_slow_answer_is_no_failure(bench):
    run_with(bench, "--sim-fault", f"{SLOW_HEADERS}=0.2", chains=8)
    assert not any(span.failed for trace in load_run(bench.folder / "out").traces for span in trace.spans)


def test_retries_of_the_agents_client_are_attempts_with_the_time_they_cost(bench):
    run_with(bench, "--sim-fault", "unavailable=0.3", chains=16)
    run = load_run(bench.folder / "out")
    tables = build_tables(run.traces)
    attempts = Counter(int(attempt) for attempt in tables.calls["attempt"])
    assert attempts[2] > 0
    retried = tables.chains[(tables.chains["failed_calls"] > 0) & ~tables.chains["failed"]]
    assert len(retried) > 0
    assert (retried["retry_ns"] > 0).all()
    assert (tables.chains[tables.chains["failed_calls"] == 0]["retry_ns"] == 0).all()
