"""Small JSON files that people write: read, checked against a model, refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from profiler.errors import DataError

M = TypeVar("M", bound=BaseModel)


def read_model(path: Path, model: type[M], *, what: str, option: str, shape: str) -> M:
    """The file as an instance of `model`; a bare list stands for the model's only field.

    Args:
        path: the file.
        model: what it has to be.
        what: its name in messages, such as "tasks file".
        option: the option that names it.
        shape: the remedy when it is something else.

    Raises:
        DataError: missing, empty, not JSON, or of another shape.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read the {what} {path}: {error.strerror}", remedy=f"check {option}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a {what}: it is not UTF-8 text", remedy=shape) from error
    if not text.strip():
        raise DataError(f"the {what} {path} is empty", remedy=shape)
    try:
        raw: Any = json.loads(text)
        json.dumps(raw, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON: line {error.lineno}: {error.msg}", remedy=shape) from error
    except RecursionError as error:
        raise DataError(f"{path} is not JSON that can be read: it is nested too deeply", remedy=shape) from error
    except UnicodeEncodeError as error:
        message = f"{path} is not a {what}: it has half a surrogate pair, which cannot be sent"
        raise DataError(message, remedy=shape) from error
    if isinstance(raw, list) and len(model.model_fields) == 1:
        raw = {next(iter(model.model_fields)): raw}
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise DataError(f"{path} is not a {what}: {where}: {first['msg']}", remedy=shape) from error
