"""A temporary folder for an engine of our own, or for what installs it, which ends with it.

vLLM leaves a socket or two, and files by which its processes find each other, whenever it is not asked kindly to end,
and its authors' cleaning does not reach all of them when it is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from profiler.engines.cache import cache_root

PREFIX = "profiler-engine-"
_SOCKET_PATH = 107  # bytes of a Unix socket's path, the closing zero left out; macOS has four less
_SOCKET_NAME = 41  # bytes: a slash and a UUID, as vLLM names its sockets, and those four
_RANDOM = 8  # letters that `mkdtemp` adds
_SHORT = "/tmp"  # noqa: S108 - `mkdtemp` makes a folder in it that is nobody else's


def scratch_folder(*, sockets: bool) -> Path:
    """A new folder, private to this user, where the system has its temporary files.

    In /tmp where there will be `sockets` in it and the usual place is too deep for their path.
    """
    usual = tempfile.gettempdir()
    length = len(os.fsencode(os.path.join(usual, PREFIX))) + _RANDOM + _SOCKET_NAME  # noqa: PTH118 - bytes, not a path
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=_SHORT if sockets and length > _SOCKET_PATH else usual))


def scratch_environment(folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Variables that have an engine keep its temporary files there; what it compiles stays for the next start.

    Args:
        folder: from `scratch_folder`.
        base: the engine's variables otherwise. Those that name a folder for sockets or compiled code win.
    """
    ours = {"VLLM_RPC_BASE_PATH": str(folder), "TORCHINDUCTOR_CACHE_DIR": str(cache_root() / "inductor")}
    return {**base, "TMPDIR": str(folder), **{name: base.get(name, value) for name, value in ours.items()}}
