"""An engine per request, as in mode `independent`: what `Batch` does with a single request, without its cost.

    queued
      |   prompt   |  next  | next |       each step begins where the one before ended
                   0        1      2       tokens

Nothing is cached, nobody waits for anybody, and the memory always suffices.
"""

from __future__ import annotations

import heapq

from profiler.engines.sim.draws import stream
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.steptime import Load, StepTime
from profiler.engines.sim.work import Progress, Token, Work


class _Sequence:
    __slots__ = ("key", "progress", "stream", "work")

    def __init__(self, work: Work, progress: Progress, stream: int) -> None:
        self.work = work
        self.progress = progress
        self.stream = stream
        self.key = (work.key, work.id)


class Alone:
    """All of them. `Scheduler` says how it is used."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self._seed = seed
        self._block_tokens = profile.block_tokens
        self._time = StepTime(profile)
        self._by_id: dict[str, _Sequence] = {}
        # A heap of when which request's step ends, or begins; what is cancelled stays in it until due.
        self._due: list[tuple[int, tuple[int, str], int, _Sequence]] = []
        self._added = 0  # tells entries of equal time, key and id apart
        self.preemptions = 0
        self.prefix_queries = 0
        self.prefix_hits = 0

    @property
    def running(self) -> int:
        """Requests whose first step has begun."""
        return sum(each.progress.scheduled_ns is not None for each in self._by_id.values())

    @property
    def waiting(self) -> int:
        """Requests that are not queued yet."""
        return len(self._by_id) - self.running

    @property
    def blocks_used(self) -> int:
        """Blocks that running requests hold."""
        return sum(map(self._blocks, self._by_id.values()))

    @property
    def fullest(self) -> int:
        """Blocks of the one that holds most."""
        return max(map(self._blocks, self._by_id.values()), default=0)

    def _blocks(self, sequence: _Sequence) -> int:
        if sequence.progress.scheduled_ns is None:
            return 0
        return -(-(len(sequence.work.prompt) + sequence.progress.generated) // self._block_tokens)

    def add(self, work: Work, progress: Progress) -> None:
        """A request begins at `progress.queued_ns`."""
        sequence = _Sequence(work, progress, stream(self._seed, work.key))
        self._by_id[work.id] = sequence
        self._added += 1
        heapq.heappush(self._due, (progress.queued_ns, sequence.key, self._added, sequence))

    def cancel(self, request_id: str) -> None:
        """Forget a request, at once; harmless if it has ended."""
        self._by_id.pop(request_id, None)

    def next_ns(self) -> int | None:
        """When a request begins or gets a token; None if there is none."""
        while self._due and self._by_id.get(self._due[0][3].work.id) is not self._due[0][3]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def advance(self, now_ns: int) -> list[Token]:
        """Carry out the plan up to and including now."""
        tokens: list[Token] = []
        while (due_ns := self.next_ns()) is not None and due_ns <= now_ns:
            _, key, added, sequence = self._due[0]
            if sequence.progress.scheduled_ns is None:
                sequence.progress.scheduled_ns = due_ns
            else:
                tokens.append(self._emit(sequence, due_ns))
            if sequence.progress.generated == sequence.work.output_tokens:
                del self._by_id[sequence.work.id]
                heapq.heappop(self._due)
            else:
                heapq.heapreplace(self._due, (due_ns + self._step_ns(sequence), key, added, sequence))
        return tokens

    def _emit(self, sequence: _Sequence, now_ns: int) -> Token:
        progress = sequence.progress
        index = progress.generated
        progress.generated += 1
        progress.last_token_ns = now_ns
        if progress.first_token_ns is None:
            progress.first_token_ns = now_ns
        return Token(sequence.work.id, index, now_ns, progress.generated == sequence.work.output_tokens)

    def _step_ns(self, sequence: _Sequence) -> int:
        generated, prompt = sequence.progress.generated, len(sequence.work.prompt)
        if generated:
            load = Load(sequences=1, context_tokens=prompt + generated - 1)
        else:
            load = Load(prompts=1, prompt_tokens=prompt)
        return self._time.duration_ns(load, [(sequence.stream, generated)]) + sequence.work.late_ns(generated)

    def check(self) -> None:
        """Assert what holds between any two calls."""
        due = [id(sequence) for *_, sequence in self._due]
        assert len(due) == len(set(due)), "nobody is due twice"
        assert {id(sequence) for sequence in self._by_id.values()} <= set(due), "whoever is there has a next step"
