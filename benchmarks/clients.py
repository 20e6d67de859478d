"""How each client is driven, and what it says of each request: TTFT and TPOT as it reports them, untouched.

Every client streams over the OpenAI chat API with so many requests at once in a closed loop, 128 output tokens each,
and is a process of its own that inherits the caller's pinning. The request's id joins its figures to the engine's log:

    client               request's id                          TTFT                    TPOT
    profiler             gen_ai.response.id of the call        `ttft_ns` of the call   `tpot_ns`
    aiperf 0.13.0        x_request_id, which it sends          time_to_first_token     inter_token_latency
    guidellm 0.8.1       response_id                           time_to_first_token_ms  inter_token_latency_ms
    vllm bench 0.32.0    --request-id-prefix and the number    ttfts                   (latency - ttft) / (n - 1)
    httpx and httpx2     X-Request-Id, which it sends          peers/stream_loop.py
    sockets              X-Request-Id, which it sends          peers/socket_loop.py

What aiperf calls inter_token_latency and guidellm inter_token_latency_ms is the mean over a request: TPOT. None of the
three needs a network: aiperf and guidellm get the profiler's tiny tokenizer as a local folder, vLLM's client the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import environments

from profiler.analysis.tables import build_tables
from profiler.engines import tiny_model
from profiler.engines.cache import cache_root
from profiler.engines.environments import list_environments
from profiler.semconv import RESPONSE_ID
from profiler.store.reader import load_run

OUTPUT_TOKENS = 128
PROMPT_TOKENS = 50
LIMIT_S = 300
_SHOWN = 2000
FORCED = {"min_tokens": OUTPUT_TOKENS, "ignore_eos": True}


class NotRun(Exception):
    """The client could not be installed or did not come to its end; the message is the last of what it said."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a client."""

    base_url: str
    """Of the engine, without /v1."""
    model: str
    streams: int
    requests: int
    tools: bool = False
    """Answers are tool calls, as long as they get, instead of 128 tokens of words."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a client says of one request; None where it says nothing."""

    id: str
    """As the engine logs it."""
    ttft_ns: float | None
    tpot_ns: float | None


Client = Callable[[Load, Path], list[Measured]]
"""Runs a load with a scratch folder; raises NotRun or NotInstalled."""


def profiler(agent: str, load: Load, scratch: Path) -> list[Measured]:
    """`profiler run` on an agent of one call; the figures are those of its reports, computed from the spans on disk."""
    agent = f"tools_{agent}" if load.tools else agent
    tasks = scratch / "tasks.json"
    questions = [{"id": str(number), "input": f"Count from {number}."} for number in range(load.requests)]
    tasks.write_text(json.dumps({"tasks": questions}), encoding="utf-8")
    folder = scratch / "run"
    run = [sys.executable, "-m", "profiler", "run", f"{environments.PEERS / 'one_call_agent.py'}:{agent}"]
    run += ["--base-url", f"{load.base_url}/v1", "--model", load.model, "--tasks", str(tasks), "--warmup", "0"]
    run += ["--concurrency", str(load.streams), "--no-script", "--out", str(folder)]
    _finish(run, PYTHONPATH=str(environments.ROOT))
    traces = load_run(folder).traces
    ids = {span.span_id: span.attributes.get(RESPONSE_ID) for trace in traces for span in trace.spans}
    calls = build_tables(traces).calls
    return [
        Measured(str(ids[row["span_id"]]), _number(row["ttft_ns"]), _number(row["tpot_ns"]))
        for row in calls.to_dict(orient="records")
    ]


def loop(program: Sequence[str], load: Load, scratch: Path) -> list[Measured]:  # noqa: ARG001
    """A program of `peers/` that takes the load as JSON and prints its figures."""
    told = {**asdict(load), "url": f"{load.base_url}/v1/chat/completions", "output_tokens": OUTPUT_TOKENS}
    name, *arguments = program
    said = _finish([sys.executable, str(environments.PEERS / name), *arguments, json.dumps(told)])
    answers = [json.loads(line) for line in said.splitlines()]
    return [Measured(f"chatcmpl-{each['id']}", each["ttft_ns"], each["tpot_ns"]) for each in answers]


def aiperf(load: Load, scratch: Path) -> list[Measured]:
    """AIPerf counts tokens by the server's usage, as its own documentation advises for an exact count."""
    python = environments.peer_python("aiperf")
    command = [str(python.with_name("aiperf")), "profile", "--model", load.model, "--url", load.base_url]
    command += ["--endpoint-type", "chat", "--streaming", "--concurrency", str(load.streams)]
    command += ["--request-count", str(load.requests), "--tokenizer", str(tokenizer(python))]
    command += ["--isl", str(PROMPT_TOKENS), "--osl", str(OUTPUT_TOKENS), "--use-server-token-count"]
    command += ["--extra-inputs", json.dumps(FORCED), "--ui", "none", "--no-gpu-telemetry", "--no-server-metrics"]
    _finish([*command, "--output-artifact-dir", str(scratch)])
    return [_of_aiperf(json.loads(line)) for line in (scratch / "profile_export.jsonl").read_bytes().splitlines()]


def guidellm(load: Load, scratch: Path) -> list[Measured]:
    """GuideLLM in its concurrent profile; its figures of successful requests."""
    python = environments.peer_python("guidellm")
    report = scratch / "guidellm.json"
    settings: dict[str, dict[str, Any]] = {
        "backend": {
            "kind": "openai_http",
            "target": load.base_url,
            "model": load.model,
            "request_format": "/v1/chat/completions",
            "extras": {"body": FORCED},
        },
        "profile": {"kind": "concurrent", "streams": load.streams},
        "constraint": {"kind": "max_requests", "count": load.requests},
        "tokenizer": {"kind": "huggingface_auto", "model": str(tokenizer(python))},
        "data": {"kind": "synthetic_text", "prompt_tokens": PROMPT_TOKENS, "output_tokens": OUTPUT_TOKENS},
        "output": {"kind": "json", "path": str(report)},
    }
    command = [str(python.with_name("guidellm")), "run", "--disable-console"]
    _finish([*command, *(part for name, value in settings.items() for part in (f"--{name}", json.dumps(value)))])
    requests = json.loads(report.read_bytes())["benchmarks"][0]["requests"]
    return [
        Measured(each["response_id"], _ms(each["time_to_first_token_ms"]), _ms(each["inter_token_latency_ms"]))
        for each in requests["successful"]
    ]


def vllm_bench(load: Load, scratch: Path) -> list[Measured]:
    """`vllm bench serve` of the vLLM that `profiler engine install` provides.

    Its detailed result has no TPOT per request; it is computed here as it computes its mean.
    """
    python = _vllm_python()
    command = [str(python), str(environments.PEERS / "vllm_bench.py"), "--backend", "openai-chat"]
    command += ["--base-url", load.base_url, "--endpoint", "/v1/chat/completions", "--model", str(tokenizer(python))]
    command += ["--served-model-name", load.model, "--dataset-name", "random"]
    command += ["--random-input-len", str(PROMPT_TOKENS), "--random-output-len", str(OUTPUT_TOKENS)]
    command += ["--num-prompts", str(load.requests), "--max-concurrency", str(load.streams), "--ignore-eos"]
    command += ["--extra-body", json.dumps(FORCED), "--request-id-prefix", "bench-", "--disable-tqdm"]
    command += ["--save-result", "--save-detailed", "--result-dir", str(scratch), "--result-filename", "bench.json"]
    _finish(command)
    result = json.loads((scratch / "bench.json").read_bytes())
    rows = zip(result["ttfts"], result["latencies"], result["output_lens"], result["errors"], strict=True)
    return [_of_vllm(number, *row) for number, row in enumerate(rows)]


CLIENTS: dict[str, Client] = {
    "sockets": partial(loop, ["socket_loop.py"]),
    "profiler": partial(profiler, "over_httpx2"),
    "profiler, OpenAI SDK": partial(profiler, "with_sdk"),
    "httpx2 loop": partial(loop, ["stream_loop.py", "httpx2"]),
    "httpx loop": partial(loop, ["stream_loop.py", "httpx"]),
    "vllm bench": vllm_bench,
    "guidellm": guidellm,
    "aiperf": aiperf,
}


def tokenizer(python: Path) -> Path:
    """A folder with the tiny model's tokenizer; load generators make their prompts with one."""
    folder = cache_root() / "benchmarks" / f"tokenizer-{tiny_model.FORMAT}"
    if not folder.exists():
        _finish([str(python), tiny_model.__file__, str(folder)])
    return folder


def _vllm_python() -> Path:
    found = [each.python for each in list_environments() if each.complete and each.name.startswith("vllm")]
    if not found:
        raise NotRun("there is no vLLM: run `profiler engine install`")
    return found[0]


def _finish(command: Sequence[str], **variables: str) -> str:
    """Run a client to its end; its standard output."""
    # a local folder is a tokenizer to all of them, and nothing else may be looked for in the network
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "VLLM_NO_USAGE_STATS": "1"}
    environment = environments.clean_environment(**quiet, **variables)
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            said, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired as expired:
            raise NotRun(f"no end within {LIMIT_S} s") from expired
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # load generators have workers
        if process.returncode != 0:
            errors.seek(0)
            raise NotRun((errors.read().strip() or said.strip())[-_SHOWN:])
    return said


def _of_aiperf(record: dict[str, Any]) -> Measured:
    def figure(name: str) -> float | None:
        return _ms((record.get("metrics") or {}).get(name, {}).get("value"))

    request_id = f"chatcmpl-{record['metadata']['x_request_id']}"
    return Measured(request_id, figure("time_to_first_token"), figure("inter_token_latency"))


def _of_vllm(number: int, ttft_s: float, latency_s: float, tokens: int, error: str) -> Measured:
    request_id = f"chatcmpl-bench-{number}"
    if error or not ttft_s:
        return Measured(request_id, None, None)
    return Measured(request_id, ttft_s * 1e9, (latency_s - ttft_s) * 1e9 / (tokens - 1) if tokens > 1 else None)


def _ms(value: float | None) -> float | None:
    return None if value is None else value * 1e6


def _number(value: Any) -> float | None:
    return None if value != value or value is None else float(value)  # noqa: PLR0124 - NaN
