"""Reading what came over the wire: fields of a JSON body with their types checked, conversations, tools.

What is wrong is refused in the words of a dialect: each reader takes a function that makes its error from a message
and the field's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from profiler.engines.sim.prompt import content_text
from profiler.engines.sim.request import BadRequest, Json, Tool

Refuse = Callable[[str, str], BadRequest]
_INT64 = 2**63


class Fields:
    """The fields of a body; null counts as absent.

    Raises:
        BadRequest: by every method, if the field is of another type or out of range.
    """

    def __init__(self, body: Any, refuse: Refuse) -> None:
        if not isinstance(body, dict):
            raise refuse("the body must be a JSON object", "body")
        self.body: Json = body
        self._refuse = refuse

    def integer(self, name: str, *, least: int = -_INT64, most: int = _INT64 - 1) -> int | None:
        """A whole number; true and 1.0 are none."""
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refuse(f"{name} must be an integer", name)
        if value < least:
            raise self._refuse(f"{name} must be at least {least}, got {value}.", name)
        if value > most:
            raise self._refuse(f"{name} must be at most {most}, got {value}.", name)
        return value

    def number(self, name: str) -> float | None:
        """A finite number."""
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self._refuse(f"{name} must be a finite number", name)
        return float(value)

    def flag(self, name: str, *, missing: bool = False) -> bool:
        """True or false."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._refuse(f"{name} must be true or false", name)
        return missing if value is None else value

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, str):
            raise self._refuse(f"{name} must be a string", name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A string or a list of them; empty strings are left out."""
        value = self.body.get(name)
        values = [value] if isinstance(value, str) else value or []
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise self._refuse(f"{name} must be a string or a list of strings", name)
        return tuple(item for item in values if item)

    def object(self, name: str) -> Json:
        """An object; empty if absent."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._refuse(f"{name} must be an object", name)
        return value or {}

    def objects(self, name: str) -> list[Json]:
        """A list of objects; empty if absent."""
        value = self.body.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._refuse(f"{name} must be a list of objects", name)
        return value


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the speech has to know of the messages so far."""

    assistant_turns: int
    tool_calls: int
    first_user_text: str
    last_role: str


def conversation(messages: list[Json]) -> Conversation:
    """Facts of a list of messages.

    Raises:
        TypeError: the content of a message is neither text nor parts.
    """
    roles = [str(message.get("role")) for message in messages]
    calls = [message.get("tool_calls") for message in messages]
    first = next((message for message, role in zip(messages, roles, strict=True) if role == "user"), {})
    return Conversation(
        assistant_turns=roles.count("assistant"),
        tool_calls=sum(len(made) for made in calls if isinstance(made, list)),
        first_user_text=content_text(first.get("content")),
        last_role=roles[-1] if roles else "",
    )


def tools_of(listed: list[Json], refuse: Refuse) -> tuple[Tool, ...]:
    """The functions among the tools.

    Raises:
        BadRequest: a tool has no function with a name.
    """
    tools = []
    for one in listed:
        function = one.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise refuse("each tool must be a function with a name", "tools")
        parameters = function.get("parameters") or function.get("arguments")
        tools.append(Tool(name, parameters if isinstance(parameters, dict) else {"type": "object"}))
    return tuple(tools)
