"""The tables of a run, kept beside its spans, so that the second report of a large run need not read them again.

    spans.jsonl  ->  .spans.jsonl.tables

A line of JSON, then the tables as Arrow streams. It holds for exactly the spans, and exactly the code, that it was made
from; whatever is wrong with it, it is as if it were not there. It is read as data: nothing in it can be executed.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import xxhash

from profiler import __version__
from profiler.store import arrow
from profiler.store.parallel import Content

LEAST_BYTES: Final = 4 << 20  # below that, spans are read about as fast
_FORMAT: Final = "profiler-tables"
_MOST_HEADER_BYTES: Final = 1 << 16
_PACKAGE: Final = Path(__file__).parents[1]
_SOURCES: Final = ("semconv.py", "analysis/*.py", "store/*.py")


@dataclass(frozen=True)
class Key:
    """What a cache holds for: the spans, and the code that made tables of them."""

    size: int
    content: str
    code: str


def cache_path(spans: Path) -> Path:
    """Where the tables of a file of spans are kept."""
    return spans.with_name(f".{spans.name}.tables")


def key_of(spans: Path) -> Key:
    """Hash the file: some tenths of a second per gigabyte, most of it reading.

    Raises:
        OSError: it cannot be read.
    """
    with spans.open("rb") as file:
        digest = file_digest(file, xxhash.xxh3_128)
        return Key(os.fstat(file.fileno()).st_size, digest.hexdigest(), _code())


@cache
def _code() -> str:
    """A digest of everything that decides what the tables hold: no version number to forget."""
    digest = xxhash.xxh3_128(__version__.encode())
    for pattern in _SOURCES:
        for path in sorted(_PACKAGE.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def load(spans: Path) -> Content | None:
    """The tables, if they are there and hold for these spans."""
    try:
        with _opened(cache_path(spans)) as file:
            header = json.loads(file.readline(_MOST_HEADER_BYTES))
            if header["format"] != _FORMAT or header["code"] != _code() or header["size"] != spans.stat().st_size:
                return None
            payload = file.read()
        if xxhash.xxh3_128_hexdigest(payload) != header["payload"] or key_of(spans).content != header["content"]:
            return None
        return _content(header, payload)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError, pa.ArrowException):
        return None


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file: a pipe of that name would be waited for, without end."""
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("not a regular file")
    return file


def _content(header: Mapping[str, Any], payload: bytes) -> Content | None:
    schemas = [*arrow.SCHEMAS.values(), arrow.INDEX]
    tables, at = [], 0
    whole = pa.py_buffer(payload)
    for length, schema in zip(header["lengths"], schemas, strict=True):
        table = arrow.from_stream(whole.slice(at, length))
        if table.schema != schema:
            return None
        table.validate(full=True)
        tables.append(table)
        at += length
    by_name = dict(zip(arrow.SCHEMAS, tables, strict=False))
    if not arrow.are_possible(by_name, tables[-1], header["size"]) or header["rootless"] < 0:
        return None
    return Content(by_name, tables[-1], cut_off=bool(header["cut_off"]), rootless=int(header["rootless"]))


def save(spans: Path, key: Key, content: Content) -> None:
    """Keep the tables; where that is not possible (a folder that cannot be written to, no space), do without."""
    # LZ4: a third of the size, and a hundredth of a second per 100,000 spans to undo.
    streams = [arrow.stream_of(table, compression="lz4") for table in (*content.tables.values(), content.index)]
    digest = xxhash.xxh3_128()
    for stream in streams:
        digest.update(stream)
    header = {
        "format": _FORMAT,
        "code": key.code,
        "size": key.size,
        "content": key.content,
        "payload": digest.hexdigest(),
        "lengths": [len(stream) for stream in streams],
        "cut_off": content.cut_off,
        "rootless": content.rootless,
    }
    target = cache_path(spans)
    new = target.with_name(f"{target.name}.{os.getpid()}.new")
    with suppress(OSError):
        try:
            with new.open("xb") as file:
                _write(file, header, streams)
            os.replace(new, target)  # noqa: PTH105 - atomic: no reader sees half of it
        except OSError:
            new.unlink(missing_ok=True)
            raise


def _write(file: IO[bytes], header: Mapping[str, Any], streams: list[pa.Buffer]) -> None:
    file.write(json.dumps(header).encode() + b"\n")
    for stream in streams:
        file.write(stream)
