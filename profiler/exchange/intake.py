"""Spans from anywhere become a run: a folder with `spans.jsonl`, a chain per line, and `run.json`.

    spans, in any order  ->  .import.spans, a line for each piece of a trace  ->  spans.jsonl, a line per trace

Pieces of a trace are put together at the end, and a span that came twice, alike, is one. What is in memory is an
entry for each trace (some 200 bytes), and one trace at a time.

An import that was broken off goes on where it was: `.import.json` says what had been asked for and how much of the
pieces is certain; what was written after it is cut off.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from profiler import __version__
from profiler import semconv as sc
from profiler.errors import DataError, StoreError, UsageError
from profiler.exchange.documents import Item, by_trace, items_of, line_of, loads, plain
from profiler.exchange.present import restored
from profiler.store.manifest import MANIFEST_FILE, SPANS_FILE, Counts, Imported, Manifest, SpanCounts
from profiler.store.writer import write_manifest

STATE_FILE: Final = ".import.json"
PIECES_FILE: Final = ".import.spans"
_MOST_NAMES: Final = 20
_MOST_TASKS: Final = 1000


@dataclass
class Seen:
    """What the spans told of agent and engine, for the manifest."""

    spans: int = 0
    duplicates: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    engines: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    tasks: dict[str, None] = field(default_factory=dict)
    scripted: bool = False

    def look_at(self, item: Item) -> None:
        """Take note of a span."""
        self.spans += 1
        names = {sc.AGENT_NAME: self.agents, sc.PROVIDER: self.engines, sc.REQUEST_MODEL: self.models}
        for each in item.span.get("attributes") or ():
            key = each.get("key")
            if key in names:
                self._count(names[key], plain(each.get("value")))
            elif key == sc.TASK_ID and len(self.tasks) < _MOST_TASKS:
                self.tasks[str(plain(each.get("value")))] = None
            elif key == sc.CALL_SCRIPTED and plain(each.get("value")) is True:
                self.scripted = True

    @staticmethod
    def _count(names: Counter[str], value: Any) -> None:
        if isinstance(value, str) and (value in names or len(names) < _MOST_NAMES):
            names[value] += 1


class Intake:
    """A run that is being made of spans from elsewhere."""

    def __init__(self, folder: Path, asked: dict[str, Any]) -> None:
        """Begin, or go on with an import of the same that was broken off.

        Args:
            folder: of the run; made if need be.
            asked: what is imported: an import goes on only with the same.

        Raises:
            UsageError: there is something else in the folder, or it cannot be written to.
        """
        self.folder = folder
        self.asked = asked
        self.progress: Any = None  # how far it got, of whatever kind the source counts in
        self._index: dict[str, list[tuple[int, int]]] = {}
        self._seen = Seen()
        self.resumed = self._claim()
        try:
            self._file = (folder / PIECES_FILE).open("r+b" if self.resumed else "w+b")
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}", remedy="choose another --out") from error
        if self.resumed:
            self._read_pieces()

    def _claim(self) -> bool:
        state = self.folder / STATE_FILE
        try:
            if state.is_file() and (self.folder / PIECES_FILE).is_file():
                self._load_state(state)
                return True
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise UsageError(
                    f"{self.folder} exists already and will not be overwritten", remedy="choose another with --out"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.folder}: {error.strerror}", remedy="choose another folder with --out"
            ) from error
        self._certain = 0
        self._save_state()
        return False

    def _load_state(self, state: Path) -> None:
        try:
            raw = json.loads(state.read_text(encoding="utf-8"))
            asked, self.progress, self._certain = raw["asked"], raw["progress"], int(raw["bytes"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{state} cannot be read: what was imported before is lost", remedy=f"remove {self.folder}"
            ) from error
        if asked != json.loads(json.dumps(self.asked)):
            raise UsageError(
                f"in {self.folder} another import was broken off: {asked}",
                remedy="give that command again, or choose another folder with --out",
            )

    def _read_pieces(self) -> None:
        """The index anew; what is behind the last certain byte is cut off."""
        self._file.truncate(self._certain)
        self._file.seek(0)
        at = 0
        for line in self._file:
            for trace_id, group in by_trace(items_of(loads(line))).items():
                self._index.setdefault(trace_id, []).append((at, len(line)))
                for item in group:
                    self._seen.look_at(item)
            at += len(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def traces(self) -> int:
        """How many there are so far."""
        return len(self._index)

    def add(self, items: Iterable[Item]) -> int:
        """Take spans, in any order. How many of their traces are new.

        Raises:
            StoreError: they cannot be written.
        """
        new = 0
        for trace_id, group in by_trace(map(restored, items)).items():
            places = self._index.setdefault(trace_id, [])
            new += not places
            unique = self._unique(group)
            for item in unique:
                self._seen.look_at(item)
            line = line_of(unique)
            places.append((self._file.tell(), len(line)))
            self._write(line)
        return new

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.folder}: {error.strerror}",
                remedy="free some space and give the same command again",
            ) from error

    def reached(self, progress: Any) -> None:
        """All up to here is certain: an import that breaks off later goes on from here.

        Raises:
            StoreError: it cannot be written.
        """
        self.progress = progress
        try:
            self._file.flush()
            self._certain = self._file.tell()
            self._save_state()
        except OSError as error:
            raise StoreError(f"cannot write to {self.folder}: {error.strerror}", remedy="free some space") from error

    def _save_state(self) -> None:
        state = self.folder / STATE_FILE
        temporary = state.with_suffix(".new")
        raw = {"asked": self.asked, "progress": self.progress, "bytes": self._certain}
        temporary.write_text(json.dumps(raw), encoding="utf-8")
        os.replace(temporary, state)  # noqa: PTH105 - atomic

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        with suppress(OSError):
            for name in (PIECES_FILE, STATE_FILE, SPANS_FILE + ".new"):
                (self.folder / name).unlink(missing_ok=True)
            self.folder.rmdir()

    def finish(self, source: str, counted: Callable[[], None] = lambda: None) -> Manifest:
        """Put traces together and write the run.

        Args:
            source: where the spans came from, for the report.
            counted: called for each trace.

        Raises:
            DataError: there was not a single span.
            StoreError: it cannot be written.
        """
        if not self._index:
            raise DataError(f"there are no spans in {source}")
        target, pieces = self.folder / SPANS_FILE, self.folder / PIECES_FILE
        temporary = target.with_name(SPANS_FILE + ".new")
        try:
            self._file.flush()
            if all(len(places) == 1 for places in self._index.values()):
                os.replace(pieces, target)  # noqa: PTH105 - atomic, here and below
            else:
                with temporary.open("wb") as out:
                    for places in self._index.values():
                        out.write(self._line(places))
                        counted()
                os.replace(temporary, target)  # noqa: PTH105
            manifest = self._manifest(source)
            try:
                write_manifest(self.folder, manifest)
            except StoreError:
                if not pieces.exists():  # so that the same command can go on from here
                    os.replace(target, pieces)  # noqa: PTH105
                raise
            self._file.close()
            for name in (PIECES_FILE, STATE_FILE):
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write to {self.folder}: {error.strerror}", remedy="free some space") from error
        return manifest

    def _line(self, places: Sequence[tuple[int, int]]) -> bytes:
        """A whole trace."""
        lines = []
        for offset, length in places:
            self._file.seek(offset)
            lines.append(self._file.read(length))
        if len(lines) == 1:
            return lines[0]
        before = self._seen.duplicates
        line = line_of(self._unique([item for each in lines for item in items_of(loads(each))]))
        self._seen.spans -= self._seen.duplicates - before
        return line

    def _unique(self, items: Sequence[Item]) -> list[Item]:
        """Without spans that are there already, alike, in the order in which they are recorded: by their end."""
        found: dict[str, list[Item]] = {}
        for item in items:
            alike = found.setdefault(str(item.span["spanId"]), [])
            if item in alike:
                self._seen.duplicates += 1
            else:
                alike.append(item)
        unique = [item for alike in found.values() for item in alike]
        return sorted(unique, key=lambda item: (item.end_ns, -item.start_ns))

    def _manifest(self, source: str) -> Manifest:
        seen = self._seen
        engine = ", ".join(name for name, _ in seen.engines.most_common(3)) or "an unknown engine"
        models = [name for name, _ in seen.models.most_common()]
        return Manifest(
            status="finished",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            profiler=__version__,
            python="",
            agent={"name": next(iter(seen.agents), "agent")},
            engine={
                "name": engine,
                "model": ", ".join(models[:3]) or "?",
                "models": models,
                "simulated": set(seen.engines) == {"sim"},
            },
            script={"path": "a script"} if seen.scripted else None,
            tasks={"ids": list(seen.tasks), "count": len(seen.tasks)},
            flags={},
            host={},
            chains=Counts(planned=len(self._index), finished=len(self._index)),
            spans=SpanCounts(started=seen.spans, written=seen.spans),
            imported=Imported(source=source, asked=self.asked, duplicates=seen.duplicates),
        )


def is_begun(folder: Path) -> bool:
    """Whether an import into this folder was broken off."""
    return (folder / STATE_FILE).is_file() and not (folder / MANIFEST_FILE).exists()
