"""Text from outside, made fit to be kept: bounded, without credentials."""

from __future__ import annotations

import re

MAX_MESSAGE = 500
_SECRETS = re.compile(
    r"""(?ix)
    (   bearer\s+
    |   api[-_\s]?key["'=:\s\\]+
    |   authorization["'=:\s\\]+ (?: (?: bearer|basic|token) \s+ )?
    ) [^\s"',;]+
    | \bsk-[A-Za-z0-9_-]{8,}
    | (?<=//) [^/\s:@]+ : [^/\s@]+ (?=@)
    """
)


def clean_message(text: str) -> str:
    """An error's text, without what looks like a key, at most `MAX_MESSAGE` characters."""
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair can be neither written nor sent
    text = _SECRETS.sub(lambda match: (match.group(1) or "") + "[redacted]", text)
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
