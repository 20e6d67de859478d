"""Facts of the host and the software, for the manifest."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_LIBRARIES = ("langgraph", "langchain", "langchain-openai", "openai", "httpx", "httpx2", "opentelemetry-sdk")


def libraries() -> dict[str, str]:
    """Versions of what takes part in a call."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """Machine, processor, memory, GPUs."""
    import psutil

    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": _gpus(),
    }


def python() -> str:
    """Interpreter and version."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def git(folder: Path) -> dict[str, Any] | None:
    """Commit of the agent's repository, and whether its files differ from it, runs aside; None outside of one."""
    commit = _run(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return None
    return {
        "commit": commit,
        "dirty": bool(_run(["git", "-C", str(folder), "status", "--porcelain", "--", ".", ":(exclude)traces"])),
    }


def _cpu_model() -> str:
    if sys.platform == "darwin":
        return _run(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpus() -> list[str]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return [line.strip() for line in _run(query).splitlines() if line.strip()]


def _run(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def host_name() -> str:
    """The machine's name, as traces carry it."""
    return platform.node()
