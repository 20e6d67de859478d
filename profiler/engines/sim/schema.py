"""Values that conform to a JSON schema, as a model under guided decoding would make them.

    {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "maximum": 20}},
     "required": ["query"]}                    ->  {"query": "weather report"}, {"query": "order", "limit": 4}, …

Deterministic by the generator that is passed in. What is taken into account: type (also lists of types), enum, const,
default, examples, properties, required, additionalProperties, minProperties, items, prefixItems, minItems, maxItems,
uniqueItems, minLength, maxLength, pattern, format, minimum, maximum (also exclusive), multipleOf, anyOf, oneOf, allOf,
$ref into the same schema. Not: not, if, contains, dependencies. A schema from a client may be hostile: depth, number
of values and length of texts are bounded, and beyond the bounds the value no longer conforms.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any, TypeGuard

from profiler.engines.sim.pattern import Unsupported, matching
from profiler.engines.sim.texts import of_format, words

_MOST_VALUES = 2000
_DEEP = 5  # from here on only what is required, and of alternatives the simplest
_TOO_DEEP = 40
_LONGEST_TEXT = 4096
_MOST_ITEMS = 256
_TRIES = 20
_PATTERN_TRIES = 100
_PATTERN_LETTERS = 2000
_HUGE = 1e300
_FAMILY = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def conforming(schema: Any, choose: random.Random) -> Any:
    """A JSON value that conforms to the schema; anything at all for a schema that is none."""
    return _Maker(schema, choose).value(schema, 0)


class _Maker:
    def __init__(self, root: Any, choose: random.Random) -> None:
        self.root = root
        self.choose = choose
        self.values = 0
        self.merges = 0

    def value(self, schema: Any, depth: int) -> Any:
        self.values += 1
        if depth > _TOO_DEEP or self.values > _MOST_VALUES or schema is False:
            return None
        flat = self._flat(schema, depth)
        if "const" in flat:
            return flat["const"]
        if isinstance(flat.get("enum"), list) and flat["enum"]:
            return self.choose.choice(flat["enum"])
        if "default" in flat:
            return flat["default"]
        if isinstance(flat.get("examples"), list) and flat["examples"]:
            return self.choose.choice(flat["examples"])
        return self._made(self._type(flat, depth), flat, depth)

    def _made(self, kind: str, flat: dict[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(flat, depth)
            case "array":
                return self._array(flat, depth)
            case "integer" | "number":
                return self._number(flat, whole=kind == "integer")
            case "boolean":
                return self.choose.random() < 0.5  # noqa: PLR2004
            case "null":
                return None
            case _:
                return self._text(flat)

    # --- one flat schema out of references and combinations ------------------------------------------

    def _flat(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema without $ref, allOf, anyOf and oneOf: alternatives are chosen here."""
        flat: dict[str, Any] = {}
        waiting = [schema]
        followed: set[str] = set()
        while waiting:
            part = waiting.pop()
            self.merges += 1
            if not isinstance(part, dict) or self.merges > 10 * _MOST_VALUES:
                continue
            reference = part.get("$ref")
            if isinstance(reference, str) and reference not in followed:
                followed.add(reference)
                waiting.append(self._target(reference))
            waiting.extend(_list(part.get("allOf")))
            if "default" not in part:
                waiting += [self._branch(part[name], depth) for name in ("anyOf", "oneOf") if _list(part.get(name))]
            flat = _merged(flat, part)
        return flat

    def _target(self, reference: str) -> Any:
        """What a JSON pointer into the schema points to; {} if nothing is there."""
        if not reference.startswith("#"):
            return {}
        found = self.root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name[:6]) < len(found):
                found = found[int(name[:6])]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                return {}
        return found

    def _branch(self, branches: list[Any], depth: int) -> Any:
        possible = [branch for branch in branches if branch is not False] or branches
        if depth >= _DEEP:
            return min(possible, key=lambda branch: self._weight(branch, 0))
        real = [branch for branch in possible if not (isinstance(branch, dict) and branch.get("type") == "null")]
        return self.choose.choice(real if real and self.choose.random() < 0.8 else possible)  # noqa: PLR2004

    def _weight(self, schema: Any, depth: int) -> int:
        """How much a schema entails, roughly: its required depth."""
        self.merges += 1
        if not isinstance(schema, dict) or depth > 3 or self.merges > 10 * _MOST_VALUES:  # noqa: PLR2004
            return depth
        if "const" in schema or "enum" in schema or schema.get("type") == "null":
            return 0
        parts: Iterable[Any] = ()
        if isinstance(schema.get("$ref"), str):
            parts = [self._target(schema["$ref"])]
        elif isinstance(schema.get("required"), list) and isinstance(schema.get("properties"), dict):
            parts = [schema["properties"].get(name) for name in schema["required"] if isinstance(name, str)]
        elif isinstance(schema.get("minItems"), int) and schema["minItems"] > 0:
            parts = [schema.get("items")]
        return 1 + max((self._weight(part, depth + 1) for part in parts), default=0)

    def _type(self, flat: dict[str, Any], depth: int) -> str:
        kinds = flat.get("type")
        if isinstance(kinds, list):
            kinds = [kind for kind in kinds if isinstance(kind, str)]
            if depth >= _DEEP and "null" in kinds:
                return "null"
            real = [kind for kind in kinds if kind != "null"] or kinds
            kinds = self.choose.choice(real) if real else None
        if isinstance(kinds, str):
            return kinds
        return next((kind for kind, names in _FAMILY.items() if flat.keys() & set(names)), "string")

    # --- one kind of value each ----------------------------------------------------------------------

    def _object(self, flat: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = _dict(flat.get("properties"))
        required = [name for name in _list(flat.get("required")) if isinstance(name, str)]
        others = flat.get("additionalProperties", True)
        least, most = _count(flat, "minProperties", 0, _MOST_ITEMS), _count(flat, "maxProperties", None, _MOST_ITEMS)
        optional = [name for name, part in properties.items() if name not in required and part is not False]
        taken = set(required)
        for name in optional:
            wanted = len(taken) < least or (depth < _DEEP and self.choose.random() < 0.5)  # noqa: PLR2004
            if wanted and len(taken) < most:
                taken.add(name)
        names = [name for name in properties if name in taken]
        names += [name for name in dict.fromkeys(required) if name not in properties]
        if others is not False:
            names += [f"extra_{index}" for index in range(1, least - len(names) + 1)]
        made = {}
        for name in names:
            if self.values > _MOST_VALUES:
                break
            made[name] = self.value(properties.get(name, others), depth + 1)
        return made

    def _array(self, flat: dict[str, Any], depth: int) -> list[Any]:
        first = _list(flat.get("prefixItems"))
        rest = flat.get("items", {})
        if isinstance(rest, list):  # the older spelling of prefixItems
            first, rest = rest, flat.get("additionalItems", {})
        least = _count(flat, "minItems", 0, _MOST_ITEMS)
        most = _count(flat, "maxItems", None, _MOST_ITEMS)
        if rest is False:
            most = min(most, len(first))
        longest = max(least, min(most, max(least, len(first)) + 2))
        size = least if depth >= _DEEP else self.choose.randint(least, longest)
        unique = flat.get("uniqueItems") is True
        made: list[Any] = []
        for index in range(size):
            part = first[index] if index < len(first) else rest
            item = self.value(part, depth + 1)
            tries = 0
            while unique and tries < _TRIES and any(_same(item, other) for other in made):
                item = self.value(part, depth + 1)
                tries += 1
            if self.values > _MOST_VALUES:
                break
            if unique and tries == _TRIES and len(made) >= least:
                break
            made.append(item)
        return made

    def _text(self, flat: dict[str, Any]) -> str:
        least = _count(flat, "minLength", 0, _LONGEST_TEXT)
        most = _count(flat, "maxLength", None, _LONGEST_TEXT)
        if isinstance(flat.get("pattern"), str):
            text = self._matching(flat["pattern"], least, most)
            if text is not None:
                return text
        shaped = of_format(str(flat.get("format")), self.choose)
        return words(self.choose, least, most) if shaped is None else shaped

    def _matching(self, pattern: str, least: int, most: int) -> str | None:
        text = None
        try:
            made = 0  # letters: all streams wait meanwhile
            for _ in range(_PATTERN_TRIES):
                text = matching(pattern, self.choose, more=max(3, least + least // 3))
                made += len(text) + 1
                if least <= len(text) <= most or made > _PATTERN_LETTERS:
                    return text
        except Unsupported:
            return None
        return text

    def _number(self, flat: dict[str, Any], *, whole: bool) -> int | float:
        low, high = _bounds(flat, whole=whole)
        step = flat.get("multipleOf")
        if not _is_number(step) or step <= 0 or (whole and step != int(step)):
            step = 1 if whole else None
        low, high = _range(low, high, width=100 * (step or 1))
        if step is None:
            exact = min(max(self.choose.uniform(low, high), low), high)
            return round(exact, 2) if low <= round(exact, 2) <= high else exact
        try:
            first, last = math.ceil(low / step), math.floor(high / step)
        except OverflowError:
            return low
        multiple = self.choose.randint(first, max(first, last)) * step
        return int(multiple) if whole else multiple


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both at once: bounds narrow each other, properties add up, of anything else the first to say it wins."""
    made = dict(one)
    for name, value in other.items():
        if name in ("$ref", "allOf", "anyOf", "oneOf"):
            continue
        known = made.get(name)
        if name not in made:
            made[name] = value
        elif name == "properties" and isinstance(known, dict) and isinstance(value, dict):
            both = {key: {"allOf": [known[key], value[key]]} for key in known.keys() & value.keys()}
            made[name] = {**known, **value, **both}
        elif name == "required" and isinstance(known, list) and isinstance(value, list):
            made[name] = [*known, *value]
        elif name == "enum" and isinstance(known, list) and isinstance(value, list):
            made[name] = [item for item in known if any(_same(item, option) for option in value)] or known
        elif name == "type":
            made[name] = _common_type(known, value)
        elif name.startswith(("min", "exclusiveMin")) and _is_number(known) and _is_number(value):
            made[name] = max(known, value)
        elif name.startswith(("max", "exclusiveMax")) and _is_number(known) and _is_number(value):
            made[name] = min(known, value)
    return made


def _common_type(one: Any, other: Any) -> Any:
    ones, others = ([kind] if isinstance(kind, str) else _list(kind) for kind in (one, other))
    both = [kind for kind in ones if kind in others]
    if not both and {"integer", "number"} <= {str(kind) for kind in (*ones, *others)}:
        return "integer"
    return both or one


def _bounds(flat: dict[str, Any], *, whole: bool) -> tuple[float | None, float | None]:
    low, high = flat.get("minimum"), flat.get("maximum")
    above, below = flat.get("exclusiveMinimum"), flat.get("exclusiveMaximum")
    lows = [low] if _is_number(low) else []
    highs = [high] if _is_number(high) else []
    if _is_number(above):
        lows.append(math.floor(above) + 1 if whole else math.nextafter(above, math.inf))
    if _is_number(below):
        highs.append(math.ceil(below) - 1 if whole else math.nextafter(below, -math.inf))
    return max(lows, default=None), min(highs, default=None)


def _range(low: float | None, high: float | None, *, width: float) -> tuple[float, float]:
    if low is None:
        if high is None:
            return 1, width
        return 0 if high >= 0 else high - width, high
    return low, max(low, low + width if high is None else high)


def _count(flat: dict[str, Any], name: str, missing: int | None, limit: int) -> int:
    value = flat.get(name)
    if not _is_number(value):
        return limit if missing is None else missing
    return int(min(max(value, 0), limit))


def _is_number(value: Any) -> TypeGuard[float]:
    """A number that can be reckoned with: in the range of a float, and finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_HUGE < value < _HUGE


def _same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
