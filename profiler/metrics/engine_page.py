"""What an engine's `/metrics` says of its load, in the names that the engines give it. Pure.

    engine       running                     waiting                   KV cache in use           preemptions
    vLLM         num_requests_running        num_requests_waiting      kv_cache_usage_perc       num_preemptions_total
    TGI          tgi_batch_current_size      tgi_queue_size            (not told)                (has none)
    SGLang       num_running_reqs            num_queue_reqs            token_usage               (not told)
    llama.cpp    requests_processing         requests_deferred         kv_cache_usage_ratio      (has none)

Only these few lines are looked at: reading all of a page of dozens of kilobytes would take the interpreter from the
agent for milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
_AFTER_NAME: Final = re.compile(rb"(?:\{.*\})?[ \t]+(\S+)")


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
    page = b"\n" + page
    for source, fields in _NAMES.items():
        told = {field: next(_told(page, names), None) for field, names in fields.items()}
        found = {field: each for field, each in told.items() if each is not None}
        if found:
            values = {
                field: max(each[1]) if field == "kv_cache_usage" else sum(each[1]) for field, each in found.items()
            }
            values = {field: value for field, value in values.items() if math.isfinite(value)}  # a sum may not be
            return Load(source, {field: found[field][0] for field in values}, values) if values else None
    return None


def _told(page: bytes, names: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
    """Those of the names that the page has, with the values of all their labels."""
    for name in names:
        values = list(_values(page, b"\n" + name.encode()))
        if values:
            yield name, values


def _values(page: bytes, beginning: bytes) -> Iterator[float]:
    at = page.find(beginning)
    while at >= 0:
        end = page.find(b"\n", at + 1)
        line = page[at + len(beginning) : end if end >= 0 else len(page)]
        found = _AFTER_NAME.match(line)
        value = _number(found[1]) if found else None
        if value is not None:
            yield value
        at = page.find(beginning, end) if end >= 0 else -1


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
