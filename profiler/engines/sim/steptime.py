"""How long a step lasts.

    planned = step + per_sequence      * sequences that get their next token
                   + per_context_token * tokens that these look back at
                   + per_prompt        * prompts, or parts of prompts
                   + per_prompt_token  * prompt tokens computed
    step    = planned * noise + stall

Each sequence draws its noise (lognormal, mean 1) and its stall for the output token that it makes in the step. The
step's noise is the mean of its sequences' draws, its stall the longest of theirs: the step is over when the slowest is
done. So a token's noise is the same in every run, and what many sequences share varies less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from profiler.engines.sim.draws import NOISE, TAIL, TAIL_LENGTH, exponential, lognormal, sigma_of, unit
from profiler.engines.sim.profile import Profile

Draw = tuple[int, int]
"""The stream of a sequence's draws, and the index of the output token that it makes."""


@dataclass(slots=True)
class Load:
    """What is computed in a step."""

    sequences: int = 0
    context_tokens: int = 0
    prompts: int = 0
    prompt_tokens: int = 0


class StepTime:
    """A profile's step times."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._sigma = sigma_of(profile.step_cv)

    def planned_ns(self, load: Load) -> int:
        """Without noise and stalls; at least 1."""
        profile = self._profile
        micros = (
            profile.step_us
            + profile.per_sequence_us * load.sequences
            + profile.per_context_token_us * load.context_tokens
            + profile.per_prompt_us * load.prompts
            + profile.per_prompt_token_us * load.prompt_tokens
        )
        return max(1, round(micros * 1000))

    def duration_ns(self, load: Load, draws: Sequence[Draw]) -> int:
        """As it comes out, with one draw for each sequence in the step; at least 1."""
        planned_ns = self.planned_ns(load)
        if self._sigma:
            noise = sum(lognormal(stream, index, NOISE, self._sigma) for stream, index in draws) / len(draws)
            planned_ns = max(1, round(planned_ns * noise))
        return planned_ns + self._stall_ns(draws)

    def _stall_ns(self, draws: Iterable[Draw]) -> int:
        probability = self._profile.tail_probability
        if not probability or not self._profile.tail_us:
            return 0
        lengths = (
            exponential(stream, index, TAIL_LENGTH)
            for stream, index in draws
            if unit(stream, index, TAIL) < probability
        )
        return round(max(lengths, default=0.0) * self._profile.tail_us * 1000)
