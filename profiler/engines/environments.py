"""The provisioned environments on disk: which are complete, which are half-built, and how to remove one.

A marker file, written last, makes an environment complete. A folder without it is what an interrupted
installation left, and is built again from nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from profiler.engines.cache import engines_root
from profiler.engines.model import Progress
from profiler.errors import EngineUnavailable, UsageError

MARKER = ".profiler-engine.json"
WAIT_TICK_S = 10.0
PIP_LOG_SUFFIX = ".pip.log"


@dataclass(frozen=True)
class Marker:
    """What a complete environment says of itself."""

    package: str
    version: str
    device: str
    python: str
    created: str
    """ISO 8601, UTC."""
    size_mib: int
    format: int = 1


@dataclass(frozen=True)
class Environment:
    """A folder under the engines root."""

    name: str
    path: Path
    marker: Marker | None
    """None for one that is half-built."""

    @property
    def python(self) -> Path:
        """The program to run the engine with."""
        return self.path / "bin" / "python"

    @property
    def complete(self) -> bool:
        """Built to the end, and its Python still there: an upgraded base Python takes it away."""
        return self.marker is not None and os.access(self.python, os.X_OK)


def read_environment(path: Path) -> Environment:
    """Look at one folder; an unreadable marker is no marker."""
    marker = None
    with contextlib.suppress(OSError, ValueError, TypeError):
        marker = Marker(**json.loads((path / MARKER).read_text(encoding="utf-8")))
    return Environment(path.name, path, marker)


def write_marker(path: Path, marker: Marker) -> None:
    """The last step of an installation, and an atomic one."""
    scratch = path / f"{MARKER}.new"
    scratch.write_text(json.dumps(asdict(marker), indent=2) + "\n", encoding="utf-8")
    scratch.replace(path / MARKER)


def list_environments() -> list[Environment]:
    """All of them, complete or not, by name."""
    root = engines_root()
    if not root.is_dir():
        return []
    return [
        read_environment(path)
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    ]


def environment_path(name: str) -> Path:
    """Where the environment of this name is, or would be."""
    if name in {"", ".", ".."} or Path(name).name != name or name.startswith("."):
        raise UsageError(f"{name!r} is not the name of an engine", remedy="See `profiler engine list`.")
    return engines_root() / name


@contextlib.contextmanager
def locked(name: str, progress: Progress) -> Iterator[None]:
    """Only one process at a time builds or removes an environment; the others wait and say so."""
    import filelock

    root = engines_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / f".{name}.lock")
        wait_s = 0.0
        while not lock.is_locked:
            try:
                lock.acquire(timeout=wait_s)
            except filelock.Timeout:
                progress(f"another process is installing or removing {name}; waiting for it")
                wait_s = WAIT_TICK_S
    except OSError as error:
        raise EngineUnavailable(
            f"cannot use {root}: {error}", remedy="Set PROFILER_CACHE_DIR to a folder that can be written."
        ) from error
    try:
        yield
    finally:
        lock.release()


def remove_tree(path: Path) -> None:
    """Delete an environment, its marker first: whatever stops this, no complete one is left in ruins."""
    try:
        (path / MARKER).unlink(missing_ok=True)
        shutil.rmtree(path)
    except OSError as error:
        raise EngineUnavailable(f"cannot remove {path}: {error}", remedy="Remove the folder by hand.") from error


def refuse_in_use(path: Path) -> None:
    """An engine that runs from the folder would lose its files under its feet."""
    import psutil

    inside = str(path / "bin") + os.sep
    users = [
        process.info["pid"]
        for process in psutil.process_iter(["pid", "cmdline"])
        if (process.info["cmdline"] or [""])[0].startswith(inside)
    ]
    if users:
        raise EngineUnavailable(
            f"{path.name} is in use by process {', '.join(map(str, users))}", remedy="Stop that engine first."
        )


def being_built(name: str) -> bool:
    """Whether a process holds the environment's lock right now."""
    import filelock

    lock = filelock.FileLock(engines_root() / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except (filelock.Timeout, OSError):
        return True
    lock.release()
    return False


def remove_environment(name: str, progress: Progress) -> Path:
    """Delete a provisioned environment and its installation log.

    Raises:
        UsageError: there is none of this name.
    """
    path = environment_path(name)
    if not path.is_dir():
        known = ", ".join(each.name for each in list_environments()) or "none"
        raise UsageError(f"no engine {name!r} in {engines_root()}", remedy=f"Provisioned engines: {known}.")
    with locked(name, progress):
        refuse_in_use(path)
        remove_tree(path)
        path.with_name(name + PIP_LOG_SUFFIX).unlink(missing_ok=True)
    return path


def size_mib(path: Path) -> int:
    """Disk space of a folder's files."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - 40,000 files: no objects
    return total // 2**20
