"""Tasks: a file that has none says why, and an id that is not there says what is near."""

import json

import pytest

from profiler.errors import DataError, UsageError
from profiler.tasks import Task, choose_tasks, load_tasks, task_digests


def load(tmp_path, content):
    path = tmp_path / "x.tasks.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return load_tasks(path)


def test_a_task_is_a_text_or_a_whole_input_state(tmp_path):
    tasks = load(
        tmp_path,
        {"tasks": [{"id": "a", "input": "why?", "tags": ["x"]}, {"id": "b", "input": {"messages": []}, "more": 1}]},
    )
    assert tasks == [Task(id="a", input="why?", tags=("x",)), Task(id="b", input={"messages": []})]


def test_a_bare_list_of_tasks_will_do(tmp_path):
    assert load(tmp_path, [{"id": "a", "input": "x"}]) == [Task(id="a", input="x")]


def test_an_empty_input_is_an_input(tmp_path):
    assert load(tmp_path, [{"id": "a", "input": ""}])[0].input == ""


def test_a_missing_file_is_an_error_that_names_it_and_the_option(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the tasks file .*missing: No such file") as caught:
        load_tasks(tmp_path / "missing")
    assert "--tasks" in caught.value.remedy


def test_a_folder_is_no_tasks_file(tmp_path):
    with pytest.raises(DataError, match="cannot read the tasks file"):
        load_tasks(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the tasks file .* is empty"),
        (b" \n", "the tasks file .* is empty"),
        (b"{", "is not JSON: line 1"),
        (b'[\n{"id": }]', "is not JSON: line 2"),
        (b"[" * 100_000, "is not JSON"),
        ([], "has no tasks"),
        ({"tasks": []}, "has no tasks"),
        ({}, "is not a tasks file: tasks: Field required"),
        (5, "is not a tasks file: the top level"),
        ("text", "is not a tasks file: the top level"),
        ({"tasks": {"a": "b"}}, "is not a tasks file: tasks: "),
        ([5], r"is not a tasks file: tasks\.0: "),
        ([{"input": "x"}], r"is not a tasks file: tasks\.0\.id: Field required"),
        ([{"id": "a"}], r"is not a tasks file: tasks\.0\.input: Field required"),
        ([{"id": "", "input": "x"}], r"is not a tasks file: tasks\.0\.id: "),
        ([{"id": "x" * 201, "input": "x"}], r"is not a tasks file: tasks\.0\.id: "),
        ([{"id": "a", "input": "x"}, {"id": "b", "input": 5}], r"is not a tasks file: tasks\.1\.input"),
        ([{"id": "a", "input": "x", "tags": "slow"}], r"is not a tasks file: tasks\.0\.tags: "),
        ([{"id": "a", "input": "x", "tags": [""]}], r"is not a tasks file: tasks\.0\.tags\.0: "),
        ([{"id": "a", "input": "x", "tags": ["slow,long"]}], r"is not a tasks file: tasks\.0\.tags\.0: "),
    ],
)
def test_a_file_that_has_no_tasks_says_why_and_what_it_should_read(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path, content)
    assert str(tmp_path / "x.tasks.json") in caught.value.message
    assert len(caught.value.message.splitlines()) == 1
    assert '{"tasks": [{"id":' in caught.value.remedy
    assert caught.value.exit_code == 3


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is not a tasks file: it is not UTF-8 text"):
        load(tmp_path, b"\xff\xfe")


def test_ids_that_are_there_twice_are_named(tmp_path):
    tasks = [{"id": name, "input": "x"} for name in "abcab"]
    with pytest.raises(DataError, match=r"has these task ids twice: a, b$"):
        load(tmp_path, tasks)


# --- choosing --------------------------------------------------------------------------------------------

TASKS = [Task(id=name, input="x") for name in ("weather-oslo", "weather-rome", "tickets")]


def ids(tasks):
    return [task.id for task in tasks]


def test_without_a_choice_all_tasks_are_taken():
    assert choose_tasks(TASKS, []) == TASKS


def test_chosen_tasks_come_in_the_order_of_the_file_and_once():
    assert ids(choose_tasks(TASKS, ["tickets", "weather-oslo", "tickets"])) == ["weather-oslo", "tickets"]


def test_an_id_that_is_nearly_right_suggests_the_right_one():
    with pytest.raises(UsageError, match="no task 'ticket'") as caught:
        choose_tasks(TASKS, ["ticket"])
    assert caught.value.remedy == "did you mean tickets?"
    assert caught.value.exit_code == 2


def test_an_id_that_is_near_to_several_suggests_them_all():
    with pytest.raises(UsageError) as caught:
        choose_tasks(TASKS, ["weather"])
    assert set(caught.value.remedy.removeprefix("did you mean ").removesuffix("?").split(" or ")) == {
        "weather-oslo",
        "weather-rome",
    }


def test_an_id_that_is_near_to_none_lists_what_there_is():
    with pytest.raises(UsageError) as caught:
        choose_tasks(TASKS, ["weather-oslo", "zzz"])
    assert caught.value.remedy == "there are: tickets, weather-oslo, weather-rome"


def test_at_most_twenty_ids_are_listed():
    tasks = [Task(id=f"{number:03}", input="x") for number in range(100)]
    with pytest.raises(UsageError) as caught:
        choose_tasks(tasks, ["zzz"])
    assert caught.value.remedy.count(",") == 19


def test_a_digest_tells_what_is_asked_whatever_the_order_of_keys():
    one, same, other = (Task(id="t", input=value) for value in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}))
    assert task_digests([one]) == task_digests([same])
    assert task_digests([one]) != task_digests([other])
