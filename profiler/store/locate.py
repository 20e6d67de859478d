"""Where a run's files are, and its manifest."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from profiler.errors import DataError
from profiler.store.manifest import FORMAT, MANIFEST_FILE, SPANS_FILE, VERSION, Manifest


def locate(path: Path) -> tuple[Manifest | None, Path]:
    """The manifest, if there is one, and the file of spans of a run's folder or of either of its files.

    Raises:
        DataError: no such run, not a run, or a newer format.
        OSError: it cannot be read.
    """
    if path.is_file():
        if path.name == MANIFEST_FILE:
            return locate(path.parent)
        beside = path.parent / MANIFEST_FILE
        return (read_manifest(beside) if path.name == SPANS_FILE and beside.exists() else None), path
    if not path.is_dir():
        raise DataError(f"no run at {path}", remedy="give the folder that profiler run printed")
    if not (path / SPANS_FILE).exists():
        runs = sorted(child.name for child in path.iterdir() if (child / SPANS_FILE).exists())
        hint = f"did you mean {path / runs[-1]}?" if runs else "give the folder that profiler run printed"
        raise DataError(f"{path} is not a run: it has no {SPANS_FILE}", remedy=hint)
    manifest = path / MANIFEST_FILE
    _refuse_pipes(path / SPANS_FILE)
    return (read_manifest(manifest) if manifest.exists() else None), path / SPANS_FILE


def _refuse_pipes(path: Path) -> None:
    """A pipe or a device would be waited for, perhaps without end, and can be read only once."""
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is not a regular file", remedy="copy what comes out of it into one")


def read_manifest(path: Path) -> Manifest:
    """A run's manifest.

    Raises:
        DataError: it is none, of a newer format, or cannot be read.
    """
    _refuse_pipes(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if (
            isinstance(raw, dict)
            and raw.get("format") == FORMAT
            and isinstance(raw.get("version"), int)
            and raw["version"] > VERSION
        ):
            raise DataError(
                f"{path} has format version {raw['version']}, this profiler reads up to {VERSION}",
                remedy="upgrade the profiler",
            )
        return Manifest.model_validate(raw)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise DataError(f"{path} is not a run's manifest: {where}: {first['msg']}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is not a run's manifest: {error}") from error
