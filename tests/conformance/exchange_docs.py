"""Exchanges written down from the servers' specifications, and what it means that an answer has their shape.

    exchanges/DIALECT/NAME.json
        about, source     what is shown, and where it is specified
        before            a request that comes first
        request           method, path, and a body, or `raw` text; LONG in a message stands for a prompt too long
        response          status, content_type, headers, and one of
            stream        in order: {"data": …} once, {"repeated": […]} one or more of this shape
            body, text    of an answer that is no stream
        exact             members (`error.code`) whose value is specified, too
        reads             what a reader has to find in the response as it is written here

An answer has the shape if objects have the same members, lists the same kind of items, and values the same type. Of
texts those in `FIXED` have to be equal, for they are words of the protocol.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "exchanges"
FIXED = ("object", "role", "type", "finish_reason", "done_reason", "error_type")
MODELS = {"vllm": "qwen", "tgi": "llama3.2", "ollama": "llama3.2", "openai": "gpt-4o-mini", "llama.cpp": "qwen"}
LONG = "How long is too long? " * 8000


@dataclass(frozen=True)
class Exchange:
    dialect: str
    name: str
    data: dict[str, Any]

    @property
    def request(self):
        return self.data["request"]

    @property
    def response(self):
        return self.data["response"]

    @property
    def content(self):
        """The bytes of the request's body."""
        if "raw" in self.request:
            return self.request["raw"].encode()
        return json.dumps(self.request.get("body", {})).replace('"LONG"', json.dumps(LONG)).encode()

    @property
    def exact(self):
        return tuple(self.data.get("exact", ()))

    def written(self):
        """The bytes of the response as it is written here."""
        response = self.response
        if "text" in response:
            return response["text"].encode()
        if "stream" not in response:
            return json.dumps(response["body"]).encode()
        lines = response["content_type"] == "application/x-ndjson"
        data = [one if isinstance(one, str) else json.dumps(one) for one in flat(response["stream"])]
        return "".join(f"{one}\n" if lines else f"data: {one}\n\n" for one in data).encode()


def flat(stream):
    return [one for part in stream for one in part.get("repeated", [part.get("data")])]


def exchanges():
    """All of them, by dialect and name."""
    return [
        Exchange(path.parent.name, path.stem, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(FOLDER.glob("*/*.json"))
    ]


# --- shapes ------------------------------------------------------------------------------------------------


def unlike(spec, found, exact=(), at=""):
    """Where what was found differs in shape from what is specified, in words; empty if it does not."""
    if at.strip(".") in exact and spec != found:
        return [f"{at}: {found!r} instead of {spec!r}"]
    if isinstance(spec, dict) and isinstance(found, dict):
        wrong = [f"{at}: {name!r} is missing" for name in spec if name not in found]
        wrong += [f"{at}: {name!r} is not specified" for name in found if name not in spec]
        both = [name for name in spec if name in found]
        return wrong + [each for name in both for each in _member(spec, found, name, exact, at)]
    if isinstance(spec, list) and isinstance(found, list):
        if bool(spec) != bool(found):
            return [f"{at}: {len(found)} items instead of {len(spec)}"]
        return [each for number, one in enumerate(found) for each in unlike(spec[0], one, exact, f"{at}[{number}]")]
    return [] if _kind(spec) == _kind(found) else [f"{at}: {found!r} where {spec!r} is specified"]


def _member(spec, found, name, exact, at):
    one, other = spec[name], found[name]
    if name in FIXED and isinstance(one, str) and one != other and name != "finish_reason":
        return [f"{at}.{name}: {other!r} instead of {one!r}"]
    return unlike(one, other, exact, f"{at}.{name}" if at else name)


def _kind(value):
    if isinstance(value, bool) or value is None:
        return repr(value)
    return "number" if isinstance(value, float) else type(value).__name__


def stream_unlike(spec, found, exact=()):
    """The same of a stream: each part is compared with as many events as have its shape, at least one."""
    wrong, place = [], 0
    for part in spec:
        shapes = part.get("repeated", [part.get("data")])
        begin = place
        while place < len(found) and (place == begin or "repeated" in part):
            complaints = min((unlike(shape, found[place], exact) for shape in shapes), key=len)
            if complaints and (place == begin or _fits_later(spec, part, found[place], exact)):
                if place == begin:
                    wrong.append(f"event {place}: {'; '.join(complaints)}")
                    place += 1
                break
            wrong += [f"event {place}: {each}" for each in complaints]
            place += 1
        if place == begin:
            wrong.append(f"the stream ends before {json.dumps(shapes[0])[:200]}")
    return wrong + [f"event {place}: not specified: {found[place]!r}" for place in range(place, len(found))]


def _fits_later(spec, part, event, exact):
    later = spec[spec.index(part) + 1 :]
    return any(not unlike(shape, event, exact) for each in later for shape in each.get("repeated", [each.get("data")]))


def header_kind(text):
    """What sort of value a header has."""
    return "whole number" if re.fullmatch(r"[0-9]+", text) else "number" if re.fullmatch(r"[0-9.e-]+", text) else "text"
