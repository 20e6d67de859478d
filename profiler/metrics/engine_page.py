"""What an engine's `/metrics` says of its load, in the names that the engines give it. Pure.

    engine       running                     waiting                   KV cache in use           preemptions
    vLLM         num_requests_running        num_requests_waiting      kv_cache_usage_perc       num_preemptions_total
    TGI          tgi_batch_current_size      tgi_queue_size            (not told)                (has none)
    SGLang       num_running_reqs            num_queue_reqs            token_usage               (not told)
    llama.cpp    requests_processing         requests_deferred         kv_cache_usage_ratio      (has none)

Only these few lines are looked at: reading all of a page of hundreds of kilobytes would take the interpreter from the
agent for milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Engine -> field of `analysis.samples.FIELDS` -> its names, the newest first.
_NAMES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "vllm": {
        "running": ("vllm:num_requests_running",),
        "waiting": ("vllm:num_requests_waiting",),
        "kv_cache_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "preemptions": ("vllm:num_preemptions_total", "vllm:num_preemptions"),
    },
    "tgi": {"running": ("tgi_batch_current_size",), "waiting": ("tgi_queue_size",)},
    "sglang": {
        "running": ("sglang:num_running_reqs",),
        "waiting": ("sglang:num_queue_reqs",),
        "kv_cache_usage": ("sglang:token_usage",),
    },
    "llama.cpp": {
        "running": ("llamacpp:requests_processing",),
        "waiting": ("llamacpp:requests_deferred",),
        "kv_cache_usage": ("llamacpp:kv_cache_usage_ratio",),
    },
}
_KNOWN: Final = [name for fields in _NAMES.values() for names in fields.values() for name in names]
_LINE: Final = re.compile(
    rb"^(" + b"|".join(re.escape(name.encode()) for name in _KNOWN) + rb")(?:\{[^\n]*\})?[ \t]+([^ \t\r\n]+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is; a field that it does not tell is missing.

    Of an engine in several parts (vLLM's data parallelism) requests and preemptions are those of all parts together,
    and the cache is that of the fullest.
    """

    source: str
    names: Mapping[str, str]  # field -> the metric that it was read from
    values: Mapping[str, float]  # field -> requests, share of the cache (1 is all of it), preemptions since its start


def read_page(page: bytes) -> Load | None:
    """The load that a page in Prometheus' text format tells; None if it is of no engine that is known."""
    found: dict[str, list[float]] = {}
    for name, text in _LINE.findall(page):
        value = _number(text)
        if value is not None:
            found.setdefault(name.decode(), []).append(value)
    for source, fields in _NAMES.items():
        names = {
            field: name
            for field, candidates in fields.items()
            if (name := next((each for each in candidates if each in found), None)) is not None
        }
        if names:
            values = {
                field: max(found[name]) if field == "kv_cache_usage" else sum(found[name])
                for field, name in names.items()
            }
            return Load(source, names, values)
    return None


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
