"""The supervisor, with real processes. Each program reports its process ids in a file; nothing may be left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from profiler.engines.process import SUPERVISOR, SupervisedProcess
from profiler.errors import EngineUnavailable

LIMIT_S = 200


def until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {LIMIT_S} s"
        time.sleep(0.02)
    return value


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def run(tmp_path):
    """Start a program under the supervisor; it may write its pids into the file named by its first argument."""
    started = []

    def start(source, grace_s=5.0, scratch=None):
        program = tmp_path / "program.py"
        program.write_text("import os, signal, subprocess, sys, time\n" + textwrap.dedent(source))
        process = SupervisedProcess(
            [sys.executable, str(program), str(tmp_path / "pids")],
            env=dict(os.environ),
            cwd=tmp_path,
            log_path=tmp_path / "log",
            grace_s=grace_s,
            scratch=scratch,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


def pids(tmp_path, count):
    def read():
        path = tmp_path / "pids"
        found = path.read_text().split() if path.exists() else []
        return [int(each) for each in found] if len(found) == count else None

    return until(read, f"{count} processes")


NOTE = "open(sys.argv[1], 'a').write(f'{os.getpid()} ')\n"


def test_a_program_that_ends_tells_its_exit_code(run):
    process = run("sys.exit(3)")
    assert until(process.death, "the end") == "exited with code 3"
    assert process.exit_code == 3


def test_a_program_killed_by_a_signal_tells_its_name(run):
    process = run("os.kill(os.getpid(), signal.SIGKILL)")
    assert until(process.death, "the end") == "died of SIGKILL"


def test_what_a_program_prints_is_in_the_log(run, tmp_path):
    process = run("print('to stdout', flush=True); print('to stderr', file=sys.stderr)")
    until(process.death, "the end")
    assert (tmp_path / "log").read_text().splitlines() == ["to stdout", "to stderr"]


def test_a_program_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(EngineUnavailable, match="no-such-program"):
        SupervisedProcess([str(tmp_path / "no-such-program")], env={}, cwd=tmp_path, log_path=tmp_path / "log")


def test_stopping_ends_a_program_that_runs(run, tmp_path):
    process = run(NOTE + "time.sleep(600)")
    (pid,) = pids(tmp_path, 1)
    assert process.death() is None
    process.stop()
    assert gone(pid)
    process.stop()


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(run, tmp_path):
    process = run("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + NOTE + "time.sleep(600)", grace_s=0.3)
    (pid,) = pids(tmp_path, 1)
    process.stop()
    assert gone(pid)
    assert process.exit_signal == "SIGKILL"


def test_a_grandchild_in_a_session_of_its_own_is_stopped_too(run, tmp_path):
    grandchild = NOTE + "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    process = run(
        f"code = 'import os, signal, sys, time;' + {grandchild.replace(chr(10), ';')!r}\n"
        "subprocess.Popen([sys.executable, '-c', code, sys.argv[1]], start_new_session=True)\n"
        + NOTE
        + "time.sleep(600)",
        grace_s=0.3,
    )
    both = pids(tmp_path, 2)
    process.stop()
    assert all(map(gone, both))


def test_orphans_of_a_program_that_died_are_stopped(run, tmp_path):
    code = NOTE.replace("\n", ";") + "time.sleep(600)"
    process = run(
        f"code = 'import os, sys, time;' + {code!r}\n"
        "subprocess.Popen([sys.executable, '-c', code, sys.argv[1]], start_new_session=True)\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        "os._exit(7)"
    )
    (orphan,) = pids(tmp_path, 1)
    assert until(process.death, "the end") == "exited with code 7"
    until(lambda: gone(orphan), "the orphan's end")


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "socket").touch()
    return folder


def test_its_scratch_folder_goes_with_a_program_that_is_stopped(run, tmp_path, scratch):
    process = run(NOTE + "time.sleep(600)", scratch=scratch)
    pids(tmp_path, 1)
    assert scratch.exists()
    process.stop()
    assert not scratch.exists()


def test_its_scratch_folder_goes_with_a_program_that_ends(run, scratch):
    process = run("sys.exit(3)", scratch=scratch)
    until(process.death, "the end")
    until(lambda: not scratch.exists(), "the end of its scratch folder")


def test_the_scratch_folder_of_a_program_that_does_not_exist_goes(tmp_path, scratch):
    with pytest.raises(EngineUnavailable):
        SupervisedProcess([str(tmp_path / "no")], env={}, cwd=tmp_path, log_path=tmp_path / "log", scratch=scratch)
    assert not scratch.exists()


def test_the_scratch_folder_goes_when_the_supervisor_was_killed(run, tmp_path, scratch):
    process = run(NOTE + "time.sleep(600)", scratch=scratch)
    pids(tmp_path, 1)
    os.kill(process._supervisor.pid, signal.SIGKILL)
    process.stop()
    assert not scratch.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_profiler_is_killed_nothing_is_left(tmp_path, scratch, number):
    profiler = textwrap.dedent(
        f"""
        import os, sys, time
        from pathlib import Path
        from profiler.engines.process import SupervisedProcess
        program = "import os, sys, time; open(sys.argv[1], 'a').write(f'{{os.getpid()}} '); time.sleep(600)"
        process = SupervisedProcess([sys.executable, "-c", program, {str(tmp_path / "pids")!r}],
                                    env=dict(os.environ), cwd=Path({str(tmp_path)!r}),
                                    log_path=Path({str(tmp_path / "log")!r}), scratch=Path({str(scratch)!r}))
        print(process._supervisor.pid, flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", profiler], stdout=subprocess.PIPE, text=True) as started:
        supervisor = int(started.stdout.readline())
        (program,) = pids(tmp_path, 1)
        started.send_signal(number)
        started.wait(LIMIT_S)
    until(lambda: gone(program) and gone(supervisor), "the end of both")
    assert not scratch.exists()


def test_a_pipe_inherited_by_another_child_does_not_keep_a_dead_profilers_engine_alive(tmp_path):
    profiler = textwrap.dedent(
        f"""
        import os, sys, time
        from pathlib import Path
        from profiler.engines.process import SupervisedProcess
        program = "import os, sys, time; open(sys.argv[1], 'a').write(f'{{os.getpid()}} '); time.sleep(600)"
        process = SupervisedProcess([sys.executable, "-c", program, {str(tmp_path / "pids")!r}],
                                    env=dict(os.environ), cwd=Path({str(tmp_path)!r}),
                                    log_path=Path({str(tmp_path / "log")!r}))
        fork = os.fork()
        if fork == 0:
            os.close(1)
            time.sleep(600)
        print(process._supervisor.pid, fork, flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", profiler], stdout=subprocess.PIPE, text=True) as started:
        supervisor, fork = map(int, started.stdout.readline().split())
        (program,) = pids(tmp_path, 1)
        started.kill()
        started.wait(LIMIT_S)
        try:
            until(lambda: gone(program) and gone(supervisor), "the end of both")
        finally:
            os.kill(fork, signal.SIGKILL)


def test_when_the_supervisor_is_killed_the_engine_dies_and_is_reported(run, tmp_path):
    process = run(NOTE + "time.sleep(600)")
    (pid,) = pids(tmp_path, 1)
    os.kill(process._supervisor.pid, signal.SIGKILL)
    assert until(process.death, "the notice") == "lost its supervisor process"
    process.stop()
    until(lambda: gone(pid), "the engine's end")


def test_an_interrupt_of_the_terminal_does_not_reach_the_engine(run, tmp_path):
    process = run(NOTE + "time.sleep(600)")
    (pid,) = pids(tmp_path, 1)
    assert len({os.getsid(0), os.getsid(pid)}) == 2
    assert len({os.getpgid(0), os.getpgid(process._supervisor.pid), os.getpgid(pid)}) == 3


def test_the_supervisor_speaks_json_lines(tmp_path):
    command = [sys.executable, str(SUPERVISOR), "--log", str(tmp_path / "log"), "--", sys.executable, "-c", ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        events = [json.loads(line) for line in started.stdout]
    assert [event["event"] for event in events] == ["started", "exited", "cleaned"]
    assert events[1]["code"] == 0
    assert events[2]["leftovers"] == 0
