"""The profiler's end of the supervisor: start an engine, ask whether it lives, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from profiler.errors import EngineUnavailable

SUPERVISOR = Path(__file__).with_name("supervise.py")
STOP_MARGIN_S = 20.0  # what the supervisor may need beyond the grace it gives
START_LIMIT_S = 30.0


class SupervisedProcess:
    """A program under `supervise.py`. `stop` must be called; the profiler's own end does it otherwise."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_path: Path,
        grace_s: float = 10.0,
        scratch: Path | None = None,
    ) -> None:
        """Start it and wait until the supervisor says that the program runs.

        Args:
            command: the program and its arguments.
            env: its variables.
            cwd: its folder.
            log_path: where what it prints goes.
            grace_s: seconds from being asked to end to being killed.
            scratch: a folder that is removed when the program and all its descendants have ended.

        Raises:
            EngineUnavailable: the program does not exist or may not be executed.
        """
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.exit_signal: str | None = None
        self._exited = False
        self._failed: str | None = None
        self._cleaned = False
        self._pending = b""
        self._created: float | None = None
        self._grace_s = grace_s
        self._scratch = scratch
        options = ["--log", str(log_path), "--grace-s", str(grace_s)]
        options += [] if scratch is None else ["--scratch", str(scratch)]
        self._supervisor = subprocess.Popen(
            # -P: nothing from the folder that the user happens to be in may shadow an import
            [sys.executable, "-P", str(SUPERVISOR), *options, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            self._await_start(command)
        except BaseException:
            self.stop()
            raise

    def _await_start(self, command: Sequence[str]) -> None:
        assert self._supervisor.stdout is not None
        os.set_blocking(self._supervisor.stdout.fileno(), False)
        deadline = time.monotonic() + START_LIMIT_S
        while self.pid is None and self._failed is None and time.monotonic() < deadline:
            self._listen()
            if self._supervisor.poll() is not None:
                self._listen()
                break
            time.sleep(0.01)
        if self.pid is None:
            why = self._failed or "its supervisor did not start"
            raise EngineUnavailable(f"cannot start the engine: {why}", details=" ".join(command))
        import psutil

        with contextlib.suppress(psutil.Error):
            self._created = psutil.Process(self.pid).create_time()

    def _listen(self) -> None:
        """Take in whatever the supervisor has said since."""
        stdout = self._supervisor.stdout
        if stdout is None or stdout.closed:
            return
        with contextlib.suppress(BlockingIOError):
            while data := os.read(stdout.fileno(), 4096):
                self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "started":
                self.pid = message["pid"]
            case "failed":
                self._failed = message["error"]
            case "exited":
                self._exited, self.exit_code, self.exit_signal = True, message["code"], message["signal"]
            case "cleaned":
                self._cleaned = True

    def death(self) -> str | None:
        """How the program ended, in words; None while it runs."""
        self._listen()
        if self._exited:
            return f"died of {self.exit_signal}" if self.exit_signal else f"exited with code {self.exit_code}"
        if self._supervisor.poll() is not None:
            self._listen()
            return "was stopped" if self._cleaned else "lost its supervisor process"
        return None

    def ask_to_stop(self) -> None:
        """Have the supervisor end the program; harmless when repeated."""
        stdin = self._supervisor.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(OSError):
                stdin.close()

    def stop(self) -> None:
        """End the program and all its descendants, and wait for that; harmless when repeated."""
        self.ask_to_stop()
        stdout = self._supervisor.stdout
        try:
            self._supervisor.wait(self._grace_s + STOP_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        self._listen()
        if stdout is not None:
            stdout.close()
        if not self._cleaned:
            self._kill_without_supervisor()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)  # again, if the supervisor could not

    def _kill_without_supervisor(self) -> None:
        """Somebody killed the supervisor: the engine's group is still known, and checked not to be another's."""
        import psutil

        if self.pid is None or self._created is None:
            return
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if psutil.Process(self.pid).create_time() == self._created:
                os.killpg(self.pid, signal.SIGKILL)
        self._cleaned = True
