"""Continuous batching, step by step, as vLLM V1 schedules it.

At the start of a step:

1. Each running sequence gets one token of the step's budget, or as much of its prompt as the budget allows (chunked
   prefill). In order of admission: of a memory too small, the earliest get their blocks. The latest admitted is
   preempted: it loses its blocks, goes to the front of the queue, and later computes its prompt and what it has
   generated again, without emitting a token twice.
2. Unless something was preempted, requests queued by then are admitted, first come first served, as long as sequences,
   budget and blocks allow. The first that does not fit keeps those behind it waiting. Prompt tokens
   from the prefix cache cost nothing, but the last token of a prompt is always computed. A prompt's full blocks can
   be found from the moment that they are scheduled, by the next request in the same step.

At its end each sequence whose prompt is computed emits a token. The next step starts at once, or when a request is
queued. Without chunked prefill a prompt is computed in one step: beside others if the budget allows, else as the
only prompt of its step, whatever its length.

              0        10             24       34
    step      |   1    |      2       |   3    |
    a         | prompt a0    next     a1 next  a2     running when b is queued at 4
    b             queue| prompt       b0 next  b1     scheduled at 10, first token at 24

b waits for the step that was under way, and a's second token waits for b's prompt.

All times are the plan's. A step starts when the one before was to end, however late the plan is carried out.
"""

from __future__ import annotations

import bisect
from collections import deque

from profiler.engines.sim.blocks import Blocks, Digest, Holding, output_digest, prompt_digests
from profiler.engines.sim.draws import stream
from profiler.engines.sim.profile import Profile
from profiler.engines.sim.steptime import Draw, Load, StepTime
from profiler.engines.sim.work import Progress, Token, Work


class _Sequence:
    """A request inside the batch; one that holds blocks is running."""

    __slots__ = (
        "computed", "digests", "gone", "holding", "length", "order", "prefilling", "progress", "room", "stream", "work",
    )  # fmt: skip

    def __init__(self, work: Work, progress: Progress, stream: int, digests: list[Digest]) -> None:
        self.work = work
        self.progress = progress
        self.stream = stream
        self.order = (progress.queued_ns, work.key, work.id)
        self.digests = digests
        self.holding: Holding | None = None
        self.length = len(work.prompt)  # with what is generated
        self.computed = 0  # tokens whose keys and values are in its blocks
        self.room = 0  # tokens that fit into its blocks
        self.prefilling = True
        self.gone = False


class Batch:
    """One engine. `Scheduler` says how it is used."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self._profile = profile
        self._seed = seed
        self._caching = profile.prefix_caching
        self._block_tokens = profile.block_tokens
        self._time = StepTime(profile)
        self._blocks = Blocks(profile.blocks, caching=profile.prefix_caching)
        self._sequences: dict[str, _Sequence] = {}
        self._running: list[_Sequence] = []  # in order of admission
        self._preempted: deque[_Sequence] = deque()
        self._queue: list[_Sequence] = []  # by queued time
        self._shares: list[tuple[_Sequence, int]] = []  # how many tokens of which sequence the step computes
        self._step_end_ns: int | None = None
        self._boundary_ns: int | None = None  # where the step before ended
        self.preemptions = 0
        self.prefix_queries = 0
        """Prompt tokens that were looked up in the prefix cache."""
        self.prefix_hits = 0
        """Those found."""

    @property
    def running(self) -> int:
        """Sequences that hold blocks."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests in the queue, or on their way to it."""
        return len(self._queue) + len(self._preempted)

    @property
    def blocks_used(self) -> int:
        """Blocks that running sequences hold."""
        return self._blocks.used

    @property
    def fullest(self) -> int:
        """The same: there is one memory."""
        return self._blocks.used

    def add(self, work: Work, progress: Progress) -> None:
        """Queue a request at `progress.queued_ns`; of requests queued together the lower key is first."""
        digests: list[Digest] = []
        if self._caching:
            digests = prompt_digests(work.prompt, self._block_tokens, work.salt)
        sequence = _Sequence(work, progress, stream(self._seed, work.key), digests)
        self._sequences[work.id] = sequence
        bisect.insort(self._queue, sequence, key=lambda each: each.order)

    def cancel(self, request_id: str) -> None:
        """Forget a request: at once if it waits, else at the end of the step. Harmless if it has ended."""
        sequence = self._sequences.pop(request_id, None)
        if sequence is None:
            return
        if sequence.holding is not None:
            sequence.gone = True
        elif sequence in self._preempted:
            self._preempted.remove(sequence)
        else:
            self._queue.remove(sequence)

    def next_ns(self) -> int | None:
        """When the step ends, or the next one can start; None if there is nothing to do."""
        if self._step_end_ns is not None:
            return self._step_end_ns
        if self._running or self._preempted:
            return self._boundary_ns
        if not self._queue:
            return None
        queued_ns = self._queue[0].progress.queued_ns
        return queued_ns if self._boundary_ns is None else max(queued_ns, self._boundary_ns)

    def advance(self, now_ns: int) -> list[Token]:
        """Carry out the plan up to and including now."""
        tokens: list[Token] = []
        while (due_ns := self.next_ns()) is not None and due_ns <= now_ns:
            if self._step_end_ns is None:
                self._begin(due_ns)
            else:
                self._end(due_ns, tokens)
        return tokens

    def _begin(self, start_ns: int) -> None:
        self._shares = []
        budget = self._profile.max_step_tokens
        preempted = False
        for sequence in list(self._running):
            if sequence.holding is None:
                continue  # preempted by one of those before it
            count = min(sequence.length - sequence.computed, budget)
            if sequence.computed + count > sequence.room and not self._make_room(sequence, sequence.holding, count):
                preempted = True
            if sequence.holding is not None:
                self._schedule(sequence, sequence.holding, count)
                budget -= count
        if not preempted:
            self._admit(start_ns, budget)
        assert self._shares, "a step computes something"
        self._step_end_ns = start_ns + self._duration_ns()

    def _make_room(self, sequence: _Sequence, holding: Holding, count: int) -> bool:
        """Get blocks for `count` more tokens; False if somebody had to be preempted, perhaps the sequence itself."""
        size = self._blocks_for(sequence.computed + count)
        preempted = False
        while sequence.holding is not None and not self._blocks.grow(holding, size):
            self._preempt(self._running.pop())
            preempted = True
        sequence.room = size * self._block_tokens
        return not preempted

    def _preempt(self, sequence: _Sequence) -> None:
        self._release(sequence)
        sequence.computed = 0
        sequence.prefilling = True
        sequence.progress.preemptions += 1
        self.preemptions += 1
        self._preempted.appendleft(sequence)

    def _admit(self, start_ns: int, budget: int) -> None:
        prompts = any(sequence.prefilling for sequence, _ in self._shares)
        while budget > 0 and len(self._running) < self._profile.max_running:
            sequence = self._front(start_ns)
            if sequence is None:
                return
            prefix = sequence.digests[: (sequence.length - 1) // self._block_tokens]
            prefix = prefix[: self._blocks.found(prefix)]
            cached = len(prefix) * self._block_tokens
            count = sequence.length - cached
            if self._profile.chunked_prefill:
                count = min(count, budget)
            elif prompts and count > budget:
                return
            size = self._blocks_for(cached + count)
            holding = self._blocks.open(prefix, size)
            if holding is None:
                return
            self._leave_queue(sequence, start_ns, cached)
            sequence.holding = holding
            sequence.room = size * self._block_tokens
            self._running.append(sequence)
            self._schedule(sequence, holding, count)
            budget -= count
            prompts = True

    def _front(self, start_ns: int) -> _Sequence | None:
        if self._preempted:
            return self._preempted[0]
        if self._queue and self._queue[0].progress.queued_ns <= start_ns:
            return self._queue[0]
        return None

    def _leave_queue(self, sequence: _Sequence, start_ns: int, cached: int) -> None:
        if self._preempted:
            self._preempted.popleft()
        else:
            del self._queue[0]
        sequence.computed = cached
        if sequence.progress.scheduled_ns is None:
            sequence.progress.scheduled_ns = start_ns
            sequence.progress.cached_tokens = cached
            if self._caching:
                self.prefix_queries += len(sequence.work.prompt)
                self.prefix_hits += cached

    def _schedule(self, sequence: _Sequence, holding: Holding, count: int) -> None:
        assert count > 0, "every running sequence has its part of the step"
        self._shares.append((sequence, count))
        full = (sequence.computed + count) // self._block_tokens
        if self._caching and full > holding.offered:
            work, digests = sequence.work, sequence.digests
            while len(digests) < full:
                parent = digests[-1] if digests else None
                digests.append(output_digest(parent, work.prompt, self._block_tokens, work.salt, work.key))
            self._blocks.offer(holding, digests[holding.offered : full])

    def _duration_ns(self) -> int:
        load = Load()
        for sequence, count in self._shares:
            if sequence.prefilling:
                load.prompts += 1
                load.prompt_tokens += count
            else:
                load.sequences += 1
                load.context_tokens += sequence.computed
        late_ns = [
            sequence.work.late_ns(sequence.progress.generated)
            for sequence, count in self._shares
            if sequence.computed + count == sequence.length
        ]
        draws = [self._draw(sequence, count) for sequence, count in self._shares]
        return self._time.duration_ns(load, draws) + max(late_ns, default=0)

    def _draw(self, sequence: _Sequence, count: int) -> Draw:
        if sequence.computed + count == sequence.length:
            return sequence.stream, sequence.progress.generated
        # a part of a prompt emits no token: with the first token's draw, that token's stall would come with each part
        return sequence.stream, -1 - sequence.computed

    def _end(self, now_ns: int, tokens: list[Token]) -> None:
        for sequence, count in self._shares:
            sequence.computed += count
            if sequence.gone:
                self._release(sequence)
            elif sequence.computed == sequence.length:
                tokens.append(self._emit(sequence, now_ns))
        self._running = [sequence for sequence in self._running if sequence.holding is not None]
        self._shares = []
        self._step_end_ns = None
        self._boundary_ns = now_ns

    def _emit(self, sequence: _Sequence, now_ns: int) -> Token:
        progress = sequence.progress
        index = progress.generated
        progress.generated += 1
        sequence.length += 1
        progress.last_token_ns = now_ns
        if progress.first_token_ns is None:
            progress.first_token_ns = now_ns
        sequence.prefilling = False
        last = progress.generated == sequence.work.output_tokens
        if last:
            self._release(sequence)
            del self._sequences[sequence.work.id]
        return Token(sequence.work.id, index, now_ns, last)

    def _release(self, sequence: _Sequence) -> None:
        assert sequence.holding is not None, "only a running sequence has blocks"
        self._blocks.close(sequence.holding)
        sequence.holding = None

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self._block_tokens)

    def check(self) -> None:
        """Assert what holds between any two calls."""
        holdings = [sequence.holding for sequence in self._running if sequence.holding is not None]
        assert len(holdings) == len(self._running) <= self._profile.max_running, "who runs holds blocks"
        self._blocks.check(holdings)
        waiting = [*self._preempted, *self._queue]
        assert all(sequence.holding is None for sequence in waiting), "who waits holds none"
        live = {id(sequence) for sequence in (*self._running, *waiting) if not sequence.gone}
        assert live == {id(sequence) for sequence in self._sequences.values()}, "nobody is lost, nobody is in twice"
        assert {id(sequence) for sequence, _ in self._shares} == {id(sequence) for sequence in self._running}
        prompts = [count for sequence, count in self._shares if sequence.prefilling]
        computed = sum(count for _, count in self._shares)
        alone = not self._profile.chunked_prefill and len(prompts) == 1
        assert computed <= self._profile.max_step_tokens or alone, "a step keeps to its budget"
        for sequence, count in self._shares:
            assert sequence.holding is not None
            assert len(sequence.holding) == self._blocks_for(sequence.computed + count), "blocks for what is computed"
