"""The table of `profiler selftest`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from profiler.analysis.accuracy import Errors
from profiler.report.text import duration, percent

VERSION = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One cell of the grid, ready to be shown."""

    name: str
    calls: int
    errors: Sequence[Errors]
    beyond: Sequence[str]


def render_table(cells: Sequence[Measured], width: int = 120) -> str:
    """A row per cell and metric: absolute errors, and the bias, which has a sign."""
    table = Table(box=None, pad_edge=False)
    for name in ("cell", "calls", "metric"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "p50", "p95", "p99", "max", "bias", "bias/true"):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        for position, each in enumerate(cell.errors):
            head = (cell.name, str(cell.calls)) if position == 0 else ("", "")
            table.add_row(*head, each.metric, *_figures(each), end_section=position == len(cell.errors) - 1)
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _figures(errors: Errors) -> tuple[str, ...]:
    sign = "-" if errors.bias_ns < 0 else "+"
    share = "" if errors.bias_share is None else f"{'-' if errors.bias_share < 0 else '+'}{_share(errors.bias_share)}"
    return (
        str(errors.n),
        *(duration(value) for value in (errors.p50_ns, errors.p95_ns, errors.p99_ns, errors.max_ns)),
        f"{sign}{duration(abs(errors.bias_ns))}",
        share,
    )


def _share(value: float) -> str:
    return f"{abs(value):.3%}" if abs(value) < 0.1 else percent(abs(value))  # noqa: PLR2004 - a tenth needs no more


def render_json(cells: Sequence[Measured], machine: dict[str, object]) -> str:
    """The same for programs, in nanoseconds and shares."""
    document = {
        "format": "profiler-selftest",
        "version": VERSION,
        "machine": machine,
        "within_limits": not any(cell.beyond for cell in cells),
        "cells": [asdict(cell) for cell in cells],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
