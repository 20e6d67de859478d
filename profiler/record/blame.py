"""Where in an agent's own files an exception came from."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_NOT_THE_AGENTS = (Path(__file__).resolve().parents[1], Path(sysconfig.get_path("stdlib")).resolve())


def place_of(error: BaseException, folder: Path) -> str | None:
    """The last line in the agent's folder that an exception passed, as "agent.py:12"; None if it passed none.

    Args:
        error: as it was caught.
        folder: the agent's, resolved.
    """
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename).resolve()
        if not path.is_relative_to(folder) or "site-packages" in path.parts:
            continue
        if not any(path.is_relative_to(root) for root in _NOT_THE_AGENTS):
            found = f"{path.relative_to(folder)}:{line}"
    return found
