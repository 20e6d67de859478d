"""One side of a comparison: a `profiler run` in a process of its own, that runs the chains that it is asked for."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from profiler.errors import EXIT_DATA, DataError, EngineUnavailable, Interrupted, ProfilerError, UsageError
from profiler.record.pace import Ended
from profiler.store.locate import read_manifest
from profiler.store.manifest import MANIFEST_FILE

_STOP_S: Final = 60.0
_SLICE_S: Final = 1.0  # between looks whether the process is still there
_GRACE_S: Final = 30.0  # beyond the time that the chain itself may take
_LOG_LINES: Final = 15
_BY_CODE: Final[Mapping[int, type[ProfilerError]]] = {
    2: UsageError,
    3: DataError,
    4: EngineUnavailable,
    130: Interrupted,
}


@dataclass(frozen=True)
class Place:
    """Where a side's code runs.

    Attributes:
        python: an interpreter that has the profiler.
        folder: the working folder; agents are named relative to it.
        environ: added to the environment.
    """

    python: str = sys.executable
    folder: Path | None = None
    environ: Mapping[str, str] | None = None


class Side:
    """The process, and what it tells."""

    def __init__(self, name: str, arguments: Sequence[str], run: Path, place: Place) -> None:
        """Start it.

        Args:
            name: `side A`, as the user is told.
            arguments: of `profiler run`, without `--out`.
            run: the folder that it is to write.
            place: where it runs.
        """
        self.name, self.run = name, run
        self.log_path = run.parent / f"{run.name}.log"
        asked_read, self._ask = os.pipe()
        self._told, tell_write = os.pipe()
        self._rest = b""
        command = [place.python, "-m", "profiler", "run", *arguments]
        command += ["--out", str(run.absolute()), "--paced", str(asked_read), str(tell_write)]
        try:
            with self.log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=place.folder,
                    env={**os.environ, **(place.environ or {})},
                    pass_fds=(asked_read, tell_write),
                    start_new_session=True,  # Ctrl-C is ours: the sides end in good order
                )
        except BaseException:
            os.close(self._ask)
            os.close(self._told)
            raise
        finally:
            os.close(asked_read)
            os.close(tell_write)
        self._open = True

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process, in good order if nothing went wrong."""
        self.stop()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait for its engine and its agent.

        Raises:
            ProfilerError: it ended instead, with its own last words; or it takes too long.
        """
        if not self._line(timeout_s).get("ready"):
            raise DataError(f"{self.name} does not keep to the protocol", remedy=f"see {self.log_path}")

    def chain(self, task: str, repeat: int, timeout_s: float) -> Ended:
        """Let one chain run, and wait for its end.

        Raises:
            ProfilerError: the side ended.
        """
        try:
            os.write(self._ask, json.dumps({"task": task, "repeat": repeat}).encode() + b"\n")
        except OSError as error:
            raise self._ended() from error
        return Ended(**self._line(timeout_s + _GRACE_S))

    def _line(self, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise DataError(
                        f"{self.name} has told nothing for {timeout_s:.0f} s", remedy=f"see {self.log_path}"
                    )
                # A process that the agent started may hold the pipe open when the side itself is gone.
                gone = self._process.poll() is not None
                if not selector.select(0 if gone else min(left, _SLICE_S)):
                    if gone:
                        raise self._ended()
                    continue
                read = os.read(self._told, 1 << 16)
                if not read:
                    raise self._ended()
                self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def _ended(self) -> ProfilerError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        code = self._process.returncode
        kind = _BY_CODE.get(code, DataError)
        how = "does not answer" if code is None else f"ended with exit code {code}"
        return kind(f"{self.name} {how}", remedy=f"the whole log is {self.log_path}", details=self._last_words())

    def _last_words(self) -> str:
        with suppress(OSError):
            return "\n".join(self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
        return ""

    def finish(self) -> None:
        """No more chains: wait until the run is written and its engine stopped.

        Raises:
            ProfilerError: it did not end well.
        """
        self._hang_up()
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise DataError(f"{self.name} did not end", remedy=f"see {self.log_path}") from error
        if code and not (code == EXIT_DATA and self._is_written()):
            raise self._ended()

    def _is_written(self) -> bool:
        """Whether there is a whole run all the same: one of which no chain ended well exits as bad data."""
        with suppress(DataError):
            return read_manifest(self.run / MANIFEST_FILE).status == "finished"
        return False

    def _hang_up(self) -> None:
        if self._open:
            self._open = False
            os.close(self._ask)

    def stop(self) -> None:
        """End it, first in good order (it stops its engine), then by force. May be called again."""
        self._hang_up()
        if self._process.poll() is None:
            for end in (self._process.terminate, self._process.kill):
                end()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_STOP_S)
                    break
        if self._told >= 0:
            os.close(self._told)
            self._told = -1
