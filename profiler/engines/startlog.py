"""What an engine's log says: how far it has got while loading, and why it died. Pure but for `tail`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

TAIL_BYTES = 256 * 1024
SHOWN_LINES = 15

PHASES: tuple[tuple[str, str], ...] = (
    ("Initializing a V1 LLM engine", "starting the engine core"),
    ("Downloading", "downloading the model"),
    ("Starting to load model", "loading weights"),
    ("Loading safetensors", "loading weights"),
    ("KV cache", "preparing the KV cache"),
    ("Compiling", "compiling kernels"),
    ("torch.compile takes", "compiling kernels"),
    ("Capturing CUDA graph", "capturing CUDA graphs"),
    ("warming up", "warming up"),
    ("Starting vLLM", "opening the API"),
    ("Application startup complete", "ready"),
)
FIRST_PHASE = "importing libraries"

_NOISE = re.compile(
    r"\] Route: |[▀▄█]|warnings\.warn|^\s*\^+\s*$|^\s*File \"|Triton|LD_PRELOAD|^\s*$|\[shutdown\]"
    r"|Available routes|OpenMP thread binding|resource_tracker"
)
_PREFIX = re.compile(r"^(?:\([\w -]+pid=\d+\) )?(?:(?:INFO|WARNING|ERROR) [\d-]+ [\d:.]+ )?(?:\[[\w./]+:\d+\] ?)?")
_CAUSE = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|Exit): .+")
_ECHO = re.compile(r"See stack trace|See root cause above|EngineDeadError|Engine core initialization failed")

_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"CUDA out of memory|OutOfMemoryError|No available memory for the cache|less than desired",
        "The memory does not suffice: stop other programs that use it, or choose a smaller model.",
    ),
    (
        r"No CUDA GPUs are available|CUDA_ERROR_NO_DEVICE|driver .*too old|Failed to infer device type",
        "The engine finds no usable GPU: run `profiler engine doctor`.",
    ),
    (
        r"gated repo|401 Client Error|GatedRepoError",
        "The model needs a Hugging Face account that may read it: set HF_TOKEN.",
    ),
    (
        r"LocalEntryNotFoundError|couldn't connect|Max retries exceeded|Temporary failure in name resolution",
        "The model could not be downloaded: pass a local folder with --model, or use --model tiny-random.",
    ),
    (
        r"not a valid model identifier|RepositoryNotFoundError|does not appear to have a file named",
        "There is no such model: pass a Hugging Face id or a local folder with a config.json.",
    ),
    (
        r"OpenTelemetry is not available",
        "That Python lacks opentelemetry-sdk or its OTLP exporters: install them there, or use --engine-spans off.",
    ),
    (r"Illegal instruction|SIGILL", "The processor lacks an instruction set: run `profiler engine doctor`."),
    (r"No module named 'vllm'", "That Python has no vLLM: leave --vllm-python out to have one provisioned."),
)
_KILLED_HINT = "SIGKILL usually means out of memory: choose a smaller model or free some memory."


def tail(path: Path, n: int) -> list[str]:
    """The last `n` lines of a file that may be growing, or missing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-n:]


def phase(lines: Sequence[str]) -> str:
    """The furthest phase that the log shows."""
    found = FIRST_PHASE
    furthest = -1
    for line in lines:
        for rank, (mark, words) in enumerate(PHASES):
            if mark in line and rank > furthest:
                found, furthest = words, rank
    return found


def meaningful(lines: Sequence[str], n: int = SHOWN_LINES) -> list[str]:
    """The `n` lines most worth showing: no banners, routes and source lines, the root cause first."""
    stripped = (_PREFIX.sub("", line).rstrip() for line in lines if not _NOISE.search(line))
    plain = [line for line in stripped if not _NOISE.search(line)]
    causes = [line for line in plain if _CAUSE.match(line) and not _ECHO.search(line)]
    last = plain[-n:]
    missing = [line for line in dict.fromkeys(causes[-2:]) if line not in last]
    return [*missing, *last[len(missing) :]]


def death_report(what: str, lines: Sequence[str]) -> tuple[str, str | None, str | None]:
    """Message, remedy and details for an engine that ended although it should not have."""
    text = "\n".join(lines)
    remedy = next((hint for pattern, hint in _HINTS if re.search(pattern, text)), None)
    if remedy is None and "SIGKILL" in what:
        remedy = _KILLED_HINT
    if remedy is None and "SIGILL" in what:
        remedy = "The processor lacks an instruction set that this build needs: run `profiler engine doctor`."
    return what, remedy, "\n".join(meaningful(lines)) or None
