"""Progress of long work that counts up, on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import click

_QUIET_S: Final = 2.0  # work that is over before says nothing
_EVERY_S: Final = 10.0


class Counting:
    """How much of something has been done, of a total if that is known."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._told = time.monotonic() + _QUIET_S - _EVERY_S
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
                refresh_per_second=4,
            )
            self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, number: int = 1) -> None:
        """So much more is done."""
        self._done += number
        if self._bar is not None:
            self._bar.update(self._task, advance=number)
        elif time.monotonic() - self._told > _EVERY_S:
            self._told = time.monotonic()
            of = "" if self._total is None else f" of {self._total:,}"
            with suppress(OSError, ValueError):
                click.echo(f"{self._done:,}{of} {self._what}", err=True)
