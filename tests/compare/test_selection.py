"""Limits for some tasks, tags and agents: what is for whom, and that none is for nobody unnoticed."""

import pytest
from compare_inputs import asked, manifest, recorded, tables

from profiler.compare.budgets import Limit, Margin, Selection
from profiler.compare.limits import judge_limit
from profiler.compare.margins import judge_pairs
from profiler.compare.selection import applying, chosen, of_tasks
from profiler.compare.wholeness import judge_failures
from profiler.errors import UsageError
from profiler.report.comparison_words import amount
from profiler.stats.paired import Verdict

TAGS = {"car-oslo": "slow,long-context", "car-rome": "slow", "tickets": None}


def run(**facts):
    made = tables(*[{"parts": [asked()], "task_id": task, "task_tags": tags} for task, tags in TAGS.items()])
    return recorded(made, name="traces/x", run=manifest(**facts))


def limit(**of):
    return Limit("chain_time.max", at_most=1.0, of=Selection(**of))


@pytest.mark.parametrize(
    ("of", "tasks"),
    [
        ({}, None),
        ({"tasks": "car-*"}, {"car-oslo", "car-rome"}),
        ({"tags": "long*"}, {"car-oslo"}),
        ({"tags": "*"}, {"car-oslo", "car-rome"}),
        ({"tags": "slow", "tasks": "*rome"}, {"car-rome"}),
        ({"tags": "slow,long-context"}, set()),
        ({"agents": "react"}, None),
    ],
)
def test_tasks_are_selected_by_id_and_by_any_of_their_tags(of, tasks):
    assert chosen(run().tables, Selection(**of)) == tasks


def test_the_chains_of_some_tasks_come_with_their_calls():
    some = of_tasks(run().tables, {"tickets"})
    assert (len(some.chains), len(some.calls), len(some.steps)) == (1, 1, 1)
    assert some.calls["trace_id"].item() == some.chains["trace_id"].item()


def test_names_say_whose_chains_they_are_of():
    assert limit().name == "chain_time.max"
    assert limit(tasks="car-*", tags="slow", agents="r*").name == "chain_time.max of car-*, tag slow, agent r*"


@pytest.mark.parametrize(
    ("of", "said", "remedy"),
    [
        ({"tasks": "car_*"}, "is for task 'car_*', and traces/x has none", "did you mean "),
        ({"tasks": "zzz"}, "is for task 'zzz'", "its tasks are car-oslo, car-rome, tickets"),
        ({"tags": "slwo"}, "is for tag 'slwo'", "did you mean slow?"),
        ({"tags": "zzz"}, "is for tag 'zzz'", "its tags are long-context, slow"),
        ({"tasks": "tickets", "tags": "slow"}, "is for task 'tickets' with the tag 'slow'", "none fits both"),
    ],
)
def test_a_pattern_that_fits_nothing_is_an_error_that_names_the_near_one(of, said, remedy):
    for budgets in (([limit(**of)], []), ([], [Margin("chain_time", 0.05, of=Selection(**of))])):
        with pytest.raises(UsageError) as caught:
            applying(*budgets, run(), "profiler.toml")
        assert said in caught.value.message
        assert caught.value.message.startswith("profiler.toml: chain_time")
        assert remedy in caught.value.remedy


def test_without_any_tag_it_says_where_tags_come_from():
    bare = recorded(tables({"parts": [asked()], "task_id": "t"}))
    with pytest.raises(UsageError) as caught:
        applying([limit(tags="slow")], [], bare, "profiler.toml")
    assert "tasks files give them" in caught.value.remedy


def test_a_run_that_ended_early_may_lack_the_tasks_of_a_limit():
    part = run(status="interrupted")
    found = applying([limit(tasks="later")], [], part, "profiler.toml")
    assert len(found.limits) == 1
    judged = judge_limit(found.limits[0], part, amount)
    assert (judged.verdict, judged.reason) == (Verdict.CANNOT_TELL, "none of the tasks that it is for was run")


def test_a_run_of_some_tasks_that_were_picked_may_lack_those_of_a_limit_or_a_margin():
    part = run(flags={"task_ids": ["car-oslo"]})
    found = applying([limit(tasks="later")], [Margin("steps", 0.0, of=Selection(tags="later"))], part, "profiler.toml")
    assert len(found.limits) == len(found.margins) == 1
    (judged,) = judge_pairs(found.margins, run(), part, drift=0.0)
    assert (judged.verdict, judged.reason) == (Verdict.CANNOT_TELL, "none of the tasks that it is for was run")


def test_what_is_for_another_agent_does_not_apply_and_is_named():
    budgets = [limit(agents="re*"), limit(agents="plan*", tasks="no-such-task")]
    found = applying(budgets, [], run(), "profiler.toml")
    assert found.limits == (budgets[0],)
    assert found.remarks(run()) == [
        "not for agent react, so not looked at: chain_time.max of no-such-task, agent plan*",
    ]
    assert applying(budgets[:1], [], run(), "profiler.toml").remarks(run()) == []


def test_if_nothing_is_for_the_agent_there_is_nothing_to_check():
    with pytest.raises(UsageError, match="no limit and no margin is for agent react") as caught:
        applying([limit(agents="plan*")], [], run(), "profiler.toml")
    assert "they are for plan*" in caught.value.remedy


def test_a_run_that_does_not_tell_its_agent_is_no_other_agents():
    unknown = recorded(run().tables)
    unknown = type(unknown)(unknown.name, unknown.tables, None)
    assert applying([limit()], [], unknown, "x").limits == (limit(),)
    with pytest.raises(UsageError, match="does not tell its agent"):
        applying([limit(), limit(agents="react")], [], unknown, "profiler.toml")


def test_of_the_margins_that_apply_one_is_primary():
    for_two = [Margin("chain_time", 0.05, primary=True, of=Selection(agents=name)) for name in ("react", "plan")]
    assert applying([], for_two, run(), "x").margins == (for_two[0],)
    alone = Margin("chain_time", 0.05, of=Selection(agents="react"))
    assert applying([], [alone, for_two[1]], run(), "x").margins[0].primary
    overlapping = [*for_two, Margin("steps", 0.0, primary=True, of=Selection(agents="r*"))]
    with pytest.raises(UsageError, match="several margins are primary for agent react: chain_time of agent react, "):
        applying([], overlapping, run(), "x")


def test_no_chain_may_fail_but_those_that_a_limit_or_a_margin_is_about():
    margin = Margin("failed_chains", 0.05, of=Selection(tags="slow"))
    (found,) = judge_failures([margin], run(), amount)
    assert found.name == "failed_chains of other tasks"
    assert judge_failures([Margin("failed_chains", 0.05)], run(), amount) == []
    least = Limit("failed_chains", at_least=0.0)
    assert [each.name for each in judge_failures([least], run(), amount)] == ["failed_chains"]
