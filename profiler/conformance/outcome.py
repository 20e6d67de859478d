"""What an examination comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["yes", "no", "deviates", "unknown"]
YES: State = "yes"
NO: State = "no"
DEVIATES: State = "deviates"
UNKNOWN: State = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one check saw, before it is laid beside the protocol."""

    supported: bool | None
    """None: it could not be found out."""
    found: str
    """What the server did, in a few words."""
    means: str = ""
    """What that means for profiling, in a sentence; only of what is not supported."""


def supported(found: str) -> Seen:
    """It does as it is asked."""
    return Seen(supported=True, found=found)


def lacking(found: str, means: str) -> Seen:
    """It does not."""
    return Seen(supported=False, found=found, means=means)


def unclear(found: str, means: str = "") -> Seen:
    """It could not be found out."""
    return Seen(supported=None, found=found, means=means)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the result."""

    check: str
    title: str
    state: State
    found: str
    means: str
    needed: bool
    """Whether the profiler cannot do without."""

    @property
    def stands_in_the_way(self) -> bool:
        """Whether the server is of no use to the profiler because of this."""
        return self.needed and self.state in (NO, DEVIATES)


@dataclass(frozen=True, slots=True)
class Conformance:
    """All findings about one server."""

    base_url: str
    protocol: str
    server: str
    """What it says that it is."""
    model: str
    context_tokens: int | None
    """As far as it says."""
    findings: Sequence[Finding]

    @property
    def usable(self) -> bool:
        """Whether it has all that the profiler needs."""
        return not any(finding.stands_in_the_way for finding in self.findings)

    @property
    def deviations(self) -> list[Finding]:
        """What its protocol promises and it does not do."""
        return [finding for finding in self.findings if finding.state == DEVIATES]


def judged(check: str, title: str, seen: Seen, *, promised: bool, needed: bool) -> Finding:
    """A finding: what is missing is a deviation only where the protocol promises it."""
    state: State = UNKNOWN
    if seen.supported is not None:
        state = YES if seen.supported else DEVIATES if promised else NO
    return Finding(check, title, state, seen.found, "" if state == YES else seen.means, needed)
