"""What was sent, without its content: a keyed digest and the size of each message of a prompt.

Two prompts of a run can be compared message by message, which tells where one stops being the other's continuation
and the engine's prefix cache ends. The key is drawn anew for each run and kept nowhere: without it a short message
could be found again by trying likely ones. So digests of different runs cannot be compared.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import orjson

from profiler import semconv as sc

_DIGEST_BYTES = 8


def new_key() -> bytes:
    """A key for one run."""
    return secrets.token_bytes(16)


class Digests:
    """Of one chain's prompts; a message that came in an earlier prompt already is not digested again."""

    __slots__ = ("_key", "_known")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[bytes, tuple[int, int]] = {}

    def of(self, messages: list[Any] | None, tools: Any = None) -> dict[str, Any]:
        """Attributes for the span of a request with these messages and tools; none for one without messages."""
        if messages is None:
            return {}
        try:
            return self._attributes(messages, tools)
        except TypeError:  # nested more deeply than can be written
            return {}

    def _attributes(self, messages: list[Any], tools: Any) -> dict[str, Any]:
        # The order of an object's members is no matter of the prompt: the engine puts them into its template.
        known = [self._digest(orjson.dumps(message, option=orjson.OPT_SORT_KEYS)) for message in messages]
        attributes: dict[str, Any] = {
            sc.MESSAGE_DIGESTS: tuple([digest for digest, _ in known]),
            sc.MESSAGE_CHARS: tuple([chars for _, chars in known]),
        }
        if tools:  # as sent: templates print schemas in their own order
            attributes[sc.TOOLS_DIGEST] = self._digest(orjson.dumps(tools))[0]
        return attributes

    def _digest(self, data: bytes) -> tuple[int, int]:
        found = self._known.get(data)
        if found is None:
            digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES, key=self._key).digest()
            # 63 bits: a signed integer of OTLP and of columnar files.
            found = self._known[data] = int.from_bytes(digest) >> 1, len(data.decode())
        return found
