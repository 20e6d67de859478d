"""The embedded engine as a process: started, watched, stopped; and `profiler engine serve sim`."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from profiler.engines import EngineOptions, SimOptions, open_engine
from profiler.engines.simulated import build_command, simulated_model
from profiler.errors import EngineDied, EngineUnavailable, UsageError
from profiler.truth import OK, TRUTH_FILE, read_truth

ROOT = Path(__file__).parents[2]
LIMIT_S = 200


def opened(folder, sim=None, **options):
    sim = sim or SimOptions(profile="fast")
    return open_engine(
        EngineOptions(backend="sim", sim=sim, **options), log_path=folder / "engine.log", progress=lambda _: None
    )


def ask(base_url, **fields):
    body = {"messages": [{"role": "user", "content": "Hello"}], **fields.pop("body", {})}
    return httpx.post(f"{base_url}/chat/completions", json=body, timeout=LIMIT_S, trust_env=False, **fields)


def test_it_answers_says_that_it_is_simulated_and_is_gone_afterwards(tmp_path):
    truth = tmp_path / "new" / "truth.jsonl"
    with opened(tmp_path, SimOptions(profile="fast", truth=truth)) as engine:
        info, pid = engine.info, engine.pid
        assert ask(info.base_url).json()["model"] == info.model == "fast"
        engine.check()
    assert (info.name, info.simulated, info.managed, info.in_band_metrics) == ("sim", True, True, True)
    assert info.device == "nearly no time at all"
    assert [each.outcome for each in read_truth(truth)] == [OK]
    assert not psutil.pid_exists(pid)
    log = (tmp_path / "engine.log").read_text()
    assert "Traceback" not in log
    assert "serving fast on http://127.0.0.1:" in log


def test_what_is_done_meanwhile_finds_the_engine_starting_and_ends_it_by_failing(tmp_path):
    seen = []
    log = tmp_path / "l"

    def fail():  # the supervisor has the log's name; there are engines that fixtures of other tests hold
        for child in psutil.Process().children():
            if str(log) in child.cmdline():
                seen.extend([child, *child.children(recursive=True)])
        raise ValueError("a typo")

    options = EngineOptions(backend="sim", sim=SimOptions(profile="fast"))
    with (
        pytest.raises(ValueError, match="a typo"),
        open_engine(options, log_path=log, progress=lambda _: None, meanwhile=fail),
    ):
        pytest.fail("it never opens")
    assert seen
    assert not psutil.wait_procs(seen, LIMIT_S)[1]  # a child of the engine's own is reaped by init, when it gets to it


def test_an_engine_that_was_let_go_ends_by_itself(tmp_path):
    with opened(tmp_path) as engine:
        engine.release()
        assert not psutil.wait_procs([psutil.Process(engine.pid)] if psutil.pid_exists(engine.pid) else [], LIMIT_S)[1]


def test_a_killed_engine_is_told_and_leaves_whole_lines(tmp_path):
    truth = tmp_path / "truth.jsonl"
    with opened(tmp_path, SimOptions(profile="fast", truth=truth)) as engine:
        for _ in range(3):
            assert ask(engine.info.base_url).status_code == 200
        os.kill(engine.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(engine.pid)] if psutil.pid_exists(engine.pid) else [], LIMIT_S)
        with pytest.raises(EngineDied, match="SIGKILL"):
            wait_for(engine.check)
    assert len(read_truth(truth)) == 3
    assert truth.read_bytes().endswith(b"\n")


def wait_for(check):
    for _ in range(LIMIT_S * 100):
        check()
        threading.Event().wait(0.01)


def test_traits_faults_dialect_and_seed_reach_it(tmp_path):
    sim = SimOptions(profile="fast", dialect="tgi", traits=("crlf",), faults=("error-500",))
    with opened(tmp_path, sim, model="mine", seed=3) as engine:
        base_url = engine.info.base_url
        assert not engine.info.in_band_metrics
        assert httpx.get(base_url.removesuffix("/v1") + "/info", trust_env=False).json()["model_id"] == "mine"
        assert ask(base_url).status_code == 500
        slow = ask(base_url, body={"stream": True}, headers={"x-sim-fault": "slow-headers"})
        assert slow.content.endswith(b"\r\n\r\n")


def test_the_key_is_its_own_and_not_one_that_happens_to_be_set(tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILER_SIM_API_KEY", "of somebody else")
    with opened(tmp_path) as engine:
        assert ask(engine.info.base_url).status_code == 200
    with opened(tmp_path, api_key="right") as engine:
        assert ask(engine.info.base_url).status_code == 401
        assert ask(engine.info.base_url, headers={"Authorization": "Bearer right"}).status_code == 200
        assert "right" not in " ".join(engine.info.command)


def test_a_profile_of_ones_own_is_found_from_any_folder(tmp_path, monkeypatch):
    shipped = ROOT / "profiler" / "engines" / "sim" / "profiles" / "fast.toml"
    (tmp_path / "mine").mkdir()
    for name in ("mine/own.toml", "mine/own"):
        (tmp_path / name).write_bytes(shipped.read_bytes())
    monkeypatch.chdir(tmp_path)
    for name in ("mine/own.toml", "mine/own"):
        options = EngineOptions(backend="sim", sim=SimOptions(profile=name))
        command = build_command(options, port=1, model=simulated_model(options), dialect="vllm")
        assert command[command.index("--profile") + 1] == str(tmp_path / name)
        assert simulated_model(options) == "own"
    with opened(tmp_path / "logs", SimOptions(profile="mine/own.toml")) as engine:
        assert ask(engine.info.base_url).status_code == 200


@pytest.mark.parametrize(
    ("sim", "what"),
    [(SimOptions(profile="nonsense"), "nonsense"), (SimOptions(profile="no/such.toml"), "such.toml"),
     (SimOptions(traits=("nonsense",)), "nonsense"), (SimOptions(faults=("nonsense=0.1",)), "nonsense"),
     (SimOptions(truth=Path("/dev/null/truth.jsonl")), "ground truth")],
)  # fmt: skip
def test_what_is_wrong_is_told_before_anything_is_started(tmp_path, sim, what):
    with pytest.raises(UsageError, match=what), opened(tmp_path, sim):
        pass
    assert not (tmp_path / "engine.log").exists()


def test_a_taken_port_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineUnavailable, match=str(port)), opened(tmp_path, port=port):
            pass


def test_the_process_itself_tells_a_taken_port_without_a_traceback():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for each in (port, 70_000):
            command = [sys.executable, "-P", "-m", "profiler.engines.sim", "--port", str(each)]
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=LIMIT_S
            )
            assert done.returncode == 4
            assert str(each) in done.stderr
            assert "Traceback" not in done.stderr


# --- profiler engine serve sim ------------------------------------------------------------------------------


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def serve(*arguments, **more):
    """The command, with the first line of its output."""
    command = [sys.executable, "-m", "profiler", "engine", "serve", "sim", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**more), cwd=ROOT
    )
    try:
        lines = queue.SimpleQueue()
        reader = threading.Thread(target=lambda: lines.put(process.stdout.readline()))
        reader.start()
        yield process, lines.get(timeout=LIMIT_S).strip()
        reader.join(LIMIT_S)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_the_address_serves_until_it_is_ended_and_leaves_nothing(tmp_path, number):
    truth = tmp_path / "truth.jsonl"
    with serve("--sim-profile", "fast", "--truth", str(truth), TMPDIR=str(tmp_path)) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert address.endswith("/v1")
        children = psutil.Process(process.pid).children(recursive=True)
        assert ask(address).status_code == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT_S)
    assert (out, process.returncode) == ("", 0)
    assert "Traceback" not in err
    assert "simulated" in err
    gone, alive = psutil.wait_procs(children, LIMIT_S)
    assert not alive
    assert len(gone) == len(children) >= 2
    assert len(read_truth(truth)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["truth.jsonl"]


def test_serve_put_in_the_background_by_a_script_is_ended_by_an_interrupt():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as such a shell does, and children inherit
    try:
        with serve("--sim-profile", "fast") as (process, address):
            assert address
            process.send_signal(signal.SIGINT)
            process.wait(LIMIT_S)
            assert process.returncode == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_serve_asks_for_the_key_that_is_set(tmp_path):
    more = {"PROFILER_SIM_API_KEY": "right", "TMPDIR": str(tmp_path)}
    with serve("--sim-profile", "fast", **more) as (_, address):
        assert ask(address).status_code == 401
        assert ask(address, headers={"Authorization": "Bearer right"}).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [["sim", "--sim-profile", "nonsense"], ["sim", "--sim-trait", "nonsense"], ["sim", "--sim-fault", "any=2"],
     ["sim", "--no-provision"], ["sim", "--otlp-traces-endpoint", "nonsense"], ["vllm", "--truth", "x.jsonl"],
     ["sim", "--port", "70000"]],
)  # fmt: skip
def test_serve_refuses_what_makes_no_sense_with_a_remedy(arguments, capsys, monkeypatch, tmp_path):
    from profiler.cli import main

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["engine", "serve", *arguments]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert len(seen.err.strip().splitlines()) >= 2
    assert list(tmp_path.iterdir()) == []


# --- profiler run ---------------------------------------------------------------------------------------------

AGENT = """
import os, httpx2
def answer(task):
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}], "stream": True}
    with httpx2.Client(timeout=300, trust_env=False) as client:
        client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
"""


def test_a_run_without_an_engine_takes_the_embedded_one_and_says_so(tmp_path):
    (tmp_path / "agent.py").write_text(AGENT)
    env = {name: value for name, value in environment().items() if not name.startswith(("OPENAI_", "OTEL_"))}
    command = [sys.executable, "-m", "profiler", "run", "agent.py", "--input", "Hello", "--out", "out"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert "embedded" in done.stderr
    assert "simulated" in done.stdout + done.stderr
    assert [truth.outcome for truth in read_truth(tmp_path / "out" / TRUTH_FILE)] == [OK, OK]
