"""The metric tables' columns and types, and how batches of rows become tables.

Columns and units are described in docs/metrics.md and docs/tables.md. Durations are integer nanoseconds (`_ns`);
where a value may be missing the column is one of the nullable types `Int64`, `Float64`, `boolean` and `string`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import TYPE_CHECKING, Any

from profiler.analysis.phases import PHASES

if TYPE_CHECKING:  # processes that only make rows do without pandas: half a second of each core
    import pandas as pd

CHAINS: Mapping[str, str] = {
    "trace_id": "string",
    "task_id": "string",
    "task_tags": "string",
    "repeat": "Int64",
    "warmup": "bool",
    "failed": "bool",
    "error_type": "string",
    "start_ns": "int64",
    "e2e_ns": "int64",
    "steps": "int64",
    "calls": "int64",
    "failed_calls": "int64",
    "tools": "int64",
    "failed_tools": "int64",
    "path_calls": "int64",
    "path_decode_tokens": "Int64",
    "unused_script_calls": "int64",
    **{f"{phase}_ns": "int64" for phase in PHASES},
    "parallel": "bool",
    **{f"gain_without_{phase}_ns": "int64" for phase in PHASES},
}
CALL_PHASES = ("client", "load", "queue", "prefill", "decode", "inference", "delivery", "unaccounted", "retry")
CALLS: Mapping[str, str] = {
    "trace_id": "string",
    "span_id": "string",
    "task_id": "string",
    "warmup": "bool",
    "chain_failed": "bool",
    "index": "int64",
    "position": "int64",
    "step": "string",
    "node": "string",
    "place": "string",
    "model": "string",
    "attempt": "int64",
    "failed": "bool",
    "error_type": "string",
    "stream": "bool",
    "truncated": "bool",
    "start_ns": "int64",
    "call_e2e_ns": "int64",
    "sent_ns": "Int64",
    "ttft_ns": "Int64",
    "tpot_ns": "Float64",
    "tpot_source": "string",
    "input_tokens": "Int64",
    "cached_tokens": "Int64",
    "output_tokens": "Int64",
    "scripted_tokens": "Int64",
    "chunks": "int64",
    "queue_ns": "Int64",
    "prefill_ns": "Int64",
    "decode_ns": "Int64",
    "load_ns": "Int64",
    "inference_ns": "Int64",
    "timing_source": "string",
    "path_ns": "int64",
    **{f"path_{phase}_ns": "int64" for phase in CALL_PHASES},
    "slack_ns": "int64",
    "drag_ns": "int64",
    "pool_wait_ns": "Int64",
    "connect_ns": "Int64",
    "headers_ns": "Int64",
    "lag_max_ns": "Int64",
    "first_late_ns": "Int64",
    "last_chunk_ns": "Int64",
    "distinct_arrivals": "int64",
    "finish_reason": "string",
    "adapted": "string",
    "hidden_generation": "bool",
    "messages": "Int64",
    "kept_messages": "Int64",
    "previous_messages": "Int64",
    "tools_changed": "boolean",
    "broken_at_chars": "Int64",
    "opening_digest": "Int64",
    "opening_chars": "Int64",
    "prompt_chars": "Int64",
}
STEPS: Mapping[str, str] = {
    "trace_id": "string",
    "warmup": "bool",
    "chain_failed": "bool",
    "position": "int64",
    "node": "string",
    "kind": "string",
    "start_ns": "int64",
    "end_ns": "int64",
    "path_ns": "int64",
    "cumulative_ns": "int64",
    **{f"{phase}_ns": "int64" for phase in PHASES},
    "slack_ns": "int64",
    "drag_ns": "int64",
    "on_path": "bool",
}
TOOLS: Mapping[str, str] = {
    "trace_id": "string",
    "span_id": "string",
    "task_id": "string",
    "warmup": "bool",
    "chain_failed": "bool",
    "position": "int64",
    "step": "string",
    "tool": "string",
    "failed": "bool",
    "error_type": "string",
    "start_ns": "int64",
    "duration_ns": "int64",
    "path_ns": "int64",
    "slack_ns": "int64",
    "drag_ns": "int64",
    "own_ns": "int64",
}
GAPS: Mapping[str, str] = {
    "trace_id": "string",
    "warmup": "bool",
    "chain_failed": "bool",
    "position": "int64",
    "after": "string",
    "before": "string",
    "owner": "string",
    "start_ns": "int64",
    "duration_ns": "int64",
    "cause": "string",
}
REPAIRS: Mapping[str, str] = {"trace_id": "string", "kind": "string", "count": "int64", "detail": "string"}

_TEXTS_THAT_MAY_MISS = frozenset({"task_tags", "error_type", "tpot_source", "timing_source", "finish_reason"})


def may_miss(column: str, dtype: str) -> bool:
    """Whether a value of this column may be missing."""
    return column in _TEXTS_THAT_MAY_MISS if dtype == "string" else dtype not in ("int64", "bool")


# A row's values stand in the order of its table's columns.
Row = tuple[Any, ...]
Values = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class Columns:
    """A batch of rows as plain columns: table -> column -> values, None where missing."""

    chains: Values
    calls: Values
    steps: Values
    tools: Values
    gaps: Values
    repairs: Values


TYPES: Mapping[str, Mapping[str, str]] = {
    "chains": CHAINS,
    "calls": CALLS,
    "steps": STEPS,
    "tools": TOOLS,
    "gaps": GAPS,
    "repairs": REPAIRS,
}


def _no_rows(table: str) -> pd.DataFrame:
    return frame_of(columns_from_rows((), TYPES[table]), TYPES[table])


@dataclass(frozen=True)
class Tables:
    """All figures of a run."""

    chains: pd.DataFrame
    calls: pd.DataFrame
    steps: pd.DataFrame
    tools: pd.DataFrame = field(default_factory=lambda: _no_rows("tools"))
    gaps: pd.DataFrame = field(default_factory=lambda: _no_rows("gaps"))
    repairs: pd.DataFrame = field(default_factory=lambda: _no_rows("repairs"))


def columns_from_rows(rows: Sequence[Row], types: Mapping[str, str]) -> Values:
    """Turn rows into columns; no rows make empty columns."""
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else ((),) * len(types)
    return dict(zip(types, columns, strict=True))


def frame_of(values: Mapping[str, Sequence[Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """A typed table of one batch's columns."""
    import pandas as pd

    return pd.DataFrame({name: _series(values[name], dtype) for name, dtype in types.items()})


def _series(values: Sequence[Any], dtype: str) -> pd.Series:
    import pandas as pd

    try:
        return pd.Series(values, dtype=dtype)
    except UnicodeEncodeError:
        return pd.Series(encodable(values), dtype=dtype)


def encodable(texts: Sequence[str | None]) -> list[str | None]:
    """Texts with an escape for half a surrogate pair, which a column of UTF-8 cannot hold."""
    return [None if text is None else text.encode("utf-8", "backslashreplace").decode() for text in texts]


def tables_of(batches: Sequence[Columns]) -> Tables:
    """Join batches of columns, in their order, into tables."""
    return Tables(
        **{
            table.name: _joined([getattr(batch, table.name) for batch in batches], table.name)
            for table in fields(Tables)
        }
    )


def _joined(batches: Sequence[Values], table: str) -> pd.DataFrame:
    types = TYPES[table]
    if len(batches) == 1:
        return frame_of(batches[0], types)
    return frame_of({name: list(chain.from_iterable(batch[name] for batch in batches)) for name in types}, types)
