"""A run on the real vLLM, with its own spans: Jaeger's rule agrees with the profiler, and it comes back the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.append(str(HERE))

from jaeger_rule import path_times  # noqa: E402

from profiler.cli import main  # noqa: E402
from profiler.store.reader import load_run  # noqa: E402

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("engine")]


@pytest.fixture(scope="module")
def recorded(vllm_python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm") / "run"
    command = [sys.executable, "-m", "profiler", "run", "agents/react.py", "--backend", "vllm", "--out", str(folder)]
    command += [
        "--vllm-python",
        str(vllm_python),
        "--task",
        "leave-days",
        "--task",
        "lost-laptop",
        "--concurrency",
        "2",
    ]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder / "engine-metrics.jsonl").unlink(missing_ok=True)  # beside the spans, not in them
    return folder


def test_jaegers_rule_attributes_to_queue_prefill_and_decode_what_the_profiler_attributes(recorded, tmp_path):
    assert main(["export", str(recorded), "--format", "jaeger-json", "-o", str(tmp_path / "file.json")]) == 0
    exported = json.loads((tmp_path / "file.json").read_text(encoding="utf-8"))
    spent: dict[str, int] = {}
    for trace in exported["data"]:
        for name, microseconds in path_times(trace).items():
            spent[name] = spent.get(name, 0) + microseconds
    chains = load_run(recorded).tables.chains
    ours = {phase: chains[f"{phase}_ns"].sum() / 1000 for phase in ("queue", "prefill", "decode")}
    print("Jaeger's rule, µs:", {phase: spent.get(phase, 0) for phase in ours}, "the profiler:", ours)
    assert min(ours["prefill"], ours["decode"]) > 0
    rounded = 2 * int(chains["calls"].sum())  # whole microseconds, and the gap
    for phase, expected in ours.items():
        assert spent.get(phase, 0) == pytest.approx(expected, rel=0.01, abs=rounded), phase
    names = {span["operationName"] for trace in exported["data"] for span in trace["spans"]}
    assert "llm_request" in names, "vLLM's own spans are there"


def test_it_comes_back_the_same(recorded, tmp_path):
    assert main(["export", str(recorded), "--format", "otlp", "-o", str(tmp_path / "file.jsonl")]) == 0
    assert main(["import", str(tmp_path / "file.jsonl"), "--out", str(tmp_path / "back")]) == 0
    run, back = load_run(recorded), load_run(tmp_path / "back")
    for table in ("chains", "calls", "steps", "tools", "gaps"):
        pd.testing.assert_frame_equal(getattr(run.tables, table), getattr(back.tables, table), check_exact=True)
