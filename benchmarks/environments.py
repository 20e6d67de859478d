"""Virtual environments of the peers that the benchmarks compare with: made once under the user's cache, then reused.

A peer's pins must not meet the profiler's, so each requirements file in `peers/` gets an environment of its own. Its
folder is named after the file and a digest of everything that was asked for: a changed pin makes a new environment.
`PROFILER_CACHE_DIR` moves them, as it moves the engines.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import filelock

from profiler.engines.builds import PYTORCH_CPU_INDEX
from profiler.engines.cache import cache_root

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
_COMPLETE = ".complete"
_SHOWN = 6


class NotInstalled(Exception):
    """The environment of a peer cannot be made; the message is the end of pip's output."""


def peer_python(name: str, *, with_project: bool = False) -> Path:
    """The Python of the environment of `peers/NAME.txt`, built on first use.

    Args:
        name: stem of the requirements file.
        with_project: also install what the project depends on, at the versions of its constraints.txt. The project
            itself is not installed: put the repository on the path.

    Raises:
        NotInstalled: pip failed.
    """
    folder, wanted = _planned(name, with_project=with_project)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / _COMPLETE).exists():
            _build(folder, PEERS / f"{name}.txt", wanted)
    return folder / "bin" / "python"


def is_built(name: str, *, with_project: bool = False) -> bool:
    """Whether `peer_python` would find the environment as it is."""
    return (_planned(name, with_project=with_project)[0] / _COMPLETE).exists()


def _planned(name: str, *, with_project: bool) -> tuple[Path, list[str]]:
    """The folder of an environment, and what pip is asked for."""
    requirements = PEERS / f"{name}.txt"
    wanted = [f"-r{requirements}"]
    inputs = [requirements.read_text(encoding="utf-8"), sys.version]
    if with_project:
        constraints = ROOT / "constraints.txt"
        dependencies = project_dependencies()
        wanted += [f"-c{constraints}", *dependencies]
        inputs += [constraints.read_text(encoding="utf-8"), *dependencies]
    digest = hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]
    return cache_root() / "benchmarks" / f"{name}-{digest}", wanted


def project_dependencies() -> list[str]:
    """The requirements in pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        dependencies: list[str] = tomllib.load(file)["project"]["dependencies"]
    return dependencies


def pinned(name: str) -> str:
    """The version of the peer that its own requirements file pins."""
    lines = (PEERS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix(f"{name}==") for line in lines if line.startswith(f"{name}=="))


def versions(python: Path, packages: list[str]) -> dict[str, str]:
    """The installed versions of packages in an environment; those that it lacks are left out."""
    program = (
        "import importlib.metadata as m, json, sys; have = {d.name.lower().replace('_', '-'): d.version "
        "for d in m.distributions()}; print(json.dumps({n: have[n] for n in sys.argv[1:] if n in have}))"
    )
    done = subprocess.run([python, "-c", program, *packages], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's variables without those that set up telemetry or reach another Python, and with `extra`."""
    foreign = ("OTEL_", "TRACELOOP_", "OPENINFERENCE_", "LANGSMITH_", "LANGCHAIN_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, **extra}


def _build(folder: Path, requirements: Path, wanted: list[str]) -> None:
    print(f"installing {folder.name} into {folder.parent}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    log = Path(f"{folder}.pip.log")
    log.unlink(missing_ok=True)
    install: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        *wanted,
    ]
    done = _succeeds([sys.executable, "-m", "venv", folder], log) and _succeeds(install, log)
    if not done and "+cpu" in requirements.read_text(encoding="utf-8"):
        # builds of torch without CUDA are on an index of PyTorch's own, unless pip is configured to find them
        done = _succeeds([*install, "--extra-index-url", PYTORCH_CPU_INDEX], log)
    if not done:
        raise NotInstalled("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN:]))
    (folder / _COMPLETE).touch()


def _succeeds(command: Sequence[str | Path], log: Path) -> bool:
    with log.open("a", encoding="utf-8") as file:
        environment = clean_environment()
        done = subprocess.run(command, stdout=file, stderr=file, env=environment, check=False)
    return done.returncode == 0
