"""One answer in the making: tokens come from the time model, go out as events, and may be spoilt on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from profiler.engines.sim import faults
from profiler.engines.sim.delays import Delays
from profiler.engines.sim.request import Ask, Spent
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.spoil import spoilt_event
from profiler.engines.sim.work import Progress, Token, Work
from profiler.engines.sim.writer import Writer, reset
from profiler.truth import FAULTED, Truth

if TYPE_CHECKING:
    from profiler.engines.sim.dialects import Encoder
    from profiler.engines.sim.pump import Pump
    from profiler.engines.sim.traits import Traits

_IN_TIME = Delays()


class Generation:
    """From the request's submission to its last token."""

    def __init__(
        self, ask: Ask, said: Answer, truth: Truth, traits: Traits, *, oversized_bytes: int, delays: Delays = _IN_TIME
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """All tokens are made, or a fault has ended the answer."""
        self._ask = ask
        self._truth = truth
        self._traits = traits
        self._oversized_bytes = oversized_bytes
        self._choices = ask.n
        self._hidden = said.hidden_tokens
        self._length = len(said.pieces)
        self._fault_at = self._length // 2 if truth.fault in faults.IN_THE_ANSWER else None
        self._spoken = 0
        self._progress: Progress | None = None
        self._hidden_ns: int | None = None  # when the last token that is thrown away was made
        self._writer: Writer | None = None
        self._encoder: Encoder | None = None
        self._transport: asyncio.Transport | None = None
        self._failing: Sequence[bytes] = ()
        self._delays = delays
        self._late: asyncio.TimerHandle | None = None  # until all is written at once

    def submit(self, pump: Pump, at_ns: int) -> str:
        """Queue it; the id under which it can be cancelled.

        Raises:
            PromptTooLong: it can never fit into the engine's memory.
        """
        ask, truth = self._ask, self._truth
        work = Work(
            str(truth.number),
            ask.prompt,
            self._hidden + self._length,
            ask.key(),
            ask.cache_salt,
            self._delays.prefill_ns,
            self._delays.decode_ns,
        )
        self._progress = pump.submit(work, at_ns, self.on_token)
        truth.queued_ns, truth.hidden_tokens = self._progress.queued_ns, self._hidden
        return work.id

    def stream_to(self, transport: asyncio.Transport, encoder: Encoder, failing: Sequence[bytes]) -> None:
        """Write events from now on; the headers are out. `failing` are those of an engine that fails."""
        self._transport, self._encoder, self._failing = transport, encoder, failing
        self._writer = Writer(transport, self._truth, self._traits)
        if self._traits.early_role:
            self._writer.events(encoder.opening(), 0, flush=True)

    def on_token(self, token: Token, now_ns: int) -> None:
        """A token was made at `token.at_ns` and is handed out now. A defect here ends this request and no other."""
        try:
            self._take(token, now_ns)
        except Exception as error:  # noqa: BLE001 - the tick serves all requests
            if not self.done.done():
                self.done.set_exception(error)

    def _take(self, token: Token, now_ns: int) -> None:
        truth = self._truth
        truth.late_max_ns = max(truth.late_max_ns, now_ns - token.at_ns)
        if self.done.done():
            return
        index = token.index - self._hidden
        if index <= 0:
            if index < 0:
                self._hidden_ns = token.at_ns
                return
            truth.first_token_ns = token.at_ns
        if token.last:
            self._account_the_end(token.at_ns)
        if self._delays.delivery_ns:
            if token.last:
                later_ns = token.at_ns - now_ns + self._delays.delivery_ns
                self._late = asyncio.get_running_loop().call_later(later_ns / 1e9, self._deliver, index)
            return
        if self._writer is not None and self._encoder is not None:
            self._speak(self._writer, self._encoder, index, last=token.last)
        if token.last and not self.done.done():
            self._end()

    def _deliver(self, last: int) -> None:
        """Hand out everything at once. A defect here ends this request and no other."""
        try:
            if self._writer is not None and self._encoder is not None and not self.done.done():
                opening = [] if self._traits.early_role else self._encoder.opening()
                events = [*opening, *self._encoder.tokens(0, last + 1), *self._encoder.closing(self.spent())]
                self._writer.events([b"".join(events)], (last + 1) * self._choices, flush=True)
            if not self.done.done():
                self._end()
        except Exception as error:  # noqa: BLE001 - the loop serves all requests
            if not self.done.done():
                self.done.set_exception(error)

    def _speak(self, writer: Writer, encoder: Encoder, index: int, *, last: bool) -> None:
        if index == 0 and not self._traits.early_role:
            writer.events(encoder.opening(), 0, flush=False)
        if index == self._fault_at and self._breaks_off(writer):
            return
        made = (index + 1) * self._choices
        if last or self._traits.completes_chunk(index, self._length - 1):
            events = encoder.tokens(self._spoken, index + 1)
            self._spoken = index + 1
            if events and self._fault_at is not None and index >= self._fault_at:
                events = self._spoilt(events)
            writer.events(events, made, flush=False)
        if last:
            writer.events(encoder.closing(self.spent()), made, flush=True)

    def _breaks_off(self, writer: Writer) -> bool:
        """Whether the request's fault ends the answer here."""
        assert self._transport is not None
        fault = self._truth.fault
        if fault == faults.RESET_STREAM:
            reset(self._transport)
        elif fault == faults.TRUNCATED:
            self._transport.close()
        elif fault == faults.ERROR_IN_200:
            writer.events(self._failing, self._spoken * self._choices, flush=True)
        else:
            return False
        self._truth.outcome = FAULTED
        self._end()
        return True

    def _spoilt(self, events: Sequence[bytes]) -> list[bytes]:
        """The first event from the middle of the answer on is spoilt, and no other."""
        truth = self._truth
        assert truth.fault is not None
        self._fault_at = None
        truth.outcome = FAULTED
        return [spoilt_event(truth.fault, events[0], self._oversized_bytes), *events[1:]]

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self.done.set_result(None)

    def _account_the_end(self, last_ns: int) -> None:
        truth = self._truth
        self._account()
        truth.last_token_ns, truth.output_tokens = last_ns, self._length * self._choices
        if truth.first_token_ns is not None:
            truth.decode_ns = last_ns - truth.first_token_ns

    def _account(self) -> None:
        """Put into the ground truth how far it came."""
        progress, truth = self._progress, self._truth
        if progress is None or progress.scheduled_ns is None:
            return
        truth.scheduled_ns = progress.scheduled_ns
        truth.cached_tokens, truth.preemptions = progress.cached_tokens, progress.preemptions
        truth.queue_ns = progress.scheduled_ns - progress.queued_ns
        if truth.first_token_ns is not None:
            truth.prefill_ns = truth.first_token_ns - progress.scheduled_ns

    def spent(self) -> Spent:
        """What it took, for the dialects that tell; of an answer after one that was thrown away, this one alone."""
        truth = self._truth
        first_ns, hidden_ns = truth.first_token_ns, self._hidden_ns
        if hidden_ns is not None and first_ns is not None:
            return Spent(queue_ns=0, prefill_ns=first_ns - hidden_ns, decode_ns=truth.decode_ns or 0)
        return Spent(
            queue_ns=truth.queue_ns or 0,
            prefill_ns=truth.prefill_ns or 0,
            decode_ns=truth.decode_ns or 0,
            cached_tokens=truth.cached_tokens or 0,
            frontend_ns=(truth.queued_ns or truth.arrival_ns) - truth.arrival_ns - (truth.load_ns or 0),
            load_ns=truth.load_ns or 0,
        )

    def close(self) -> None:
        """The request is over, however it ended."""
        if self._late is not None:
            self._late.cancel()
        if self._writer is not None:
            self._writer.close()
        self._account()
