"""The ground truth: one JSON line per request, with what the engine knows about when it did what.

All times are CLOCK_MONOTONIC in nanoseconds, which on Linux is also Python's `perf_counter_ns`, so that they can be
laid beside a client's. `plan` is the time model's; what was really done is `writes`:

    number, id, span_id, path, stream, status, fault, outcome
    arrival_ns            the request's last byte was handed over by the kernel
    queued_ns … last_token_ns   the plan: taken up, scheduled, first and last token made that the client gets
    queue_ns, prefill_ns, decode_ns   differences of these
    load_ns               arrival until the model was loaded; null where it always is
    headers_ns            the response's head was written
    writes_ns, written_tokens   each write of the body, and how many output tokens the client can have after it
    end_ns                the last byte was written, or the client or a fault ended it
    late_max_ns           the largest delay of a token's handing out after its plan
    prompt_tokens, cached_tokens, output_tokens, preemptions
    hidden_tokens         generated before those that the client gets, and thrown away; their time is in `prefill_ns`

What was not reached is null: a request whose client left while it waited has no `first_token_ns`, and only one whose
tokens were all made has `last_token_ns`, `decode_ns` and `output_tokens`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import orjson

TRUTH_FILE = "engine-truth.jsonl"  # in a run's folder
OK = "ok"
REFUSED_BY_SERVER = "refused"  # a status above 400 that is no fault
CLIENT_GONE = "client_gone"
FAULTED = "fault"  # ended or spoilt on purpose
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)")


@dataclass(slots=True)
class Truth:
    """What is known of one request; filled as it goes."""

    number: int
    id: str
    span_id: str | None
    path: str
    arrival_ns: int
    stream: bool = False
    status: int | None = None
    fault: str | None = None
    outcome: str = OK
    load_ns: int | None = None
    queued_ns: int | None = None
    scheduled_ns: int | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    queue_ns: int | None = None
    prefill_ns: int | None = None
    decode_ns: int | None = None
    headers_ns: int | None = None
    writes_ns: list[int] = field(default_factory=list)
    written_tokens: list[int] = field(default_factory=list)
    end_ns: int | None = None
    late_max_ns: int = 0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    preemptions: int = 0
    hidden_tokens: int = 0

    @property
    def said_all(self) -> bool:
        """Whether every output token was written."""
        return self.output_tokens is not None and self.written_tokens[-1:] == [self.output_tokens]


def read_truth(path: Path) -> list[Truth]:
    """All complete lines of a log; what a killed engine left half-written at its end is not one."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [Truth(**orjson.loads(line)) for line in lines]


def span_id_of(traceparent: str | None) -> str | None:
    """The caller's span id from a `traceparent` header (W3C Trace Context); None without a valid one."""
    found = _TRACEPARENT.match(traceparent or "")
    return None if found is None else found[1]
