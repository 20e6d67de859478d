"""What a call's span tells of the request, content apart."""

from __future__ import annotations

from typing import Any, NamedTuple

from profiler import semconv as sc
from profiler.record.api import Api
from profiler.record.protocol import Json
from profiler.record.replay import Adaptation


class Place(NamedTuple):
    """Whom an attempt asked, and its place in the chain."""

    provider: str
    host: str
    port: int
    place: str
    ordinal: int
    attempt: int


_FIELDS = {
    sc.REQUEST_MODEL: ("model",),
    sc.REQUEST_STREAM: ("stream",),
    sc.REQUEST_MAX_TOKENS: ("max_completion_tokens", "max_tokens"),
    sc.REQUEST_TEMPERATURE: ("temperature",),
    sc.REQUEST_TOP_P: ("top_p",),
    sc.REQUEST_SEED: ("seed",),
}


def request_attributes(place: Place, api: Api, adaptation: Adaptation, *, scripted: bool) -> dict[str, Any]:
    """The attributes that are known once the request is sent."""
    attributes: dict[str, Any] = {
        sc.OPERATION: api.operation,
        sc.CALL_API: api.name,
        sc.PROVIDER: place.provider,
        sc.SERVER_ADDRESS: place.host,
        sc.SERVER_PORT: place.port,
        sc.CALL_PLACE: place.place,
        sc.CALL_ORDINAL: place.ordinal,
        sc.CALL_ATTEMPT: place.attempt,
        sc.CALL_SCRIPTED: scripted,
    }
    if adaptation.changed:
        attributes[sc.CALL_ADAPTED] = adaptation.changed
    _add_fields(attributes, api.fields(adaptation.body))
    return attributes


def _add_fields(attributes: dict[str, Any], body: Json) -> None:
    for attribute, names in _FIELDS.items():
        for name in names:
            value = body.get(name)
            if value is not None:
                if isinstance(value, str | bool | int | float):
                    attributes[attribute] = value
                break
    attributes.setdefault(sc.REQUEST_STREAM, False)
    if isinstance(body.get("n"), int) and body["n"] > 1:
        attributes[sc.REQUEST_CHOICES] = body["n"]
