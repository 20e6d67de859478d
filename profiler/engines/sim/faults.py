"""What can go wrong with a request, on purpose: by probability, or because the request asks for it.

    refused        its connection is reset and the port takes no connection for a while, as when a server restarts
    reset          the connection is reset before any header
    reset-stream   … in the middle of the answer
    truncated      the connection is closed in the middle of the answer, without the end that HTTP wants
    hang           no answer at all, until the client gives up
    slow-headers   the answer begins late
    rate-limit     429 with Retry-After
    error-500      500
    unavailable    503
    malformed-json an event, or the body, that is cut off and so is no JSON
    invalid-utf8   … that holds text which is no UTF-8
    oversized      … that is larger than a client should hold
    error-in-200   an error object inside a response of status 200; a stream ends with it

A draw depends on the seed, the request's content and how often that content was seen, so a retry draws anew and the
order in which requests arrive does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from profiler.engines.sim.draws import uniform
from profiler.errors import UsageError

REFUSED = "refused"
RESET = "reset"
RESET_STREAM = "reset-stream"
TRUNCATED = "truncated"
HANG = "hang"
SLOW_HEADERS = "slow-headers"
RATE_LIMIT = "rate-limit"
ERROR_500 = "error-500"
UNAVAILABLE = "unavailable"
MALFORMED_JSON = "malformed-json"
INVALID_UTF8 = "invalid-utf8"
OVERSIZED = "oversized"
ERROR_IN_200 = "error-in-200"

FAULTS = (
    REFUSED,
    RESET,
    RESET_STREAM,
    TRUNCATED,
    HANG,
    SLOW_HEADERS,
    RATE_LIMIT,
    ERROR_500,
    UNAVAILABLE,
    MALFORMED_JSON,
    INVALID_UTF8,
    OVERSIZED,
    ERROR_IN_200,
)
IN_THE_ANSWER = frozenset({RESET_STREAM, TRUNCATED, MALFORMED_JSON, INVALID_UTF8, OVERSIZED, ERROR_IN_200})
"""Faults that come in the middle of what is said; the others come instead of it, or before."""

STATUS = {RATE_LIMIT: 429, ERROR_500: 500, UNAVAILABLE: 503}
HEADER = "x-sim-fault"
ANY = "any"
_PURPOSE = 17  # keeps these draws apart from those of the time model


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How likely each fault is, and how long the slow ones last."""

    probabilities: Mapping[str, float]
    slow_s: float = 1.0
    refuse_s: float = 0.3
    retry_after_s: float = 1.0
    oversized_bytes: int = 17 * 1024 * 1024

    def draw(self, seed: int, key: int, occurrence: int) -> str | None:
        """The fault of a request, or None, which is the usual case."""
        at = uniform(seed, key, occurrence, _PURPOSE)
        for name, probability in self.probabilities.items():
            if at < probability:
                return name
            at -= probability
        return None


def parse_faults(texts: Sequence[str]) -> dict[str, float]:
    """Probabilities from texts such as `reset=0.05`; `any=0.1` spreads a tenth evenly over all of them.

    Raises:
        UsageError: an unknown name, a number that is no probability, or a sum above 1.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if name not in (*FAULTS, ANY):
            raise UsageError(f"there is no fault {name!r}", remedy=f"choose from: any, {', '.join(FAULTS)}")
        try:
            probability = float(number) if equals else 1.0
        except ValueError:
            probability = -1.0
        if not 0 <= probability <= 1:
            raise UsageError(f"{text!r}: {number!r} is no probability", remedy=f"write {name}=0.05, between 0 and 1")
        for each in FAULTS if name == ANY else (name,):
            found[each] = found.get(each, 0.0) + (probability / len(FAULTS) if name == ANY else probability)
    if sum(found.values()) > 1 + 1e-9:
        raise UsageError("the probabilities of all faults exceed 1", remedy="lower them: one request has one fault")
    return found
