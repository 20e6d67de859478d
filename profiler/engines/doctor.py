"""Will an engine run here? Each check says what it found and, where that is not good, what to do about it.

The checks take facts and return a verdict, so that every verdict can be tested; `collect` gathers the facts.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from profiler.engines import hardware
from profiler.engines.builds import CPU_BUILD, CUDA_BUILD, MIN_CUDA_DRIVER, Build
from profiler.engines.cache import cache_root
from profiler.engines.environments import Environment, being_built, list_environments
from profiler.engines.hardware import Gpu
from profiler.engines.launch import refuse_taken_port
from profiler.engines.provision import venv_available
from profiler.engines.vllm import TINY, choose_model
from profiler.errors import ProfilerError

Status = Literal["ok", "warn", "fail"]
TINY_MEMORY_GIB = 4.0
MODEL_MEMORY_GIB = 8.0
MIN_CORES = 2


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    status: Status
    found: str
    remedy: str | None = None


def check_python(version: tuple[int, int], build: Build) -> Check:
    """Whether the build to be provisioned has wheels for this Python."""
    found = f"Python {version[0]}.{version[1]}"
    if build.python_supported(version):
        return Check("python", "ok", found)
    low, high = (".".join(map(str, limit)) for limit in (build.min_python, build.max_python))
    return Check(
        "python",
        "fail",
        f"{found}; {build.title} has wheels for {low} to {high}",
        f"Run the profiler with Python {low} to {high}, or name another Python that has vLLM with --vllm-python.",
    )


def check_venv(*, available: bool) -> Check:
    """Whether environments can be made at all."""
    if available:
        return Check("venv", "ok", "venv and ensurepip are there")
    return Check("venv", "fail", "this Python lacks venv or ensurepip", "Install your system's python3-venv package.")


def check_system(system: str, machine: str) -> Check:
    """Linux is what vLLM is built for; elsewhere one attaches to a server."""
    found = f"{system} on {machine}"
    if system != "Linux":
        return Check(
            "system",
            "fail",
            f"{found}: the builds of vLLM are for Linux",
            "Attach to a server on another machine, or in a container, with --base-url.",
        )
    if machine not in {"x86_64", "arm64"}:
        return Check("system", "fail", f"{found}: there is no wheel for this processor", "Attach with --base-url.")
    return Check("system", "ok", found)


def check_cpu(machine: str, flags: frozenset[str] | None) -> Check:
    """The CPU build needs AVX2 and wants AVX-512."""
    if machine != "x86_64" or flags is None:
        return Check("cpu", "ok", machine if flags is not None else f"{machine}, features unknown")
    if "avx2" not in flags:
        return Check(
            "cpu",
            "fail",
            "no AVX2: vLLM on this processor ends with an illegal instruction",
            "Use a GPU or another machine, and attach to it with --base-url. In a virtual machine, pass the "
            "host's processor features through.",
        )
    if "avx512f" not in flags:
        return Check("cpu", "warn", "AVX2 without AVX-512", "It works; expect it to be several times slower.")
    extras = [name for name in ("avx512_bf16", "amx_bf16") if name in flags]
    return Check("cpu", "ok", ", ".join(["AVX2", "AVX-512", *extras]))


def check_cores(cores: int) -> Check:
    """One core for the model, one for the API server and the profiler."""
    if cores < MIN_CORES:
        return Check(
            "cores",
            "warn",
            f"{cores} core: the engine and the profiler disturb each other's timing",
            f"Give the machine or container at least {MIN_CORES} cores.",
        )
    return Check("cores", "ok", f"{cores} cores")


def check_gpu(gpus: Sequence[Gpu], hidden: str | None) -> Check:
    """The driver must suit the CUDA build; otherwise its start ends in CUDA_ERROR_NO_DEVICE and the like."""
    if not gpus:
        return Check("gpu", "ok", "no NVIDIA GPU answers: engines run on the processor")
    found = ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in gpus)
    if hidden is not None:
        return Check(
            "gpu",
            "warn",
            f"{found}, hidden by CUDA_VISIBLE_DEVICES={hidden!r}: engines run on the processor",
            "Unset CUDA_VISIBLE_DEVICES to use the GPU.",
        )
    major = gpus[0].driver_major
    if major is not None and major < MIN_CUDA_DRIVER:
        return Check(
            "gpu",
            "fail",
            f"{found}: {CUDA_BUILD.title} is built for CUDA 13 and needs driver {MIN_CUDA_DRIVER} or later",
            f"Update the NVIDIA driver to {MIN_CUDA_DRIVER} or later, run on the processor with "
            "CUDA_VISIBLE_DEVICES=-1, or name a Python with an older vLLM with --vllm-python.",
        )
    return Check("gpu", "ok", found)


def check_memory(available_gib: float, model: str | None) -> Check:
    """Rough needs: the libraries alone take 2 GiB in several processes."""
    needed = TINY_MEMORY_GIB if model in {None, TINY} else MODEL_MEMORY_GIB
    found = f"{available_gib:.1f} GiB available"
    if available_gib >= needed:
        return Check("memory", "ok", found)
    status: Status = "fail" if available_gib < needed / 2 else "warn"
    return Check(
        "memory",
        status,
        f"{found}; about {needed:g} GiB are wanted",
        "Stop other programs: an engine without memory is killed with SIGKILL.",
    )


def check_disk(free_gib: float, folder: Path, build: Build, *, installed: bool) -> Check:
    """Room for the environment, unless it is there already."""
    found = f"{free_gib:.1f} GiB free at {folder}"
    if installed or free_gib >= build.disk_gib:
        return Check("disk", "ok", found)
    return Check(
        "disk",
        "fail",
        f"{found}; installing {build.title} needs about {build.disk_gib:g} GiB",
        "Free some space, or set PROFILER_CACHE_DIR to a folder on a larger disk.",
    )


def check_port(port: int) -> Check:
    """Whether a managed engine could listen there."""
    try:
        refuse_taken_port(port)
    except ProfilerError as error:
        return Check("port", "fail", error.message, error.remedy)
    return Check("port", "ok", f"{port} on 127.0.0.1 is free")


def check_model(model: str, *, gpu: bool) -> Check:
    """Whether a model folder is one; a Hugging Face id is not looked up."""
    try:
        chosen = choose_model(model, gpu=gpu, tiny_folder=Path())
    except ProfilerError as error:
        return Check("model", "fail", error.message, error.remedy)
    if chosen.random_weights:
        return Check("model", "ok", f"{TINY}: made on the spot, nothing to download")
    if chosen.local:
        return Check("model", "ok", f"folder {chosen.source}")
    return Check("model", "ok", f"{model} is not a folder here, so it is taken for a Hugging Face id")


def check_engines(environments: Sequence[Environment], build: Build, *, vllm_here: bool) -> list[Check]:
    """The provisioned environments, and whether the one for this machine is among them."""
    checks = []
    if vllm_here:
        checks.append(Check("engine", "ok", f"vLLM in this Python ({sys.executable})"))
    for environment in environments:
        if environment.complete:
            checks.append(Check("engine", "ok", f"{environment.name}, complete"))
        elif being_built(environment.name):
            checks.append(Check("engine", "ok", f"{environment.name} is being installed or removed right now"))
        else:
            rebuild = (
                f"It is rebuilt when needed; now: profiler engine install --{build.device}, or remove it: "
                if environment.name == build.name
                else "This machine does not use it; remove it: "
            )
            checks.append(
                Check(
                    "engine",
                    "warn",
                    f"{environment.name} is half-built: its installation was interrupted, or its Python is gone",
                    f"{rebuild}profiler engine remove {environment.name}",
                )
            )
    if not vllm_here and not any(each.name == build.name for each in environments):
        checks.append(
            Check(
                "engine",
                "warn",
                f"{build.title} is not installed yet",
                f"It is installed on first use; now: profiler engine install --{build.device}",
            )
        )
    return checks


def collect(
    *, model: str | None = None, port: int | None = None, environment: Mapping[str, str] = os.environ
) -> list[Check]:
    """Look at this machine and run every check that applies to what would be started here."""
    import importlib.util

    from profiler.engines.vllm import core_count

    gpus, hidden = hardware.nvidia_gpus(), hardware.gpus_hidden(environment)
    on_gpu = bool(gpus) and hidden is None
    build = CUDA_BUILD if on_gpu else CPU_BUILD
    environments = list_environments()
    vllm_here = importlib.util.find_spec("vllm") is not None
    installed = vllm_here or any(each.name == build.name and each.complete for each in environments)
    root = cache_root()
    checks = [
        check_python(sys.version_info[:2], build),
        check_venv(available=venv_available()),
        check_system(platform.system(), hardware.machine()),
    ]
    if not on_gpu:
        checks += [check_cpu(hardware.machine(), hardware.read_cpu_flags()), check_cores(core_count())]
    checks += [
        check_gpu(gpus, hidden),
        check_memory(hardware.available_memory_gib(), model if model or not on_gpu else "default"),
        check_disk(hardware.free_disk_gib(root), root, build, installed=installed),
    ]
    if not installed:
        scratch = Path(tempfile.gettempdir())
        if hardware.free_disk_gib(scratch) < build.download_gib:
            checks.append(check_disk(hardware.free_disk_gib(scratch), scratch, build, installed=False))
    checks += check_engines(environments, build, vllm_here=vllm_here)
    if model is not None:
        checks.append(check_model(model, gpu=on_gpu))
    if port is not None:
        checks.append(check_port(port))
    return checks
