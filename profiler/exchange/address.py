"""Addresses of collectors and of trace viewers: what the standard variables say, what is refused."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from profiler.errors import UsageError
from profiler.links import is_viewer

Protocol = Literal["grpc", "http/protobuf", "http/json"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("grpc", "http/protobuf", "http/json")
TRACES_PATH: Final = "/v1/traces"
_GRPC_PORT: Final = 4317  # that OTLP/gRPC has by convention
_EXAMPLE: Final = "for Jaeger on this machine: http://127.0.0.1:4318 (HTTP) or http://127.0.0.1:4317 (gRPC)"


def endpoint_from_env(environ: Mapping[str, str] = os.environ) -> str | None:
    """The collector that the standard variables name, if any."""
    general = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if general and urlsplit(general).path.strip("/") and protocol_of(general, environ) != "grpc":
        general = general.rstrip("/") + TRACES_PATH  # by the specification the general variable is a base
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or general


def protocol_of(endpoint: str, environ: Mapping[str, str] = os.environ, option: str = "--otlp-endpoint") -> Protocol:
    """As the standard variables say, otherwise by the usual ports.

    Raises:
        UsageError: not an address.
    """
    port = _parts(endpoint, option).port
    named = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if named in PROTOCOLS:
        return named
    return "grpc" if port == _GRPC_PORT else "http/protobuf"


def _parts(address: str, option: str, example: str = _EXAMPLE) -> SplitResult:
    shown = without_credentials(address)
    try:
        parts = urlsplit(address)
        bad = parts.port == 0
    except ValueError as error:
        raise UsageError(f"{option} {shown}: {error}", remedy=example) from error
    if bad or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{option} {shown} is not an address", remedy=example)
    return parts


def traces_url(endpoint: str) -> str:
    """Where OTLP over HTTP goes: the address itself if it has a path, else its `/v1/traces`."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + TRACES_PATH


def headers_from_env(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the standard variables add to each request: `name=value,name=value`, values percent-encoded.

    Raises:
        UsageError: it is not of that form, or has letters that no header can have.
    """
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        text = environ.get(variable)
        if text:
            pairs = [each.partition("=") for each in text.split(",") if each.strip()]
            if not all(between and name.strip() for name, between, _ in pairs):
                raise UsageError(f"{variable} is not of the form name=value,name=value")
            found = {unquote(name.strip()).lower(): unquote(value.strip()) for name, _, value in pairs}
            if not all(text.isascii() and text.isprintable() for pair in found.items() for text in pair):
                raise UsageError(f"{variable} has letters that are not ASCII", remedy="headers can have no others")
            return found
    return {}


def gzip_from_env(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the standard variables ask for compression."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
    return next((environ[name] for name in names if environ.get(name)), "none") == "gzip"


def certificate_from_env(environ: Mapping[str, str] = os.environ) -> str | None:
    """The file of certificates that the collector's is checked against.

    Raises:
        UsageError: it cannot be read, or has none.
    """
    names = ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
    name = next((name for name in names if environ.get(name)), None)
    if name is None:
        return None
    path = environ[name]
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # of which SSLError is one
        reason = "there are no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(f"{name} names {path}: {reason}", remedy="name a file of certificates (PEM)") from error
    return path


def check_variables(environ: Mapping[str, str] = os.environ) -> None:
    """What is wrong with the standard variables is told before anything starts.

    Raises:
        UsageError: the headers or the certificate cannot be used.
    """
    headers_from_env(environ)
    certificate_from_env(environ)


def without_credentials(address: str) -> str:
    """An address as it may be shown and kept."""
    try:
        parts = urlsplit(address)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return "…@" + address.rpartition("@")[2] if "@" in address else address


def viewer_url(address: str, option: str = "--jaeger") -> str:
    """The base of a trace viewer's address, without what could do anything but lead there.

    Raises:
        UsageError: no http or https address, or with credentials, a query, or anything that is no plain path.
    """
    example = "write it like http://127.0.0.1:16686"
    parts = _parts(address.strip(), option, example)
    if parts.username is not None or not is_viewer(address.strip()):
        raise UsageError(f"{option} {without_credentials(address)!r} is no plain address of a viewer", remedy=example)
    return address.strip().rstrip("/")
