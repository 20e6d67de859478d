"""What makes the embedded engine answer with words and then a tool call of some hundred tokens."""

from __future__ import annotations

from typing import Any

_QUERY = {"type": "string", "minLength": 16, "maxLength": 32}
_QUERIES = {"type": "array", "items": _QUERY, "minItems": 20, "maxItems": 20}
_PARAMETERS = {"type": "object", "properties": {"queries": _QUERIES}, "required": ["queries"]}
FIELDS: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "search", "parameters": _PARAMETERS}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
}
