"""Whether a Jaeger shows what a collector took: its interface is on another port of the same host."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

UI_PORT: Final = 16686
_WAIT_S: Final = 1.0
_SERVICES: Final = "/api/v3/services"


def find_viewer(endpoint: str) -> str | None:
    """The address of Jaeger's interface beside a collector, if one answers there as Jaeger does within a second."""
    import httpx

    host = urlsplit(endpoint).hostname or ""
    base = f"http://{f'[{host}]' if ':' in host else host}:{UI_PORT}"
    try:
        with httpx.Client(timeout=_WAIT_S, trust_env=not _is_local(host)) as client:
            answer = client.get(base + _SERVICES)
            known = answer.status_code == httpx.codes.OK and isinstance(answer.json().get("services"), list)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        return None
    return base if known else None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
