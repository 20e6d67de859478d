"""The time model: when each token of each request is made. Pure: no I/O, and it never reads a clock.

    scheduler = Scheduler(load_profile("cpu-tiny"), seed=0)
    progress = scheduler.add(Work("a", (1, 2, 3), output_tokens=2, key=7), at_ns=1_000)
    scheduler.next_ns()                      # when to come back
    for token in scheduler.advance(now_ns):  # what was to happen until now, in order of time
        ...

What comes out depends on what was added at which time, not on how often or how late `advance` is called, as long as a
request is added before `advance` passes its arrival. One that is added later than that joins the next step that
is not planned yet.

`batch.py` describes the engine. In mode `independent` every request has one to itself: its prompt is computed in one
step, then each token in one; nothing is cached.

    a   |   prompt   a0  a1  a2
    b      |   prompt   b0  b1  b2
"""

from __future__ import annotations

from profiler.engines.sim.alone import Alone
from profiler.engines.sim.batch import Batch
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.work import Progress, PromptTooLong, Token, Work

__all__ = ["Progress", "PromptTooLong", "Scheduler", "Token", "Work"]


class Scheduler:
    """The engine, or in mode `independent` all of them. Times are nanoseconds of any one clock."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self._profile = profile
        self._engine = Batch(profile, seed) if profile.mode == "batched" else Alone(profile, seed)
        self._ids: set[str] = set()

    @property
    def running(self) -> int:
        """Sequences that are being computed."""
        return self._engine.running

    @property
    def waiting(self) -> int:
        """Requests that were added and are not being computed, preempted ones included."""
        return self._engine.waiting

    @property
    def blocks_used(self) -> int:
        """KV blocks that are held."""
        return self._engine.blocks_used

    @property
    def kv_usage(self) -> float:
        """Held blocks over all blocks, 0 to 1; of the fullest engine."""
        return self._engine.fullest / self._profile.blocks

    @property
    def preemptions(self) -> int:
        """How many times a sequence has lost its blocks to another, ever."""
        return self._engine.preemptions

    @property
    def prefix_queries(self) -> int:
        """Prompt tokens looked up in the prefix cache, ever."""
        return self._engine.prefix_queries

    @property
    def prefix_hits(self) -> int:
        """Prompt tokens found there, ever."""
        return self._engine.prefix_hits

    def add(self, work: Work, at_ns: int) -> Progress:
        """A request arrives.

        Raises:
            PromptTooLong: prompt and output exceed the profile's `max_model_tokens`.
            ValueError: a request of that id is there.
        """
        limit = self._profile.max_model_tokens
        if len(work.prompt) + work.output_tokens > limit:
            raise PromptTooLong(
                f"request {work.id}: {len(work.prompt)} prompt tokens and {work.output_tokens} of output "
                f"exceed the engine's {limit}"
            )
        if work.id in self._ids:
            raise ValueError(f"request {work.id} is there already")
        progress = Progress(arrival_ns=at_ns, queued_ns=at_ns + round(self._profile.frontend_us * 1000))
        self._ids.add(work.id)
        self._engine.add(work, progress)
        return progress

    def cancel(self, id: str) -> None:  # noqa: A002 - the name that Work has
        """The client is gone: no token comes any more, and what it holds is freed when the step ends.

        Harmless for a request that has ended. Its time is that of the last `advance`.
        """
        self._ids.discard(id)
        self._engine.cancel(id)

    def next_ns(self) -> int | None:
        """When something is to happen next, be it the start or the end of a step; None if nothing is."""
        return self._engine.next_ns()

    def advance(self, now_ns: int) -> list[Token]:
        """The tokens planned up to and including now, in order of time; each comes once."""
        tokens = self._engine.advance(now_ns)
        for token in tokens:
            if token.last:
                self._ids.discard(token.id)
        return tokens

    def check(self) -> None:
        """Assert what holds between any two calls."""
        self._engine.check()
