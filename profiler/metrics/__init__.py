"""Metrics while a run goes on: its figures to a collector and to Prometheus, the engine's own beside the spans.

    finished chain -> feed (thread) -> figures (histograms) -> otlp (thread) | scrape (server)
    engine's /metrics -> sampler (thread) -> engine-metrics.jsonl

What is told is derived from the spans of finished chains and from nothing else. Importing this is cheap.
"""
