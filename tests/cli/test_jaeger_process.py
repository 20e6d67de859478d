"""Jaeger's program as a process: awaited, shown, ended. A stand-in answers as it does: Jaeger is in no registry."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from cli_helpers import start
from filelock import FileLock

STAND_IN = f"""#!{sys.executable}
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{{"services":[]}}')
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", 16686), Handler).serve_forever()
"""


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def ports_to_itself(tmp_path_factory):
    """Jaeger's ports are one for the machine: tests of other workers wait, and those of another suite that runs."""
    folders = tmp_path_factory.getbasetemp().parents
    shared = next((folder for folder in folders if folder.name.startswith("pytest-of-")), folders[0])
    with FileLock(shared / "jaeger-ports.lock", timeout=300):
        yield


@pytest.fixture
def program(tmp_path, monkeypatch, ports_to_itself):
    """A folder on the path, alone, for a program `jaeger`."""
    until = time.monotonic() + 200  # other tests take spans on these ports, for seconds
    while not all(map(is_free, (16686, 4317, 4318))):
        if time.monotonic() > until:
            assert os.environ.get("CI") != "true", "Jaeger's ports are taken"
            pytest.skip("Jaeger's ports are taken on this machine")
        time.sleep(0.2)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(text):
        path = folder / "jaeger"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    return write


def lines_until(process, wanted, seconds=60):
    seen = ""
    until = time.monotonic() + seconds
    while wanted not in seen and time.monotonic() < until:
        line = process.stderr.readline()
        if not line:
            break
        seen += line
    return seen


TALKATIVE = STAND_IN.replace("import http.server, sys", "import http.server, sys; sys.stderr.write('log\\n' * 100_000)")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_one_with_much_to_log_comes_up_and_ends_with_whoever_started_it(program, tmp_path, number):
    program(TALKATIVE)
    process = start("jaeger", cwd=tmp_path)
    try:
        assert "Jaeger is at" in lines_until(process, "profiler export RUN")
        process.send_signal(number)
        process.communicate(timeout=300)
        assert process.returncode == 0
        assert is_free(16686)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_it_is_awaited_shown_and_ended_with_ctrl_c(program, tmp_path):
    program(STAND_IN)
    process = start("jaeger", cwd=tmp_path)
    try:
        seen = lines_until(process, "profiler export RUN")
        assert "Jaeger is at http://127.0.0.1:16686" in seen
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
        assert process.returncode == 0
        assert is_free(16686)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_one_that_ends_at_once_is_told_with_its_last_words(program, tmp_path):
    program(f"#!{sys.executable}\nimport sys; print('bad configuration', file=sys.stderr); sys.exit(3)\n")
    done = subprocess.run(
        [sys.executable, "-m", "profiler", "jaeger"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 4
    assert "exit code 3" in done.stderr
    assert "bad configuration" in done.stderr
