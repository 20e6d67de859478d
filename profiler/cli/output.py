"""Where a report goes: the terminal, a file, or a folder of tables. Nothing of somebody else's is overwritten."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

from profiler.errors import StoreError, UsageError

STDOUT = Path("-")
_LOOKED_AT = 4096  # bytes of a file, in which a report of ours says what it is
MARKS = (
    b'name="generator" content="agent-chain-profiler',
    b'"format": "profiler-report"',
    b'"format": "profiler-comparison"',
    b'"format": "profiler-check"',
    b'"format": "profiler-trend"',
    b'<testsuite name="agent-chain-profiler"',
    b"<!-- agent-chain-profiler",
)


def put(report: str | bytes, target: Path | None, *, force: bool = False) -> None:
    """Print it, or write it to a file in one go.

    Raises:
        UsageError: binary for a terminal, or a file that is there already and is no report of ours.
        StoreError: the file cannot be written.
    """
    content = report.encode("utf-8", "backslashreplace") if isinstance(report, str) else report
    if target is not None and target != STDOUT:
        check_replaceable(target, force=force)
        if target.exists() and not target.is_file():  # /dev/null, a pipe
            _write_into(target, content)
        else:
            _write(target, content)
    elif isinstance(report, str):
        click.echo(report, nl=False)
    elif sys.stdout.isatty():
        raise UsageError("Parquet is binary and would garble the terminal", remedy="give --output FILE, or pipe it")
    else:
        sys.stdout.buffer.write(content)


def put_all(files: Iterable[tuple[str, str | bytes]], folder: Path, *, force: bool = False) -> list[Path]:
    """Write several files into a folder, which is made if need be; none if one of them may not be replaced."""
    named = [(folder / name, content) for name, content in files]
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"{folder} is a file, and several tables need a folder", remedy="name one, or choose a --table"
        )
    for path, _ in named:
        check_replaceable(path, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the folder {folder}: {error.strerror}") from error
    for path, content in named:
        _write(path, content.encode() if isinstance(content, str) else content)
    return [path for path, _ in named]


def check_replaceable(path: Path, *, force: bool) -> None:
    """That a report may be written there: told before what it takes minutes to find out.

    Raises:
        UsageError: a folder, or a file that is no report of ours.
        StoreError: it cannot be looked at.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", remedy="name a file")
    if force or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError as error:
        raise StoreError(f"cannot look at {path}, which is there already: {error.strerror}") from error
    if not any(mark in start for mark in MARKS):
        raise UsageError(
            f"{path} exists already, is no report of ours, and will not be overwritten",
            remedy="name another file with --output, or add --force",
        )


def _write(path: Path, content: bytes) -> None:
    """Write it beside its place and put it there whole: who has it open sees the old one or the new one."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", remedy="name another place with --output") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise StoreError(f"cannot write {path}: {error.strerror}", remedy="name another place with --output") from error


def _write_into(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
