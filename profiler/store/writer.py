"""Writing a run: one line of OTLP JSON per finished chain, on disk before the next begins."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from profiler.errors import StoreError, UsageError
from profiler.store.manifest import MANIFEST_FILE, SPANS_FILE, Manifest
from profiler.store.otlp import encode

# A file name that is not UTF-8 reaches an error's text as lone surrogates; in JSON they can stand as escapes.
_UTF8 = ("utf-8", "backslashreplace")


def create_run_folder(path: Path) -> Path:
    """Make the folder of a new run and claim it with an empty `spans.jsonl`: of two runs only one gets it.

    Raises:
        UsageError: it exists and is not empty, or cannot be written to.
    """
    taken = UsageError(f"{path} exists already and will not be overwritten", remedy="choose another folder with --out")
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise taken
        path.mkdir(parents=True, exist_ok=True)
        (path / SPANS_FILE).open("xb").close()
    except FileExistsError as error:
        raise taken from error
    except OSError as error:
        raise UsageError(
            f"cannot write to {path}: {error.strerror}", remedy="choose another folder with --out"
        ) from error
    return path


class RunWriter:
    """The open `spans.jsonl` of a run, and its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spans_written = 0
        self.broken: StoreError | None = None
        self._file = (folder / SPANS_FILE).open("ab", buffering=0)
        self._whole_lines = threading.Lock()  # chains and spans of the engine come from different threads

    def write_chain(self, spans: Sequence[ReadableSpan]) -> None:
        """Append one chain's spans as one line. After a failure it writes nothing more: see `broken`."""
        if self.broken is None and self.write_line(encode(spans)):
            self.spans_written += len(spans)

    def write_line(self, line: bytes) -> bool:
        """Append a line of OTLP JSON, such as spans that an engine sent; whether it was written."""
        left = memoryview(line)
        with self._whole_lines:
            if self.broken is not None or self._file.closed:
                return False
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError as error:
                self.broken = StoreError(
                    f"cannot write to {self.folder / SPANS_FILE}: {error.strerror}",
                    remedy="free some space or choose another folder with --out; "
                    f"the {self.spans_written} spans written before are kept",
                )
                return False
        return True

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace `run.json` as a whole.

        Raises:
            StoreError: it cannot be written.
        """
        write_manifest(self.folder, manifest)

    def close(self) -> None:
        """Close the file."""
        with self._whole_lines:
            self._file.close()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the `run.json` of a run's folder as a whole.

    Raises:
        StoreError: it cannot be written.
    """
    target = folder / MANIFEST_FILE
    temporary = target.with_suffix(".json.new")
    try:
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
        temporary.write_bytes(text.encode(*_UTF8))
        os.replace(temporary, target)  # noqa: PTH105 - atomic, also over an existing file
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StoreError(f"cannot write {target}: {error.strerror}", remedy="free some space") from error
