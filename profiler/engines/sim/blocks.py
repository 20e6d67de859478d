"""KV blocks: how many there are, who holds them, and which of them the prefix cache still knows.

Rules (those of vLLM V1's block pool):

- A sequence holds whole blocks for the tokens whose keys and values are computed. Only full blocks are shared.
- A full block is known by a digest over its tokens and everything before them, the salt included, so equal digests
  mean equal prefixes.
- A block that nobody holds any more is free, but stays in the cache until its room is needed. Of a sequence's blocks
  the deepest is the oldest: a prefix outlives what follows it.
- Room comes first from blocks that the cache does not know, then from the one that was free for the longest.

    blocks   | held, known | held, unknown | free, known (oldest … newest) | free, unknown |
               by digest,    partial, or     evicted from the left           taken first
               counted       known already

No block has a number: what takes time depends on how many there are and on their digests alone.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from hashlib import blake2b

Digest = bytes


class Holding:
    """The blocks of one sequence."""

    __slots__ = ("known", "offered", "unknown")

    def __init__(self) -> None:
        self.known: list[Digest] = []
        """Those in the cache, from the first on."""
        self.unknown = 0
        """Number of the others."""
        self.offered = 0
        """Number of full blocks that were found in the cache or offered to it."""

    def __len__(self) -> int:
        return len(self.known) + self.unknown


class Blocks:
    """A pool of blocks with a prefix cache; with `caching` off nothing is ever found."""

    def __init__(self, total: int, *, caching: bool) -> None:
        self.total = total
        self._caching = caching
        self._held: dict[Digest, int] = {}  # how many sequences hold it
        self._free: dict[Digest, None] = {}  # in order of becoming free
        self._unknown = 0

    @property
    def used(self) -> int:
        """Blocks that are held; one that several sequences share counts once."""
        return len(self._held) + self._unknown

    @property
    def cached(self) -> int:
        """Blocks that the cache knows, held or free."""
        return len(self._held) + len(self._free)

    def found(self, digests: Sequence[Digest]) -> int:
        """How many of these blocks, from the first on, are in the cache."""
        if not self._caching:
            return 0
        for count, digest in enumerate(digests):
            if digest not in self._held and digest not in self._free:
                return count
        return len(digests)

    def open(self, prefix: Sequence[Digest], size: int) -> Holding | None:
        """`size` blocks for a new sequence, the first of them from the cache; None if there is no room.

        Args:
            prefix: digests that `found` has just counted.
            size: the number of blocks, those of the prefix included.
        """
        idle = sum(digest in self._free for digest in prefix)
        if size - len(prefix) > self.total - self.used - idle:
            return None
        holding = Holding()
        for digest in prefix:
            self._free.pop(digest, None)
            self._held[digest] = self._held.get(digest, 0) + 1
            holding.known.append(digest)
        holding.offered = len(prefix)
        self._take(holding, size - len(prefix))
        return holding

    def grow(self, holding: Holding, size: int) -> bool:
        """Give a sequence blocks up to `size`; False, and nothing given, if there is no room."""
        more = size - len(holding)
        if more > self.total - self.used:
            return False
        self._take(holding, more)
        return True

    def offer(self, holding: Holding, digests: Sequence[Digest]) -> None:
        """Let others find the next full blocks of a sequence; one that is known already stays the sequence's own."""
        holding.offered += len(digests)
        if not self._caching:
            return
        for digest in digests:
            if digest in self._held or digest in self._free:
                continue
            self._held[digest] = 1
            holding.known.append(digest)
            holding.unknown -= 1
            self._unknown -= 1

    def close(self, holding: Holding) -> None:
        """Take a sequence's blocks back."""
        for digest in reversed(holding.known):
            if self._held[digest] > 1:
                self._held[digest] -= 1
            else:
                del self._held[digest]
                self._free[digest] = None
        self._unknown -= holding.unknown
        holding.known, holding.unknown = [], 0

    def check(self, holdings: Sequence[Holding]) -> None:
        """Assert that every block is held by these or free, and that no count is off."""
        counts: dict[Digest, int] = {}
        for holding in holdings:
            assert len(set(holding.known)) == len(holding.known), "a sequence holds a block once"
            assert 0 <= len(holding.known) <= holding.offered <= len(holding), "offered blocks are held"
            for digest in holding.known:
                counts[digest] = counts.get(digest, 0) + 1
        assert counts == self._held, "as many hold a block as are counted"
        assert sum(holding.unknown for holding in holdings) == self._unknown, "unknown blocks have one holder"
        assert not self._held.keys() & self._free.keys(), "a block is held or free"
        assert self.used + len(self._free) <= self.total, "there are no more blocks than there are"
        assert self._caching or not self._held, "without a cache no block is known"

    def _take(self, holding: Holding, count: int) -> None:
        holding.unknown += count
        self._unknown += count
        while self.used + len(self._free) > self.total:
            del self._free[next(iter(self._free))]


def prompt_digests(prompt: Sequence[int], block_tokens: int, salt: str) -> list[Digest]:
    """Digests of a prompt's full blocks. Token ids must fit into 64 bits with sign."""
    data = array("q", prompt).tobytes()
    width = block_tokens * 8
    digest = _digest(b"salt", salt.encode())
    digests = []
    for at in range(0, len(data) - width + 1, width):
        digest = _digest(digest, data[at : at + width])
        digests.append(digest)
    return digests


def output_digest(parent: Digest | None, prompt: Sequence[int], block_tokens: int, salt: str, key: int) -> Digest:
    """The digest of the first or next block that ends within the output.

    Output tokens have no ids here: equal are those of requests with equal prompts and keys.

    Args:
        parent: the digest of the block before; None for a sequence's first block.
        prompt: the whole prompt.
        block_tokens: the size of a block.
        salt: that of the request.
        key: what the request's draws depend on.
    """
    tail = array("q", prompt[len(prompt) // block_tokens * block_tokens :]).tobytes()
    above = parent if parent is not None else _digest(b"salt", salt.encode())
    return _digest(above, b"output" + struct.pack("<Q", key & (2**64 - 1)) + tail)


def _digest(parent: bytes, data: bytes) -> Digest:
    return blake2b(parent + data, digest_size=16).digest()
