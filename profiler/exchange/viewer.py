"""Whether a Jaeger shows what a collector took: its interface is on another port of the same host."""

from __future__ import annotations

import ipaddress
import json
from typing import Final
from urllib.parse import urlsplit

UI_PORT: Final = 16686
_WAIT_S: Final = 1.0
_MOST_BYTES: Final = 1 << 20
_SERVICES: Final = "/api/v3/services"


def find_viewer(endpoint: str) -> str | None:
    """The address of Jaeger's interface beside a collector, if one answers there as Jaeger does within a second."""
    host = urlsplit(endpoint).hostname or ""
    base = f"http://{f'[{host}]' if ':' in host else host}:{UI_PORT}"
    answer = services_at(base, trust_env=not _is_local(host))
    return base if answer is not None and isinstance(answer.get("services"), list) else None


def services_at(base: str, *, trust_env: bool) -> dict[str, object] | None:
    """What Jaeger's list of services answers, or None: whatever else is there, it costs a second and no run."""
    import httpx

    from profiler.exchange.deadline import Deadline

    deadline, content = Deadline(), b""
    try:
        with (
            httpx.Client(timeout=_WAIT_S, trust_env=trust_env) as client,
            deadline.within(_WAIT_S),
            client.stream("GET", base + _SERVICES, extensions=deadline.extensions) as response,
        ):
            if response.status_code != httpx.codes.OK:
                return None
            for block in response.iter_bytes():
                content += block
                if len(content) > _MOST_BYTES:
                    return None
        answer = json.loads(content)
    except Exception:  # noqa: BLE001 - a stranger's answer must never fail a run that is over
        return None
    return answer if isinstance(answer, dict) and not deadline.passed else None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
