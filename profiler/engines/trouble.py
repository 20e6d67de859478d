"""Why a server is of no use: every way in which asking it can fail has its own message and remedy."""

from __future__ import annotations

import socket
import ssl

from profiler.errors import EngineUnavailable

_OK, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404


def explain_transport(error: Exception, url: str, timeout_s: float) -> EngineUnavailable:
    """Why no answer came, from the chain of causes under an httpx error."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        what = "accepted no connection" if isinstance(error, httpx.ConnectTimeout) else "did not answer"
        return EngineUnavailable(
            f"{url} {what} within {timeout_s:g} s",
            remedy="The server hangs, is still loading, or a firewall drops the packets; look at its log.",
        )
    for kind, message, remedy in _CONNECTION_TROUBLE:
        if any(isinstance(cause, kind) for cause in _causes(error)):
            return EngineUnavailable(message.format(url=url, error=error), remedy=remedy)
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.DecodingError):
        return EngineUnavailable(
            f"what answers at {url} does not speak HTTP: {error or type(error).__name__}",
            remedy="It may expect TLS (try https://), or be another kind of server: check --base-url.",
        )
    return EngineUnavailable(f"cannot reach {url}: {error or type(error).__name__}", remedy="Check --base-url.")


_CONNECTION_TROUBLE: tuple[tuple[type[BaseException], str, str], ...] = (
    (
        ConnectionRefusedError,
        "connection refused: nothing listens at {url}",
        "Start the server, or check the host and port of --base-url.",
    ),
    (
        socket.gaierror,
        "the host name in {url} cannot be resolved",
        "Check the spelling of --base-url, and your DNS.",
    ),
    (
        ssl.SSLCertVerificationError,
        "the TLS certificate of {url} is not trusted: {error}",
        "Set SSL_CERT_FILE to the certificate of the authority that signed it.",
    ),
    (
        ssl.SSLError,
        "no TLS connection to {url}: {error}",
        "The server may speak plain HTTP: try http:// instead of https://.",
    ),
)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def explain_status(status: int, url: str, location: str | None, *, authorised: bool) -> EngineUnavailable | None:
    """Why an answer with this status is of no use; None for 200."""
    if status == _OK:
        return None
    if status in {_UNAUTHORISED, _FORBIDDEN}:
        what = "refused the API key" if authorised else "wants an API key"
        return EngineUnavailable(
            f"{url} {what} (HTTP {status})",
            remedy="Name the environment variable that holds a valid key with --api-key-env.",
        )
    if status == _NOT_FOUND:
        return EngineUnavailable(
            f"{url} does not exist (HTTP 404): the server answers, but not with the OpenAI protocol there",
            remedy="Check the path of --base-url; it usually ends in /v1.",
        )
    if location is not None:
        return EngineUnavailable(
            f"{url} redirects to {location} (HTTP {status})",
            remedy="Pass the address that it redirects to as --base-url: an agent's requests follow no redirects.",
        )
    return EngineUnavailable(f"{url} answered HTTP {status}", remedy="The server is up but not well; look at its log.")
