"""The page that Prometheus reads, under the names that vLLM, TGI and llama.cpp give their metrics (in seconds)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from profiler.engines.sim.scheduler import Scheduler
    from profiler.truth import Truth

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)


class Gauges(Protocol):
    """A page of metrics."""

    def finished(self, truth: Truth, reason: str) -> None:
        """Count a request that was answered; `reason` is its finish reason."""

    def page(self, scheduler: Scheduler, only: Sequence[str] = ()) -> bytes | None:
        """The text that a scrape gets, with names that of these metrics alone; None if there is no such page."""


class NoGauges:
    """A server without metrics."""

    def finished(self, truth: Truth, reason: str) -> None:
        """Count nothing."""

    def page(self, scheduler: Scheduler, only: Sequence[str] = ()) -> None:
        """There is none."""


def _page(registry: CollectorRegistry, only: Sequence[str]) -> bytes:
    """The histograms are most of a page, and most of the time that it takes from the requests' own."""
    return generate_latest(registry.restricted_registry(only) if only else registry)


class VllmGauges:
    """What vLLM's `/metrics` says, as far as the time model knows it."""

    def __init__(self, model: str) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model, "engine": "0"}
        self._running = self._gauge("num_requests_running", "Requests in model execution batches.")
        self._waiting = self._gauge("num_requests_waiting", "Requests waiting to be processed.")
        self._usage = self._gauge("kv_cache_usage_perc", "KV-cache usage; 1 means 100 percent.")
        self._queries = self._counter("prefix_cache_queries", "Prefix cache queries, in tokens.")
        self._hits = self._counter("prefix_cache_hits", "Prefix cache hits, in tokens.")
        self._preemptions = self._counter("num_preemptions", "Preemptions.")
        self._told = (0, 0, 0)  # of these three, at the last scrape
        self._prompt = self._counter("prompt_tokens", "Prefill tokens processed.")
        self._generated = self._counter("generation_tokens", "Generation tokens processed.")
        self._success = Counter(
            "vllm:request_success", "Finished requests.", [*self._labels, "finished_reason"], registry=self._registry
        )
        self._ttft = self._histogram("time_to_first_token_seconds", "Time to first token.")
        self._tpot = self._histogram("request_time_per_output_token_seconds", "Time per output token of a request.")
        self._e2e = self._histogram("e2e_request_latency_seconds", "End-to-end latency.")
        self._queue = self._histogram("request_queue_time_seconds", "Time in the queue.")
        self._prefill = self._histogram("request_prefill_time_seconds", "Time of prefill.")
        self._decode = self._histogram("request_decode_time_seconds", "Time of decode.")

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, list(self._labels), registry=self._registry).labels(**self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, list(self._labels), registry=self._registry).labels(**self._labels)

    def _histogram(self, name: str, text: str) -> Histogram:
        histogram = Histogram(f"vllm:{name}", text, list(self._labels), registry=self._registry, buckets=_SECONDS)
        return histogram.labels(**self._labels)

    def finished(self, truth: Truth, reason: str) -> None:
        """Count a request that was answered."""
        if truth.first_token_ns is None or truth.last_token_ns is None:
            return
        self._success.labels(**self._labels, finished_reason="length" if reason == "length" else "stop").inc()
        self._prompt.inc(truth.prompt_tokens or 0)
        self._generated.inc(truth.output_tokens or 0)
        self._ttft.observe((truth.first_token_ns - truth.arrival_ns) / 1e9)
        self._e2e.observe((truth.last_token_ns - truth.arrival_ns) / 1e9)
        self._queue.observe((truth.queue_ns or 0) / 1e9)
        self._prefill.observe((truth.prefill_ns or 0) / 1e9)
        self._decode.observe((truth.decode_ns or 0) / 1e9)
        if (truth.output_tokens or 0) > 1:
            self._tpot.observe((truth.decode_ns or 0) / 1e9 / ((truth.output_tokens or 0) - 1))

    def page(self, scheduler: Scheduler, only: Sequence[str] = ()) -> bytes:
        """The text that a scrape gets, as a server with Prometheus' own library would answer `name[]`."""
        self._running.set(scheduler.running)
        self._waiting.set(scheduler.waiting)
        self._usage.set(scheduler.kv_usage)
        totals = (scheduler.prefix_queries, scheduler.prefix_hits, scheduler.preemptions)
        for counter, now, told in zip((self._queries, self._hits, self._preemptions), totals, self._told, strict=True):
            counter.inc(now - told)
        self._told = totals
        return _page(self._registry, only)


class TgiGauges:
    """What TGI's `/metrics` says, as far as the time model knows it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._batch = Gauge("tgi_batch_current_size", "Requests in the running batch.", registry=self._registry)
        self._size = Gauge("tgi_queue_size", "Requests in the queue.", registry=self._registry)
        # Counters in TGI; here gauges, because the library would call counters tgi_request_count_total.
        self._count = Gauge("tgi_request_count", "Requests.", registry=self._registry)
        self._success = Gauge("tgi_request_success", "Requests that succeeded.", registry=self._registry)
        self._duration = self._histogram("duration", "End-to-end latency.")
        self._queue = self._histogram("queue_duration", "Time in the queue.")
        self._inference = self._histogram("inference_duration", "Time of inference, prefill included.")
        self._per_token = self._histogram("mean_time_per_token_duration", "Inference time per generated token.")

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"tgi_request_{name}", text, registry=self._registry, buckets=_SECONDS)

    def finished(self, truth: Truth, reason: str) -> None:  # noqa: ARG002 - TGI does not tell reasons apart
        """Count a request that was answered."""
        if truth.last_token_ns is None:
            return
        inference_ns = (truth.prefill_ns or 0) + (truth.decode_ns or 0)
        self._count.inc()
        self._success.inc()
        self._duration.observe((truth.last_token_ns - truth.arrival_ns) / 1e9)
        self._queue.observe((truth.queue_ns or 0) / 1e9)
        self._inference.observe(inference_ns / 1e9)
        self._per_token.observe(inference_ns / 1e9 / max(1, truth.output_tokens or 1))

    def page(self, scheduler: Scheduler, only: Sequence[str] = ()) -> bytes:  # noqa: ARG002 - nor does TGI choose
        """The text that a scrape gets."""
        self._batch.set(scheduler.running)
        self._size.set(scheduler.waiting)
        return generate_latest(self._registry)


class LlamaGauges:
    """What llama.cpp's `/metrics` says with `--metrics`, as far as the time model knows it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._prompt = self._counter("prompt_tokens", "Prompt tokens processed.")
        self._prompt_s = self._counter("prompt_seconds", "Prompt process time.")
        self._predicted = self._counter("tokens_predicted", "Generation tokens processed.")
        self._predicted_s = self._counter("tokens_predicted_seconds", "Predict process time.")
        self._processing = self._gauge("requests_processing", "Requests processing.")
        self._deferred = self._gauge("requests_deferred", "Requests deferred.")

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"llamacpp:{name}", text, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"llamacpp:{name}", text, registry=self._registry)

    def finished(self, truth: Truth, reason: str) -> None:  # noqa: ARG002 - it does not tell reasons apart
        """Count a request that was answered; what came from the cache was not processed."""
        if truth.last_token_ns is None:
            return
        self._prompt.inc((truth.prompt_tokens or 0) - (truth.cached_tokens or 0))
        self._prompt_s.inc((truth.prefill_ns or 0) / 1e9)
        self._predicted.inc(truth.output_tokens or 0)
        self._predicted_s.inc((truth.decode_ns or 0) / 1e9)

    def page(self, scheduler: Scheduler, only: Sequence[str] = ()) -> bytes:
        """The text that a scrape gets."""
        self._processing.set(scheduler.running)
        self._deferred.set(scheduler.waiting)
        return _page(self._registry, only)
