"""The report for programs: the same figures as JSON, in nanoseconds and shares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from profiler.analysis.summary import Summary
from profiler.analysis.tables import Tables
from profiler.store.manifest import Manifest

VERSION = 1


def render_json(summary: Summary, tables: Tables, manifest: Manifest | None, caveats: Sequence[str]) -> str:
    """One JSON object: `summary`, `chains` (a row each, with all phases), `caveats`, `run`."""
    figures = asdict(summary)
    if summary.compounding is not None:
        figures["compounding"] |= {
            "per_100ms_per_call_ns": summary.compounding.chain_ns(per_call_ns=100_000_000),
            "per_1ms_per_token_ns": summary.compounding.chain_ns(per_token_ns=1_000_000),
        }
    document = {
        "format": "profiler-report",
        "version": VERSION,
        "summary": figures,
        "chains": rows(tables.chains),
        "caveats": list(caveats),
        "run": manifest.model_dump(mode="json") if manifest else None,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is an escape, as it came


def rows(table: Any) -> list[dict[str, Any]]:
    """A table's rows as plain values; missing is null."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict(orient="records")]


def _plain(value: Any) -> Any:
    import pandas as pd

    return None if value is pd.NA or value is None or value != value else value  # noqa: PLR0124 - NaN
