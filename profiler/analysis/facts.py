"""What the command that started an engine says of its prefix cache, for what its answers do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BLOCK = "--block-size"
_CACHING = {"--enable-prefix-caching": True, "--no-enable-prefix-caching": False}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the engine from elsewhere than the spans; None where it is not."""

    block_tokens: int | None = None  # of its prefix cache
    prefix_caching: bool | None = None  # whether it has one


def facts_of(engine: Mapping[str, Any]) -> Facts:
    """From a manifest's `engine`: the flags of vLLM, of which the last one counts."""
    block, caching = None, None
    words = [str(word) for word in engine.get("command") or ()]
    for at, word in enumerate(words):
        name, _, value = word.partition("=")
        caching = _CACHING.get(name, caching)
        if name == _BLOCK:
            value = value or (words[at + 1] if at + 1 < len(words) else "")
            block = int(value) if value.isascii() and value.isdigit() and int(value) > 0 else block
    return Facts(block, caching)
