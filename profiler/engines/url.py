"""Base URLs: many ways to write one, one way to store it. Pure."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from profiler.errors import UsageError

_VERSIONED = re.compile(r"/v\d+[a-z]*$")
_ENDPOINT = re.compile(
    r"/(?:chat/completions|completions|models|responses|generate|generate_stream|api/(?:chat|generate|tags))$"
)
_LOOPBACK = re.compile(r"^(?:localhost|127(?:\.\d+){3}|::1)$")


def normalise(url: str) -> str:
    """The base URL of the OpenAI protocol: no trailing slash, no endpoint, `/v1` where no version is given.

    Raises:
        UsageError: it is no http(s) URL, lacks a host, or holds credentials, a query or a fragment.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{_shown(text)} is not a URL: {error}", remedy=_EXAMPLE) from error
    if parts.scheme not in {"http", "https"}:
        hint = f"Did you mean http://{text}?" if _looks_like_host(text) else _EXAMPLE
        raise UsageError(f"{_shown(text)} is not an http or https URL", remedy=hint)
    if not parts.hostname or port == 0:
        raise UsageError(f"{_shown(text)} names no host and port to talk to", remedy=_EXAMPLE)
    _refuse_extras(parts, text)
    path = _ENDPOINT.sub("", parts.path.rstrip("/")).rstrip("/")
    if not _VERSIONED.search(path):
        path += "/v1"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return urlunsplit((parts.scheme, host if port is None else f"{host}:{port}", path, "", ""))


_EXAMPLE = "Write it like http://127.0.0.1:8000/v1."


def _refuse_extras(parts: SplitResult, text: str) -> None:
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{_shown(text)} holds credentials, which would end up in the recorded run",
            remedy="Leave them out of the URL and name the variable that holds the key with --api-key-env.",
        )
    if parts.query or parts.fragment:
        raise UsageError(f"{_shown(text)} has a query or a fragment, which a base URL cannot have", remedy=_EXAMPLE)
    if any(ord(character) <= ord(" ") for character in text):
        raise UsageError("the base URL contains a space or a control character", remedy=_EXAMPLE)


def _looks_like_host(text: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+:\d+(?:/.*)?", text))


def _shown(text: str) -> str:
    """The URL without what might be secret in it."""
    return re.sub(r"[?#].*", "?…", re.sub(r"//[^/@]*@", "//…@", text))


def unversioned(base_url: str) -> str:
    """Where `/health` and `/version` live: the base URL without its `/v1`."""
    return _VERSIONED.sub("", base_url)


def is_loopback(base_url: str) -> bool:
    """Whether it names this machine, so that no proxy belongs in between."""
    return bool(_LOOPBACK.match(urlsplit(base_url).hostname or ""))
