"""Values that conform to JSON schemas; the public validator is the judge."""

import json
import random
import re
import uuid

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.engines.sim.pattern import Unsupported, matching
from profiler.engines.sim.schema import conforming

SEEDS = st.integers(0, 2**32)


def check(schema, seed=0):
    value = conforming(schema, random.Random(seed))
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
    return value


# --- schemas from hypothesis -----------------------------------------------------------------------------


@st.composite
def integers(draw):
    low, high = sorted(draw(st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))))
    schema = {"type": "integer"}
    low_name = draw(st.sampled_from(["minimum", "exclusiveMinimum", None]))
    high_name = draw(st.sampled_from(["maximum", "exclusiveMaximum", None]))
    if low_name:
        schema[low_name] = low
    if high_name:
        schema[high_name] = high + 2
    if draw(st.booleans()) and not (low_name and high_name):
        schema["multipleOf"] = draw(st.integers(1, 50))
    return schema


@st.composite
def numbers(draw):
    low = draw(st.floats(-1e6, 1e6))
    schema = {"type": "number"}
    low_name = draw(st.sampled_from(["minimum", "exclusiveMinimum", None]))
    high_name = draw(st.sampled_from(["maximum", "exclusiveMaximum", None]))
    if low_name:
        schema[low_name] = low
    if high_name:
        schema[high_name] = low + draw(st.sampled_from([0.001, 1, 1000]))
    return schema


@st.composite
def strings(draw):
    least = draw(st.integers(0, 30))
    schema = {"type": "string"}
    if draw(st.booleans()):
        schema["minLength"] = least
    if draw(st.booleans()):
        schema["maxLength"] = least + draw(st.integers(0, 10))
    return schema


@st.composite
def objects(draw, inner):
    properties = draw(st.dictionaries(st.sampled_from("abcde"), inner, max_size=4))
    schema = {"type": "object", "properties": properties}
    if properties:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    elif draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, 6))
    return schema


@st.composite
def arrays(draw, inner):
    least = draw(st.integers(0, 4))
    schema = {"type": "array", "items": draw(inner)}
    if draw(st.booleans()):
        schema["minItems"] = least
    if draw(st.booleans()):
        schema["maxItems"] = least + draw(st.integers(0, 3))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=2))
    return schema


SIMPLE = st.one_of(
    integers(),
    numbers(),
    strings(),
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["a", 1, None]},
            {"const": {"x": [1]}},
            {"type": ["string", "null"]},
            {"type": "integer", "default": 3},
            {"type": "string", "examples": ["x"]},
            {},
            True,
        ]
    ),
)
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        inner.map(lambda part: {"allOf": [part]}),
    ),
    max_leaves=12,
)


@given(SCHEMAS, SEEDS)
@settings(max_examples=100, deadline=None)
def test_values_conform(schema, seed):
    check(schema, seed)


@given(SCHEMAS, SEEDS)
@settings(deadline=None)
def test_the_same_seed_gives_the_same_value(schema, seed):
    assert repr(conforming(schema, random.Random(seed))) == repr(conforming(schema, random.Random(seed)))


KEYWORDS = (  # noqa: SIM905 - as text it can be read
    "type properties required items enum anyOf allOf $ref minItems pattern minimum maximum multipleOf minLength format "
    "default prefixItems examples const oneOf additionalProperties uniqueItems"
).split()
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS),
            inner | st.sampled_from(["object", "array", "string", "number", "integer", "#", "#/properties/a"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JUNK, SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_schema_that_is_none_still_gives_json(schema, seed):
    json.dumps(conforming(schema, random.Random(seed)))


# --- one rule each ---------------------------------------------------------------------------------------


def test_what_is_required_is_there_and_the_rest_sometimes():
    schema = {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "required": ["b"]}
    made = [check(schema, seed) for seed in range(40)]
    assert all("b" in value for value in made)
    assert 5 < sum("a" in value for value in made) < 35


def test_what_is_required_without_being_described_is_there():
    assert "x" in check({"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}})


@pytest.mark.parametrize("name", ["anyOf", "oneOf"])
def test_alternatives_are_chosen_and_mostly_not_null(name):
    schema = {name: [{"type": "null"}, {"type": "integer", "minimum": 5}]}
    made = [check(schema, seed) for seed in range(40)]
    assert sum(value is None for value in made) < 15
    assert any(value is not None for value in made)


def test_a_default_and_examples_come_before_invention():
    assert check({"type": "integer", "default": 7}) == 7
    assert check({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}) is None
    assert check({"type": "string", "examples": ["x", "y"]}) in ("x", "y")


def test_all_of_narrows():
    schema = {"allOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 4}]}
    assert check(schema) in (3, 4)
    both = {"allOf": [{"properties": {"a": {"minimum": 3}}, "required": ["a"]}, {"required": ["b"]}]}
    both["properties"] = {"a": {"type": "integer", "maximum": 3}, "b": {"const": 1}}
    assert check(both) == {"a": 3, "b": 1}
    assert check({"enum": [1, 2, 3], "allOf": [{"enum": [3, 4]}]}) == 3


@pytest.mark.parametrize("place", ["$defs", "definitions"])
def test_references_are_followed(place):
    schema = {"$ref": f"#/{place}/a~1b", place: {"a/b": {"type": "array", "items": [{"const": 1}], "minItems": 1}}}
    assert conforming(schema, random.Random(0))[0] == 1


def test_a_recursive_schema_ends():
    tree = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["name", "children"],
    }
    linked = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "required": ["next"], "properties": {}}}}
    linked["$defs"]["n"]["properties"]["next"] = {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}
    for seed in range(20):
        check(tree, seed)
        check(linked, seed)


HOSTILE = {
    "endless object": {
        "type": "object",
        "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}},
        "required": ["a", "b"],
    },
    "reference to itself": {"$ref": "#"},
    "references in a circle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "combinations without end": {"allOf": [{"$ref": "#"}, {"$ref": "#"}], "anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "a long text": {"type": "string", "minLength": 10**12},
    "a long list": {"type": "array", "minItems": 10**12, "items": {"type": "array", "minItems": 10**12}},
    "many names": {"type": "object", "required": [str(number) for number in range(100_000)]},
    "many properties": {"type": "object", "minProperties": 10**12},
    "a pattern that explodes": {"type": "string", "pattern": "^((((a{99}){99}){99}){99})$"},
    "a pattern that backtracks": {"type": "string", "pattern": "^(a+)+(b|a+)*$", "minLength": 50},
    "contradictory bounds": {"type": "integer", "minimum": 10, "maximum": 1},
    "numbers out of reach": {"type": "integer", "minimum": 1e308, "multipleOf": 5e-324},
    "no reference there": {"$ref": "#/nowhere/0"},
    "a foreign reference": {"$ref": "https://example.com/schema"},
}


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_schema_is_answered_within_bounds(schema):
    assert len(json.dumps(conforming(schema, random.Random(1)))) < 2_000_000


def test_a_deep_schema_is_answered_within_bounds():
    deep = {"const": 1}
    for _ in range(5000):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}
    conforming(deep, random.Random(0))
    for _ in range(5000):
        deep = {"anyOf": [deep, deep]}
    conforming(deep, random.Random(0))


def test_items_are_unique_where_asked():
    schema = {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3}
    assert sorted(check(schema)) == [1, 2, 3]
    check({"type": "array", "items": {"enum": [1, True, 0, False]}, "uniqueItems": True, "minItems": 2})


def test_formats_are_what_they_say():
    def made(name):
        return check({"type": "string", "format": name}, seed=3)

    assert re.fullmatch(r"20\d\d-\d\d-\d\d", made("date"))
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", made("date-time"))
    assert made("email").endswith("@example.com")
    assert made("uri").startswith("https://")
    assert uuid.UUID(made("uuid")).version == 4
    assert made("unheard-of")


# --- patterns --------------------------------------------------------------------------------------------

PATTERNS = [
    r"^[A-Z]{2}-\d{4}$",
    r"^(red|green|blue)$",
    r"^[a-z][a-z0-9_]*$",
    r"^\+?[1-9]\d{1,14}$",
    r"^(?:\d{1,3}\.){3}\d{1,3}$",
    r"^#[0-9a-fA-F]{6}$",
    r"[^abc]+",
    r"a|b|",
    r"^\w+@\w+\.(com|org)$",
    r"x.?y*?z+",
    r"^[\w.\-]+$",
    r"[a\-z]{3}",
    r"^\d{4,}$",
    r"()",
    r"\$\{\}\S\D\W\t",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_met(pattern):
    for seed in range(30):
        assert re.fullmatch(pattern, matching(pattern, random.Random(seed))), pattern
    check({"type": "string", "pattern": pattern})


def test_a_pattern_is_met_at_the_length_asked_for():
    schema = {"type": "string", "pattern": "^[a-z]+$", "minLength": 30, "maxLength": 40}
    for seed in range(20):
        check(schema, seed)


UNREACHABLE = (
    *(r"(a", r"a)", r"[a", r"[]", r"*", r"a{2,1}", r"a{x}", r"(?=a)b", r"(?<n>a)", r"\bword", r"\1", "\\", r"a^b"),
    *(r"a$b", "a" * 501, "(" * 30 + ")" * 30, r"(((a{99}){99}){99})", r"a{9999}", r"[z-a]"),
)


@pytest.mark.parametrize("pattern", UNREACHABLE)
def test_a_pattern_out_of_reach_is_said_to_be(pattern):
    with pytest.raises(Unsupported):
        matching(pattern, random.Random(0))


@given(st.text(alphabet="ab01()[]{}|*+?^$.\\-,dws", max_size=12), SEEDS)
@settings(max_examples=150, deadline=None)
def test_what_is_made_for_any_pattern_matches_it(pattern, seed):
    try:
        text = matching(pattern, random.Random(seed))
        wanted = re.compile(pattern)
    except (Unsupported, re.error, FutureWarning):
        return
    assert wanted.search(text)


def test_a_class_that_spans_the_surrogates_makes_text_that_can_be_sent():
    for seed in range(20):
        value = conforming({"type": "string", "pattern": "[\ud7ff-\ue000]{5}"}, random.Random(seed))
        value.encode()
