"""Text that matches a regular expression, for the `pattern` of a JSON schema.

The part of the syntax that schemas use: literals, classes, escapes, groups, alternatives, repetition, anchors at the
ends. The result is right by construction, so no foreign expression is ever run.
"""

from __future__ import annotations

import random
import string

_LONGEST_PATTERN = 500
_LONGEST_TEXT = 1000
_PRINTABLE = "".join(chr(code) for code in range(32, 127))
_CLASSES = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " ",
}
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_COUNTS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Unsupported(ValueError):
    """The expression uses something that is not made here."""


_MOST_OF_A_RANGE = 255  # letters: enough to choose from, and quick to write out
_SURROGATES = range(0xD800, 0xE000)  # no text can hold them


def matching(pattern: str, choose: random.Random, *, more: int = 3) -> str:
    """A short text that the whole expression matches; what may be repeated is, up to `more` times beyond the least.

    Raises:
        Unsupported: the expression is wrong, too long, or uses look-around, back-references or the like.
    """
    if len(pattern) > _LONGEST_PATTERN:
        raise Unsupported("the pattern is too long")
    reader = _Reader(pattern, choose, more)
    text = reader.alternatives(depth=0)
    if reader.at != len(pattern):
        raise Unsupported("unbalanced parenthesis")
    return text


class _Reader:
    """Reads an expression and makes the text on the way; a part that is repeated is read again each time."""

    def __init__(self, pattern: str, choose: random.Random, more: int) -> None:
        self.pattern = pattern
        self.choose = choose
        self.more = more
        self.at = 0
        self.steps = 0

    def alternatives(self, depth: int) -> str:
        if depth > 20:  # noqa: PLR2004
            raise Unsupported("groups are nested too deeply")
        made = [self._sequence(depth)]
        while self._take("|"):
            made.append(self._sequence(depth))
        return self.choose.choice(made)

    def _sequence(self, depth: int) -> str:
        made = ""
        while self._next() not in ("", "|", ")"):
            begin = self.at
            one = self._atom(depth)
            least, most = self._count()
            end = self.at
            times = self.choose.randint(least, min(least + self.more, least + self.more if most is None else most))
            for turn in range(times):
                if turn:
                    self.at = begin
                    one = self._atom(depth)
                made += one
                if len(made) > _LONGEST_TEXT:
                    raise Unsupported("the text would be too long")
            self.at = end
        return made

    def _atom(self, depth: int) -> str:
        self.steps += 1
        if self.steps > 10 * _LONGEST_TEXT:
            raise Unsupported("the pattern takes too long")
        letter = self._read()
        if letter == "(":
            return self._group(depth)
        if letter == "[":
            return self.choose.choice(self._set())
        if letter == ".":
            return self.choose.choice(string.ascii_lowercase)
        if letter == "\\":
            return self.choose.choice(self._escape())
        if letter in "*+?{":
            raise Unsupported("nothing to repeat")
        if letter in "^$":
            self._check_anchor(letter)
            return ""
        return letter

    def _check_anchor(self, letter: str) -> None:
        before, after = self.pattern[: self.at - 1], self.pattern[self.at :]
        if (before if letter == "^" else after).strip("()|?:^$"):
            raise Unsupported("an anchor in the middle")

    def _group(self, depth: int) -> str:
        if self._take("?") and not self._take(":"):
            raise Unsupported("a group of a special kind")
        text = self.alternatives(depth + 1)
        if not self._take(")"):
            raise Unsupported("unbalanced parenthesis")
        return text

    def _set(self) -> str:
        negated = self._take("^")
        members = ""
        while not self._take("]"):
            low = self._escape() if self._take("\\") else self._read()
            if self._next() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", "") and len(low) == 1:
                self.at += 1
                high = self._escape() if self._take("\\") else self._read()
                if len(high) != 1 or ord(high) < ord(low):
                    raise Unsupported("a range that is none")
                codes = range(ord(low), min(ord(high), ord(low) + _MOST_OF_A_RANGE) + 1)
                low = "".join(chr(code) for code in codes if code not in _SURROGATES)
            members += low
        if negated:
            members = "".join(letter for letter in _PRINTABLE if letter not in members)
        if not members:
            raise Unsupported("an empty class")
        return members

    def _escape(self) -> str:
        letter = self._read()
        if letter.lower() in _CLASSES:
            members = _CLASSES[letter.lower()]
            return members if letter.islower() else "".join(one for one in _PRINTABLE if one not in members)
        if letter in _CONTROL:
            return _CONTROL[letter]
        if letter.isalnum():
            raise Unsupported(f"\\{letter}")
        return letter

    def _count(self) -> tuple[int, int | None]:
        letter = self._next()
        least: int
        most: int | None
        if letter in _COUNTS and letter:
            self.at += 1
            least, most = _COUNTS[letter]
        elif letter == "{":
            close = self.pattern.find("}", self.at)
            low, comma, high = self.pattern[self.at + 1 : max(close, 0)].partition(",")
            if close < 0 or not low.isdigit() or not (high.isdigit() or not high):
                raise Unsupported("a count that is none")
            self.at = close + 1
            least, most = int(low[:5]), int(high[:5]) if high else None if comma else int(low[:5])
        else:
            return 1, 1
        if (most is not None and most < least) or least > _LONGEST_TEXT:
            raise Unsupported("a count that cannot be met")
        self._take("?")  # lazy or not makes no difference here
        return least, most

    def _next(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _read(self) -> str:
        if self.at >= len(self.pattern):
            raise Unsupported("the pattern ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def _take(self, letter: str) -> bool:
        if self._next() != letter:
            return False
        self.at += 1
        return True
