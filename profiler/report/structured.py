"""The report for programs: the same figures as JSON, in nanoseconds and shares. docs/reports.md describes the keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from profiler.analysis.explain import Explanation
from profiler.analysis.tables import Tables
from profiler.store.manifest import Manifest

FORMAT = "profiler-report"
VERSION = 2  # 1 had no explanation: summary, chains, caveats and run are as they were
_PARTS = ("findings", "compounding", "context", "tails", "variance", "on_path", "gaps", "waterfall", "repairs")


def render_json(explanation: Explanation, tables: Tables, manifest: Manifest | None, caveats: Sequence[str]) -> str:
    """One JSON object: findings first, then everything that they rest on, a row per chain, caveats and manifest."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        **explained(explanation),
        "chains": rows(tables.chains),
        "caveats": list(caveats),
        "run": manifest.model_dump(mode="json") if manifest else None,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is an escape, as it came


def explained(explanation: Explanation) -> dict[str, Any]:
    """An explanation as plain values: `summary` and the parts; what cannot be told is null."""
    figures = asdict(explanation)
    summary = figures["summary"]
    short = explanation.summary.compounding
    if short is not None:
        summary["compounding"] = {
            "path_calls": short.path_calls,
            "path_decode_tokens": short.path_decode_tokens,
            "per_100ms_per_call_ns": short.chain_ns(per_call_ns=100_000_000),
            "per_1ms_per_token_ns": short.chain_ns(per_token_ns=1_000_000),
        }
    figures["repairs"] = [{"kind": kind, "count": number} for kind, number in explanation.repairs]
    plain: dict[str, Any] = plain_values({"summary": summary, **{name: figures[name] for name in _PARTS}})
    return plain


def plain_values(value: Any) -> Any:
    """Without NaN and infinities, which JSON does not have; tuples as lists."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {name: plain_values(each) for name, each in value.items()}
    return [plain_values(each) for each in value] if isinstance(value, list | tuple) else value


def rows(table: Any) -> list[dict[str, Any]]:
    """A table's rows as plain values; missing is null."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict(orient="records")]


def _plain(value: Any) -> Any:
    import pandas as pd

    return None if value is pd.NA or value is None or value != value else value  # noqa: PLR0124 - NaN
