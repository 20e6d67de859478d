"""Export to a backend of OTLP that nobody here wrote, and import what it gives back: the same figures.

MLflow's server takes OTLP over HTTP, keeps nanoseconds, and is in the package registry. It is installed on first use
into an environment of its own, as the benchmarks' peers are.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))

from environments import NotInstalled, clean_environment, peer_python  # noqa: E402

from profiler.cli import main  # noqa: E402
from profiler.store.reader import load_run  # noqa: E402

ROOT = Path(__file__).parents[2]
TABLES = ("chains", "calls", "steps", "tools", "gaps", "repairs")
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("engine")]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    """The address of a server."""
    try:
        python = peer_python("mlflow")
    except NotInstalled as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"NO BACKEND, its tests are skipped: {error}")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/store.db", "--default-artifact-root", str(folder / "files")]
    environment = clean_environment(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/health", server, folder / "log")
        yield address
    finally:
        os.killpg(server.pid, 15)
        try:
            server.wait(200)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def wait_for(url, server, log):
    until = time.monotonic() + 300
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server was not ready: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of the sample agent on the embedded engine."""
    folder = tmp_path_factory.mktemp("recorded") / "run"
    tasks = ["leave-days", "lost-laptop", "mast-in-feet"]
    command = [sys.executable, "-m", "profiler", "run", "agents/react.py", "--backend", "sim", "--out", str(folder)]
    command += [word for task in tasks for word in ("--task", task)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (folder / "engine-metrics.jsonl").unlink(missing_ok=True)  # beside the spans, not in them
    return folder


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_what_a_backend_of_others_gives_back_has_the_same_figures(mlflow, recorded, protocol, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-mlflow-experiment-id={experiment(mlflow, protocol)}")
    assert main(["export", str(recorded), "--to", mlflow, "--protocol", protocol]) == 0
    run = load_run(recorded, use_cache=False)
    saved = tmp_path / "traces.jsonl"
    with saved.open("wb") as file:
        for trace_id in run.tables.chains["trace_id"]:
            with urllib.request.urlopen(
                f"{mlflow}/api/3.0/mlflow/traces/get?trace_id=tr-{trace_id}", timeout=300
            ) as got:
                file.write(got.read().replace(b"\n", b" ") + b"\n")
    assert main(["import", str(saved), "--out", str(tmp_path / "imported")]) == 0
    back = load_run(tmp_path / "imported", use_cache=False)
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(run.tables, table), getattr(back.tables, table), check_exact=True)
    assert back.manifest.spans.written == run.manifest.spans.written


def experiment(address, name):
    """The id of a new one: what is sent goes into one of its own."""
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/experiments/create",
        data=json.dumps({"name": name}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)["experiment_id"]
