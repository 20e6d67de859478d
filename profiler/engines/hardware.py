"""What this machine has: NVIDIA GPUs, processor features, memory, disk. Parsers are pure."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

QUERY = ("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits")
QUERY_LIMIT_S = 15.0
_FIELDS = 3


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as its driver reports it."""

    name: str
    driver: str
    memory_mib: int | None

    @property
    def driver_major(self) -> int | None:
        """580 of `580.95.05`; None where the driver says something else."""
        first = self.driver.split(".")[0]
        return int(first) if first.isdecimal() else None


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Rows of `nvidia-smi`; a row of another shape (an error message) is no GPU."""
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == _FIELDS and fields[0] and fields[1][:1].isdecimal():
            gpus.append(Gpu(fields[0], fields[1], int(fields[2]) if fields[2].isdecimal() else None))
    return tuple(gpus)


def nvidia_gpus() -> tuple[Gpu, ...]:
    """The GPUs that answer; empty without a driver, and where the query hangs or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        result = subprocess.run(
            [program, *QUERY],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=QUERY_LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(result.stdout) if result.returncode == 0 else ()


def gpus_hidden(environment: Mapping[str, str] | None = None) -> str | None:
    """The value of CUDA_VISIBLE_DEVICES when it hides every GPU, otherwise None."""
    value = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
    if value is None or value.strip() not in {"", "-1", "NoDevFiles", "none", "void"}:
        return None
    return value


def usable_gpus() -> tuple[Gpu, ...]:
    """The GPUs that an engine started from here would see."""
    return () if gpus_hidden() is not None else nvidia_gpus()


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The features in the text of /proc/cpuinfo (`flags` on x86, `Features` on Arm)."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()


def read_cpu_flags() -> frozenset[str] | None:
    """None where the system does not tell."""
    try:
        return cpu_flags(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def computes_bfloat16(flags: frozenset[str] | None) -> bool:
    """Whether a processor with these features does so itself; taken for granted where they are unknown."""
    return not flags or not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def machine() -> str:
    """The processor architecture under one name each, such as `x86_64` and `arm64`."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(name, name)


def available_memory_gib() -> float:
    """Memory that a new program can have without swapping."""
    import psutil

    return float(psutil.virtual_memory().available) / 2**30


def free_disk_gib(path: Path) -> float:
    """Free space where `path` is, or will be."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free / 2**30
