"""Scripts: calls are handed out by place, and a file that is no script says why."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.errors import DataError, ScriptMismatch
from profiler.script import Script, ScriptedCall, TaskScript, ToolCall, dump_script, load_script

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.builds(
    ScriptedCall,
    place=WORDS,
    content=WORDS,
    tool_calls=st.lists(
        st.builds(ToolCall, name=WORDS, arguments=st.dictionaries(WORDS, JSON_VALUES, max_size=3)), max_size=2
    ).map(tuple),
    output_tokens=st.integers(1, 1_000_000),
    finish_reason=st.none() | WORDS,
)
SCRIPTS = st.builds(
    Script,
    tasks=st.dictionaries(WORDS, st.builds(TaskScript, calls=st.lists(CALLS, max_size=4).map(tuple)), max_size=3),
)


def script_of(*calls, task="t1"):
    return Script(tasks={task: TaskScript(calls=tuple(calls))})


def call(place, content):
    return ScriptedCall(place=place, content=content, output_tokens=1)


# --- handing out -----------------------------------------------------------------------------------------


def test_calls_are_handed_out_by_place_and_in_order_there():
    cursor = script_of(call("a", "a1"), call("b", "b1"), call("a", "a2")).cursor("t1")
    taken = [cursor.take(place) for place in ("b", "a", "a")]
    assert [(ordinal, said.content) for ordinal, said in taken] == [(1, "b1"), (1, "a1"), (2, "a2")]


def test_a_call_that_was_given_back_is_handed_out_again():
    cursor = script_of(call("", "one"), call("", "two")).cursor("t1")
    first = cursor.take("")
    cursor.give_back("", first[0])
    assert cursor.take("") == first
    assert cursor.take("")[1].content == "two"


def test_a_call_given_back_comes_before_later_ones():
    cursor = script_of(*(call("", str(number)) for number in range(4))).cursor("t1")
    taken = [cursor.take("") for _ in range(3)]
    cursor.give_back("", 2)
    assert cursor.take("") == taken[1]
    assert cursor.take("")[0] == 4


def test_chains_of_one_task_do_not_share_a_cursor():
    script = script_of(call("", "one"))
    assert script.cursor("t1").take("") == script.cursor("t1").take("")


def test_calls_that_were_not_asked_for_are_counted():
    cursor = script_of(call("a", "1"), call("a", "2"), call("b", "3")).cursor("t1")
    assert cursor.unused() == 3
    cursor.take("a")
    assert cursor.unused() == 2
    cursor.give_back("a", 1)
    assert cursor.unused() == 3


@settings(max_examples=36, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", ""]), max_size=8), st.data())
def test_whatever_the_order_of_asking_each_call_is_handed_out_once(places, data):
    script = script_of(*(call(place, str(number)) for number, place in enumerate(places)))
    cursor = script.cursor("t1")
    seen = []
    for place in data.draw(st.permutations(places)):
        ordinal, said = cursor.take(place)
        if data.draw(st.booleans()):
            cursor.give_back(place, ordinal)
            assert cursor.take(place) == (ordinal, said)
        seen.append(said.content)
    assert sorted(seen) == sorted(str(number) for number in range(len(places)))
    assert cursor.unused() == 0


def test_one_call_too_many_at_a_place_says_how_many_there_are():
    cursor = script_of(call("model", "1"), call("model", "2")).cursor("t1")
    cursor.take("model")
    cursor.take("model")
    with pytest.raises(ScriptMismatch) as caught:
        cursor.take("model")
    assert caught.value.message == "task 't1': node 'model' asked for call 3, the script has 2 there"
    assert "--record-script" in caught.value.remedy
    assert "--no-script" in caught.value.remedy


def test_a_call_at_an_unknown_place_says_where_there_are_calls():
    cursor = script_of(call("b", "1"), call("a", "2")).cursor("t1")
    with pytest.raises(ScriptMismatch) as caught:
        cursor.take("other")
    assert caught.value.message == (
        "task 't1': node 'other' asked for call 1, the script has 0 there (it has calls at: 'a', 'b')"
    )


def test_an_agent_without_a_graph_is_called_the_agent():
    with pytest.raises(ScriptMismatch, match="the agent asked for call 1, the script has 0 there"):
        script_of(call("a", "1")).cursor("t1").take("")


def test_a_task_that_the_script_lacks_is_a_mismatch():
    with pytest.raises(ScriptMismatch, match="the script has no task 'other'") as caught:
        script_of(call("", "1")).cursor("other")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("tools", "reason", "finish"),
    [((), None, "stop"), ((ToolCall(name="f"),), None, "tool_calls"), ((), "length", "length")],
)
def test_a_finish_reason_that_is_not_recorded_follows_from_what_was_said(tools, reason, finish):
    assert ScriptedCall(output_tokens=1, tool_calls=tools, finish_reason=reason).finish == finish


# --- files -----------------------------------------------------------------------------------------------


@settings(max_examples=24, deadline=None)
@given(SCRIPTS)
def test_a_script_is_loaded_as_it_was_dumped(tmp_path_factory, script):
    path = tmp_path_factory.mktemp("scripts") / "x.script.json"
    path.write_text(dump_script(script), encoding="utf-8", newline="")
    loaded = load_script(path)
    assert loaded == script
    assert dump_script(loaded) == dump_script(script)


def test_a_script_has_one_call_a_line():
    text = dump_script(script_of(call("", "one"), call("a", "two\nlines")))
    assert text == (
        '{\n  "format": "profiler-script",\n  "version": 1,\n  "tasks": {\n    "t1": {"calls": [\n'
        '      {"place": "", "content": "one", "tool_calls": [], "output_tokens": 1},\n'
        '      {"place": "a", "content": "two\\nlines", "tool_calls": [], "output_tokens": 1}\n'
        "    ]}\n  }\n}\n"
    )


GOOD = {"format": "profiler-script", "version": 1, "tasks": {"t": {"calls": [{"output_tokens": 1}]}}}


def load(tmp_path, content):
    path = tmp_path / "x.script.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return load_script(path)


def test_a_call_needs_nothing_but_its_number_of_tokens(tmp_path):
    loaded = load(tmp_path, GOOD)
    assert loaded.tasks["t"].calls == (ScriptedCall(output_tokens=1),)


def test_a_missing_file_is_an_error_that_names_it_and_the_option(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the script .*missing: No such file") as caught:
        load_script(tmp_path / "missing")
    assert "--script" in caught.value.remedy


def test_a_folder_is_no_script(tmp_path):
    with pytest.raises(DataError, match="cannot read the script"):
        load_script(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "is not a script: it is not UTF-8 text"),
        (b"", "is empty"),
        (b'{\n"format":', "is not JSON: line 2"),
        (b"[" * 100_000, "is not JSON"),
        (5, "is not a script: the top level"),
        ([], "is not a script: the top level"),
        ({}, "is not a script: tasks: Field required"),
        ({**GOOD, "format": "other"}, "is not a script: format"),
        ({**GOOD, "version": 2}, "is not a script: version"),
        ({**GOOD, "more": 1}, "is not a script: more"),
        ({**GOOD, "tasks": []}, "is not a script: tasks"),
        ({**GOOD, "tasks": {"t": {}}}, r"is not a script: tasks\.t\.calls: Field required"),
        ({**GOOD, "tasks": {"t": {"calls": [{}]}}}, r"tasks\.t\.calls\.0\.output_tokens: Field required"),
        ({**GOOD, "tasks": {"t": {"calls": [{"output_tokens": 0}]}}}, "greater than or equal to 1"),
        ({**GOOD, "tasks": {"t": {"calls": [{"output_tokens": 1, "text": "x"}]}}}, r"calls\.0\.text"),
        (
            {**GOOD, "tasks": {"t": {"calls": [{"output_tokens": 1, "tool_calls": [{"arguments": {}}]}]}}},
            r"tool_calls\.0\.name: Field required",
        ),
    ],
)
def test_a_file_that_is_no_script_says_where_and_why(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path, content)
    assert str(tmp_path / "x.script.json") in caught.value.message
    assert len(caught.value.message.splitlines()) == 1


def test_half_a_character_in_a_script_is_refused(tmp_path):
    # It could not be sent to the agent.
    calls = [{"output_tokens": 1, "content": "\ud83d"}]
    with pytest.raises(DataError, match="is not a script"):
        load(tmp_path, {**GOOD, "tasks": {"t": {"calls": calls}}})
