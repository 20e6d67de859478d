"""Links from a report to a trace viewer: what is safe to be one. Pure."""

from __future__ import annotations

import re
from typing import Final

_VIEWER: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~\-/]*)?")
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]+")


def is_viewer(address: str) -> bool:
    """Whether an address can do nothing but lead to a page: http or https, a host, a plain path."""
    return _VIEWER.fullmatch(address) is not None


def trace_link(viewer: str | None, trace_id: str, span_id: str = "") -> str | None:
    """The address of a trace in Jaeger, with a span looked for; None without a viewer, or if the id is none."""
    if viewer is None or not is_viewer(viewer) or not _HEXADECIMAL.fullmatch(trace_id):
        return None
    found = f"?uiFind={span_id}" if _HEXADECIMAL.fullmatch(span_id) else ""
    return f"{viewer.rstrip('/')}/trace/{trace_id}{found}"
