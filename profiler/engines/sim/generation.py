"""One answer in the making: tokens come from the time model, go out as events, and may be spoilt on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from profiler.engines.sim import faults
from profiler.engines.sim.request import Spent
from profiler.engines.sim.scheduler import Progress, Token
from profiler.engines.sim.speech import Answer
from profiler.engines.sim.writer import Writer, reset
from profiler.truth import FAULTED, Truth

if TYPE_CHECKING:
    from profiler.engines.sim.dialects import Encoder
    from profiler.engines.sim.faults import FaultPlan
    from profiler.engines.sim.traits import Traits

_NO_JSON = b'{"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":'
_NO_UTF8 = b'{"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"\xff\xfe\xc3"}}]}'


@dataclass(frozen=True, slots=True)
class FaultInAnswer:
    """What a fault in the middle of an answer needs."""

    plan: FaultPlan
    transport: asyncio.Transport
    failing: Sequence[bytes]  # events of the dialect for an engine that fails


class Generation:
    """From the request's submission to its last token."""

    def __init__(self, said: Answer, truth: Truth, traits: Traits, fault: FaultInAnswer) -> None:
        self.truth = truth
        self._traits = traits
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered = False
        self.progress: Progress | None = None
        self._said = said
        self._fault = fault
        self._hidden = said.hidden_tokens
        self._length = len(said.pieces)
        self._fault_at = self._length // 2 if truth.fault in faults.IN_THE_ANSWER else None
        self._spoken = 0
        self._writer: Writer | None = None
        self._encoder: Encoder | None = None

    @property
    def work_tokens(self) -> int:
        """Tokens that the time model has to make, those included that are thrown away."""
        return self._hidden + self._length

    def stream_to(self, writer: Writer, encoder: Encoder) -> None:
        """Write events from now on; the headers are out."""
        self._writer, self._encoder = writer, encoder
        if self._traits.early_role:
            writer.events(encoder.opening(), 0, flush=True)

    def on_token(self, token: Token, now_ns: int) -> None:
        """A token was made at `token.at_ns` and is handed out now."""
        truth = self.truth
        truth.late_max_ns = max(truth.late_max_ns, now_ns - token.at_ns)
        index = token.index - self._hidden
        if index < 0:
            return
        if token.last:
            self._account()
        if self._encoder is not None and not self.done.done():
            self._speak(index, last=token.last)
        if token.last and not self.done.done():
            self.answered = True
            self.done.set_result(None)

    def _speak(self, index: int, *, last: bool) -> None:
        encoder, writer = self._encoder, self._writer
        assert encoder is not None
        assert writer is not None
        if index == 0 and not self._traits.early_role:
            writer.events(encoder.opening(), 0, flush=False)
        if self._fault_at is not None and index >= self._fault_at:
            self._fault_at = None
            self._break(writer)
            if self.done.done():
                return
        if self._traits.completes_chunk(index, self._length - 1):
            events = encoder.tokens(self._spoken, index + 1)
            self._spoken = index + 1
            if events or last:
                writer.events(events, index + 1, flush=False)
        if last:
            writer.events(encoder.closing(self.spent()), index + 1, flush=True)

    def _break(self, writer: Writer) -> None:
        """The fault in the middle of a stream."""
        fault, spoken = self.truth.fault, self._spoken
        if fault == faults.RESET_STREAM:
            self._end()
            reset(self._fault.transport)
        elif fault == faults.TRUNCATED:
            self._end()
            self._fault.transport.close()
        elif fault == faults.ERROR_IN_200:
            writer.events(self._fault.failing, spoken, flush=True)
            self._end()
        else:
            self.truth.outcome = FAULTED
            event = b"data: " + self._spoilt_data() + self._traits.line_end * 2
            writer.events([event], spoken, flush=True)

    def _spoilt_data(self) -> bytes:
        if self.truth.fault == faults.MALFORMED_JSON:
            return _NO_JSON
        if self.truth.fault == faults.INVALID_UTF8:
            return _NO_UTF8
        return b'{"id":"x","choices":[{"index":0,"delta":{"content":"%b"}}]}' % (
            b"x" * self._fault.plan.oversized_bytes
        )

    def _end(self) -> None:
        self.truth.outcome = FAULTED
        self.done.set_result(None)

    def spoilt(self, body: bytes, failed_body: bytes) -> bytes:
        """An unstreamed body as the request's fault leaves it; the connection may be gone after this."""
        fault = self.truth.fault
        if fault not in faults.IN_THE_ANSWER:
            return body
        self.truth.outcome = FAULTED
        self.answered = False
        if fault == faults.MALFORMED_JSON:
            return body[: len(body) // 2]
        if fault == faults.INVALID_UTF8:
            return body[:-1] + b',"x":"\xff\xfe\xc3"}'
        if fault == faults.OVERSIZED:
            return body[:-1] + b',"x":"%b"}' % (b"x" * self._fault.plan.oversized_bytes)
        if fault == faults.ERROR_IN_200:
            return failed_body
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._fault.transport.write(head + body[: len(body) // 2])
        if fault == faults.RESET_STREAM:
            reset(self._fault.transport)
        else:
            self._fault.transport.close()
        return body

    def _account(self) -> None:
        """All is planned: put the plan into the ground truth."""
        progress, truth = self.progress, self.truth
        assert progress is not None
        truth.queued_ns = progress.queued_ns
        truth.scheduled_ns = progress.scheduled_ns
        truth.first_token_ns, truth.last_token_ns = progress.first_token_ns, progress.last_token_ns
        truth.cached_tokens, truth.preemptions = progress.cached_tokens, progress.preemptions
        truth.output_tokens = self._length
        if None not in (progress.scheduled_ns, progress.first_token_ns, progress.last_token_ns):
            truth.queue_ns = progress.scheduled_ns - progress.queued_ns  # type: ignore[operator]
            truth.prefill_ns = progress.first_token_ns - progress.scheduled_ns  # type: ignore[operator]
            truth.decode_ns = progress.last_token_ns - progress.first_token_ns  # type: ignore[operator]

    def spent(self) -> Spent:
        """What it took, for the dialects that tell."""
        truth = self.truth
        return Spent(
            queue_ns=truth.queue_ns or 0,
            prefill_ns=truth.prefill_ns or 0,
            decode_ns=truth.decode_ns or 0,
            cached_tokens=truth.cached_tokens or 0,
            frontend_ns=(truth.queued_ns or truth.arrival_ns) - truth.arrival_ns,
        )

    def close(self) -> None:
        """The request is over."""
        if self._writer is not None:
            self._writer.close()
