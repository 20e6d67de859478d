"""How much of a scripted text an agent has after each token."""

from __future__ import annotations


class TextSpread:
    """After the k-th of N tokens it has k/N of the characters; the last chunk brings the rest."""

    __slots__ = ("_length", "_seen", "_sent", "_tokens")

    def __init__(self, length: int, tokens: int) -> None:
        self._length = length
        self._tokens = tokens
        self._seen = 0
        self._sent = 0

    def next(self, *, token: bool, finished: bool) -> tuple[int, int]:
        """The characters, from and up to, that the next chunk brings."""
        self._seen += token
        whole = finished or self._seen >= self._tokens
        upto = self._length if whole else self._length * self._seen // self._tokens
        low, self._sent = self._sent, upto
        return low, upto
