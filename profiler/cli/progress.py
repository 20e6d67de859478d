"""Progress of a run, on stderr: a live bar on a terminal, a plain line per chain elsewhere."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from profiler.report.text import duration, plural, safe

if TYPE_CHECKING:
    from profiler.record.runner import ChainResult


class Progress:
    """Shows each chain as it ends."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=4,  # its thread takes time from the agent
            )
            self._task = self._bar.add_task("chains", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def chain(self, result: ChainResult) -> None:
        """A chain has ended."""
        self._done += 1
        line = self._line(result)
        if self._bar is None:
            with suppress(OSError, ValueError):  # nobody reads it any more: no reason to lose a run
                click.echo(f"[{self._done}/{self._total}] {line}", err=True)
            return
        if result.failure is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        self._bar.update(self._task, advance=1, description=safe(result.job.task.id, 40))

    @staticmethod
    def _line(result: ChainResult) -> str:
        kind = " (warm-up)" if result.job.warmup else f" #{result.job.repeat}" if result.job.repeat > 1 else ""
        line = f"{safe(result.job.task.id, 60)}{kind}: {duration(result.e2e_ns)}, {plural(result.calls, 'call')}"
        if result.failure is not None:
            line += f": failed: {result.failure.type}: {safe(result.failure.message, 160)}"
        return line
