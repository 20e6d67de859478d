"""The process between the profiler and an engine: when either ends, for whatever reason, nothing stays behind.

    profiler ──stdin pipe──▶ supervise (own session) ──▶ engine (own process group) ──▶ its workers

Run as a program of its own, in a session of its own so that Ctrl-C in the terminal does not reach the engine
before the profiler has written what it holds:

    python supervise.py --log FILE --grace-s 10 -- COMMAND…

- The pipe on stdin closes when the profiler ends, killed or not, and the parent's id changes. Either means stop.
- Stop: SIGTERM to the engine's group, a grace period, then SIGKILL to the group and to every descendant.
- Workers that left the group or lost their parent are found too: this process is their subreaper on Linux.
- A scratch folder of the engine's, if there is one, is removed when all of them are gone.
- What happens is told on stdout, one JSON object per line: `started`, `exited` with code or signal, `cleaned`.

Imports nothing of the profiler, so that it starts in a blink.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TICK_S = 0.5
LEFTOVER_GRACE_S = 2.0
KILL_LIMIT_S = 10.0


def prctl(option: int, value: int) -> bool:
    """Linux only; False where it does not exist."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def tell(event: str, **fields: object) -> None:
    """A profiler that is gone cannot listen, and that is no reason to fail."""
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps({"event": event, **fields}) + "\n").encode())


class Supervisor:
    """One engine, watched until it and all its descendants are gone."""

    def __init__(self, command: list[str], log: Path, grace_s: float, scratch: Path | None = None) -> None:
        """Start nothing yet; `run` does."""
        self.command = command
        self.log = log
        self.grace_s = grace_s
        self.scratch = scratch
        self.parent = os.getppid()
        self.stop_asked = False
        self.status: int | None = None
        self.pid = 0
        self.subreaper = prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.seen: dict[int, psutil.Process] = {}

    def run(self) -> int:
        """Start the engine, wait for either end, clean up; returns this process's exit code."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only so that the wake-up pipe is written to
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        try:
            self._start()
        except OSError as error:
            self._remove_scratch()
            tell("failed", error=f"{error.strerror or error}: {error.filename or self.command[0]}")
            return 127
        tell("started", pid=self.pid)
        self._watch(wake_read)
        if self.status is None:
            self._signal_group(signal.SIGTERM)
            self._terminate(self._outside_the_group())
            self._wait_until(lambda: self.status is not None and not self._descendants(), self.grace_s)
        else:
            self._terminate_leftovers()
        self._clean()
        self._remove_scratch()
        tell("cleaned", leftovers=len(self._descendants()))
        return 0

    def _ask_to_stop(self, *_: object) -> None:
        self.stop_asked = True

    def _start(self) -> None:
        self_pid = os.getpid()

        def die_with_supervisor() -> None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self_pid:
                os._exit(1)

        with self.log.open("ab") as log:
            engine = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=die_with_supervisor,  # noqa: PLW1509 - this process has one thread
            )
        self.pid = engine.pid
        engine.returncode = 0  # reaped below with all the others, never by subprocess

    def _watch(self, wake_read: int) -> None:
        while self.status is None and not self.stop_asked and os.getppid() == self.parent:
            readable, _, _ = select.select([0, wake_read], [], [], TICK_S)
            if wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            if 0 in readable and not os.read(0, 4096):
                self.stop_asked = True
            self._reap()
            if not self.subreaper:
                self._descendants()  # remember them while their parents still live

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)
                self._tell_exit(self.status)

    def _tell_exit(self, code: int) -> None:
        name = None
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
        tell("exited", code=code if code >= 0 else None, signal=name, asked=self.stop_asked)

    def _descendants(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process().children(recursive=True):
                self.seen[process.pid] = process
        self.seen = {pid: process for pid, process in self.seen.items() if alive(process)}
        return list(self.seen.values())

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _wait_until(self, done: Callable[[], bool], limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while True:
            self._reap()
            if done():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)

    def _terminate_leftovers(self) -> None:
        """The engine ended by itself: what it left behind gets a short grace."""
        self._terminate(self._descendants())
        self._wait_until(lambda: not self._descendants(), LEFTOVER_GRACE_S)

    def _outside_the_group(self) -> list[psutil.Process]:
        found = []
        for process in self._descendants():
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(process.pid) != self.pid:
                    found.append(process)
        return found

    @staticmethod
    def _terminate(processes: list[psutil.Process]) -> None:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.terminate()

    def _clean(self) -> None:
        """Kill whatever still runs."""
        deadline = time.monotonic() + KILL_LIMIT_S
        while (self.status is None or self._descendants()) and time.monotonic() < deadline:
            if self.status is None:
                self._signal_group(signal.SIGKILL)
            for process in self._descendants():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if self._wait_until(lambda: self.status is not None and not self._descendants(), 0.5):
                return

    def _remove_scratch(self) -> None:
        if self.scratch is not None:
            import shutil

            shutil.rmtree(self.scratch, ignore_errors=True)


def alive(process: psutil.Process) -> bool:
    """A zombie holds no resources and waits only to be reaped."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def main() -> int:
    """See the module's description."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--grace-s", type=float, default=10.0)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return Supervisor(options.command, options.log, options.grace_s, options.scratch).run()


if __name__ == "__main__":
    sys.exit(main())
