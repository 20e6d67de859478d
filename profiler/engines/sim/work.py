"""What goes into the time model and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """A request as the time model sees it."""

    id: str
    """Unique among the requests that have not ended."""
    prompt: tuple[int, ...]
    """Token ids of at most 63 bits; at least one."""
    output_tokens: int
    key: int
    """What its draws depend on: the same for the same request in every run."""
    salt: str = ""
    """Only requests of equal salt share blocks of the prefix cache."""
    late_first_ns: int = 0
    """By how much the step that makes its first token lasts longer, on purpose."""
    late_second_ns: int = 0
    """Likewise the second."""

    def late_ns(self, generated: int) -> int:
        """By how much the step that makes this output token lasts longer."""
        return (self.late_first_ns, self.late_second_ns)[generated] if generated < 2 else 0  # noqa: PLR2004

    def __post_init__(self) -> None:
        """Refuse what no engine computes.

        Raises:
            ValueError: no prompt token, or no output token.
        """
        if not self.prompt or self.output_tokens < 1:
            raise ValueError(f"request {self.id}: at least one token of prompt and one of output")


@dataclass(slots=True)
class Progress:
    """What is planned and known of a request; the time model fills it in as it goes.

    arrival        queued            scheduled          first token     …     last token
       |  frontend    |      queue       |     prefill      |      decode         |
    """

    arrival_ns: int
    queued_ns: int
    scheduled_ns: int | None = None
    """The start of the first step that computes something for it."""
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    """The latest so far."""
    cached_tokens: int = 0
    """Prompt tokens found in the prefix cache when it was first scheduled; 0 until then."""
    generated: int = 0
    preemptions: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """One output token, at its planned time."""

    id: str
    index: int
    at_ns: int
    last: bool


class PromptTooLong(ValueError):
    """Prompt and output together exceed what the engine can hold."""
