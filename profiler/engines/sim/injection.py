"""Lets requests fail on purpose, where the fault comes instead of the answer or before it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from profiler.engines.sim import faults
from profiler.engines.sim.connection import transport_of, until_cancelled
from profiler.engines.sim.faults import FaultPlan
from profiler.engines.sim.request import Ask, BadRequest
from profiler.engines.sim.writer import reset
from profiler.truth import FAULTED, Truth


class Injector:
    """One server's faults."""

    def __init__(self, plan: FaultPlan, seed: int, shut_door: Callable[[float], None]) -> None:
        self._plan = plan
        self._seed = seed
        self._shut_door = shut_door
        self._seen: Counter[int] = Counter()

    def fault_of(self, request: web.BaseRequest, ask: Ask) -> str | None:
        """What happens to a request: what its header asks for, else by probability.

        Raises:
            BadRequest: the header names no fault.
        """
        asked = request.headers.get(faults.HEADER)
        if asked is not None:
            if asked not in faults.FAULTS:
                raise BadRequest(f"{faults.HEADER}: there is no fault {asked!r}")
            return asked
        if not self._plan.probabilities:
            return None
        key = ask.key()
        self._seen[key] += 1
        return self._plan.draw(self._seed, key, self._seen[key])

    def refusal(self, fault: str) -> tuple[BadRequest, dict[str, str]]:
        """The error, and headers, of a fault that is a status."""
        error = BadRequest(f"{fault}, on purpose", status=faults.STATUS[fault], type="SimFault")
        return error, {"Retry-After": f"{self._plan.retry_after_s:g}"} if fault == faults.RATE_LIMIT else {}

    async def before_the_answer(self, request: web.BaseRequest, truth: Truth) -> None:
        """Be slow, or do not come back."""
        fault = truth.fault
        if fault == faults.SLOW_HEADERS:
            await asyncio.sleep(self._plan.slow_s)
        elif fault == faults.HANG:
            truth.outcome = FAULTED
            await until_cancelled()
        elif fault in (faults.RESET, faults.REFUSED):
            truth.outcome = FAULTED
            if fault == faults.REFUSED:
                self._shut_door(self._plan.refuse_s)
            reset(transport_of(request))
            await until_cancelled()


async def break_off(request: web.BaseRequest, body: bytes, *, by_reset: bool) -> None:
    """Send half of a body, and end the connection."""
    transport = transport_of(request)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    transport.write(head + body[: len(body) // 2])
    if by_reset:
        reset(transport)
    else:
        transport.close()
    await until_cancelled()
