"""Writing the ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import orjson

from profiler.truth import Truth


class TruthLog:
    """The open log: a line is in the file when its request has ended. What was in the file before stays."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[bytes] | None = path.open("ab", buffering=0) if path else None

    def write(self, truth: Truth) -> None:
        """Append one line, in one write: a process that is killed leaves whole lines."""
        if self._file is not None:
            self._file.write(orjson.dumps(truth) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
