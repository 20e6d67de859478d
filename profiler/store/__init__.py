"""Runs on disk: a folder with `run.json` (the manifest) and `spans.jsonl` (OTLP JSON lines)."""
