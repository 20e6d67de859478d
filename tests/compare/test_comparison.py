"""How much slower, and where that comes from: on tables whose figures can be worked out on paper."""

import math

import pytest
from compare_inputs import MS, call, compared, failed_call, gap, tables, tasks, tools
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.compare.figures import Identity
from profiler.compare.rows import OUTSIDE
from profiler.stats.paired import paired_ratio


def asked(prefill=100.0, decode=200.0, **columns):
    told = {"input_tokens": 1000, "cached_tokens": 900, "output_tokens": 21}
    return call(prefill=prefill, decode=decode, **{**told, **columns})


def round_trip(prefill=100.0, decode=200.0, tool=50.0, **columns):
    return [asked(), gap(10), tools(search=tool), asked(prefill, decode, **columns)]


def test_runs_that_took_the_same_time_differ_in_nothing():
    made = tasks(round_trip(), round_trip(), repeat=2)
    found = compared(made, made)
    assert found.chain_time.ratio == 1
    assert (found.blame, found.changes, found.off_script, found.varying) == ((), (), (), 0)
    assert all(figure.shift.difference == 0 for figure in (*found.figures, *found.phases))


def test_chain_time_is_the_geometric_mean_over_tasks():
    base = tasks([call(decode=100)], [call(decode=400)])
    candidate = tasks([call(decode=200)], [call(decode=400)])
    found = compared(base, candidate)
    assert found.chain_time.ratio == pytest.approx(math.sqrt(2))
    time = found.figure("chain time").shift
    assert (time.base, time.candidate, time.difference) == (250 * MS, 300 * MS, 50 * MS)


def test_a_task_of_many_chains_counts_as_much_as_one_of_few():
    base = tables(*[{"parts": [call(decode=100)], "task_id": "often"}] * 9, {"parts": [call(decode=100)]})
    candidate = tables({"parts": [call(decode=100)], "task_id": "often"}, {"parts": [call(decode=200)]})
    assert compared(base, candidate).chain_time.ratio == pytest.approx(math.sqrt(2))


def test_one_step_more_is_told_from_slower_steps():
    base = tasks([asked()], [asked()])
    candidate = tasks([asked(), asked()], [asked(), asked()])
    found = compared(base, candidate)
    assert found.identity.steps.ratio == pytest.approx(2)
    assert found.identity.per_step.ratio == pytest.approx(1)
    assert found.identity.rounded() == (0.6931, 0.6931, 0.0)


@given(st.lists(st.tuples(*[st.floats(1e-3, 1e3)] * 4), min_size=1, max_size=5), st.integers(2, 6))
def test_the_identity_holds_in_the_numbers_that_are_shown(values, digits):
    def ratio(column):
        before, after = ({str(at): [column(row[:2])] for at, row in enumerate(values)}, {})
        after = {str(at): [column(row[2:])] for at, row in enumerate(values)}
        return paired_ratio(before, after)

    found = Identity(ratio(lambda row: row[0] * row[1]), ratio(lambda row: row[0]), ratio(lambda row: row[1]))
    whole, one, other = found.rounded(digits)
    assert round(one + other, digits) == whole
    assert other == pytest.approx(math.log(found.per_step.ratio), abs=1.1 * 10**-digits)


def test_phases_and_rows_sum_to_the_difference():
    base = tasks(round_trip(), [asked(), gap(5)])
    candidate = tasks(round_trip(prefill=280, tool=70), [asked(decode=300), gap(25)])
    found = compared(base, candidate)
    time = found.figure("chain time").shift.difference
    assert sum(each.shift.difference for each in found.phases) == pytest.approx(time)
    assert sum(each.shift.difference for each in found.steps) == pytest.approx(time)
    assert found.steps[-1].row == OUTSIDE
    assert found.steps[-1].shift.difference == pytest.approx(10 * MS)


def test_a_longer_prompt_and_a_lost_cache_are_blamed_for_prefill():
    way = round_trip()
    slower = round_trip(prefill=280, input_tokens=3100, cached_tokens=1240)
    found = compared(tasks(way, way, way), tasks(slower, slower, slower))
    first = found.blame[0]
    assert (first.row.position, first.row.label, first.phase) == (3, "model", "prefill")
    assert first.shift.difference == pytest.approx(180 * MS)
    assert [(fact.name, fact.base, fact.candidate) for fact in first.facts][:2] == [
        ("prompt", 1000, 3100),
        ("cache hits", 0.9, 0.4),
    ]
    assert first.certain
    assert len(found.blame) == 1


def test_more_tokens_and_slower_tokens_are_told_apart():
    found = compared(
        tasks([call(decode=200, output_tokens=21)], [call(decode=200, output_tokens=21)]),
        tasks([call(decode=600, output_tokens=41)], [call(decode=600, output_tokens=41)]),
    )
    first = found.blame[0]
    # 20 tokens of 10 ms become 40 of 15 ms: 20 more at 12.5 ms, and 30 that take 5 ms longer
    assert (first.work_ns, first.speed_ns) == (pytest.approx(250 * MS), pytest.approx(150 * MS))
    assert [fact.name for fact in first.facts] == ["output", "time per token"]


def test_the_same_tokens_that_take_longer_are_speed_alone():
    found = compared(tasks(*[[asked()]] * 3), tasks(*[[asked(decode=260)]] * 3))
    (first,) = found.blame
    assert (first.work_ns, first.speed_ns) == (0, pytest.approx(60 * MS))


def test_a_price_that_fell_only_because_more_tokens_share_a_calls_fixed_part_is_not_told():
    def reading(prefill, computed):
        return [asked(prefill=prefill, input_tokens=2000, cached_tokens=2000 - computed)]

    base = tasks(*[reading(50, 100)] * 3)  # 40 ms for the call, 0.1 ms for each token
    (alone,) = compared(base, tasks(*[reading(190, 1500)] * 3)).blame
    assert [(fact.name, fact.base, fact.candidate) for fact in alone.facts] == [
        ("cache hits", 0.95, 0.25),
        ("to compute", 100, 1500),
    ]
    (dearer,) = compared(base, tasks(*[reading(900, 1500)] * 3)).blame
    assert dearer.facts[-1].name == "time per computed token"
    (cheaper,) = compared(base, tasks(*[reading(30, 1500)] * 3)).blame
    assert cheaper.facts[-1].name == "time per computed token"


def test_what_multiplies_the_times_of_unlike_tasks_is_as_certain_as_what_adds_to_them_all():
    lengths = (10, 40, 160, 640, 2560)
    noise = (0.9, -0.8, 0.5, -0.6, 0.2)
    base = tasks(*[[call(decode=each)] for each in lengths])
    longer = tasks(*[[call(decode=each * (1.5 + some / 50))] for each, some in zip(lengths, noise, strict=True)])
    later = tasks(*[[call(decode=each + 50 + some)] for each, some in zip(lengths, noise, strict=True)])
    (multiplied,) = compared(base, longer).blame
    assert multiplied.shift.low < 0 < multiplied.ratio.low - 1
    (added,) = compared(base, later).blame
    assert added.ratio.low < 1
    assert multiplied.certain
    assert added.certain


def test_a_tool_that_runs_more_often_and_longer_is_named():
    base = tasks(*[[asked(), tools(search=50)]] * 2)
    candidate = tasks(*[[asked(), tools(serial=True, search=80, sql=40)]] * 2)
    found = compared(base, candidate)
    first = found.blame[0]
    assert (first.phase, first.shift.difference) == ("tool", pytest.approx(70 * MS))
    assert ("search each", 50 * MS, 80 * MS) in [(fact.name, fact.base, fact.candidate) for fact in first.facts]
    assert ("sql per chain", 0, 1) in [(fact.name, fact.base, fact.candidate) for fact in first.facts]


def test_repeated_attempts_are_named():
    found = compared(tasks(*[[asked()]] * 2), tasks(*[[failed_call(90), asked()]] * 2))
    retry = next(each for each in found.blame if each.phase == "retry")
    assert retry.shift.difference == pytest.approx(90 * MS)


def test_whose_own_time_grew_is_told():
    base = tasks(*[[asked(), gap(10, owner="step model"), gap(5, cause="between steps", owner="root")]] * 2)
    candidate = tasks(*[[asked(), gap(60, owner="step model"), gap(5, cause="between steps", owner="root")]] * 2)
    first, second = compared(base, candidate).owners
    assert (first.name, first.shift.difference) == ("node: step model", pytest.approx(50 * MS))
    assert (second.name, second.shift.difference) == ("between steps: root", 0)


def test_a_step_that_only_some_chains_reach_counts_for_all():
    base = tasks([asked()], [asked(), asked()])
    candidate = tasks([asked()], [asked(), asked(decode=300)])
    (only,) = compared(base, candidate).blame
    assert only.shift.difference == pytest.approx(50 * MS)  # 100 ms in one of two tasks
    assert only.chains == (1, 1)


def test_what_follows_an_added_step_is_compared_with_itself():
    base = tasks(*[[asked(), tools(search=50), asked(decode=300)]] * 2)
    candidate = tasks(*[[asked(), tools(sql=30), asked(), tools(search=50), asked(decode=300)]] * 2)
    found = compared(base, candidate)
    added = [row for row in found.steps if row.row.added]
    assert sum(row.shift.difference for row in added) == pytest.approx(found.figure("chain time").shift.difference)
    assert {change.what for change, _ in found.changes} == {"more"}


def test_a_slower_call_is_certain_and_noise_is_not():
    base = tasks(*[[call(decode=100 + at)] for at in range(20)])
    noise = tasks(*[[call(decode=100 + at + (-1) ** at * 3)] for at in range(20)])
    slower = tasks(*[[call(decode=110 + at)] for at in range(20)])
    assert [each.certain for each in compared(base, slower).blame] == [True]
    assert not any(each.certain for each in compared(base, noise).blame)


def test_of_one_task_nothing_is_certain():
    found = compared(tasks([asked()]), tasks([asked(decode=400)]))
    assert found.chain_time.ratio == pytest.approx(5 / 3)
    assert found.chain_time.low is None
    assert [each.certain for each in found.blame] == [False]


def test_chains_of_one_task_that_vary_are_not_taken_for_a_change():
    base = tables({"parts": [asked()]}, {"parts": [asked(), asked()]})
    found = compared(base, tables({"parts": [asked(), asked(), asked()]}))
    assert (found.changes, found.varying, found.strayed) == ((), 1, ())
    found = compared(tables({"parts": [asked()]}), base)
    assert (found.changes, found.varying, found.strayed) == ((), 1, ("task",))


def test_failed_chains_are_counted_and_in_no_time():
    base = tasks(*[[asked()]] * 3)
    broken = {"parts": [asked(decode=9000)], "task_id": "task-0", "failed": True, "error_type": "TimeoutError"}
    candidate = tables(broken, *[{"parts": [asked()], "task_id": f"task-{number}"} for number in (1, 2)])
    found = compared(base, candidate)
    assert found.chain_time.ratio == 1
    assert found.tasks == 2
    assert found.left_out == (("task-0",), ())
    assert found.failures[1].failed == 1
    assert found.failures[1].kinds == (("TimeoutError", 1),)
    assert found.failures[1].tasks == ("task-0",)


def test_warm_up_is_in_no_figure():
    made = tables({"parts": [asked(decode=9000)], "warmup": True}, {"parts": [asked()]})
    assert compared(made, tables({"parts": [asked()]})).chain_time.ratio == 1


def test_runs_that_share_no_task_have_no_figure():
    found = compared(tables({"parts": [asked()], "task_id": "a"}), tables({"parts": [asked()], "task_id": "b"}))
    assert (found.tasks, found.chain_time, found.identity, found.blame) == (0, None, None, ())
    assert found.left_out == (("a",), ("b",))


def test_a_call_that_the_script_lacks_is_a_changed_trajectory_with_its_step():
    lost = {"parts": [asked(), tools(search=50)], "failed": True, "error_type": "ScriptMismatch", "task_id": "task-1"}
    candidate = tables({"parts": round_trip(), "task_id": "task-0"}, lost)
    (off,) = compared(tasks(round_trip(), round_trip()), candidate).off_script
    assert (off.side, off.task, off.what, off.after, off.step) == (1, "task-1", "lacks", 2, "tools")


def test_a_call_of_the_script_that_is_left_out_is_a_changed_trajectory_with_its_step():
    short = {"parts": [asked(), tools(search=50)], "unused_script_calls": 1, "task_id": "task-0"}
    found = compared(tasks(round_trip()), tables(short))
    (off,) = found.off_script
    assert (off.what, off.calls, off.after) == ("unused", 1, 2)
    assert [(change.what, change.position, change.step) for change, _ in found.changes] == [("gone", 3, "model")]


def test_runs_one_after_the_other_are_told_from_runs_that_took_turns():
    first, later = (tasks(*[[call(decode=1)]] * 4, start=start) for start in (0, 60_000 * MS))
    assert not compared(first, later).order.interleaved
    assert compared(first, later).order.apart_s == pytest.approx(59.996)
    turns = [
        tables(*[{"parts": [call(decode=1)], "start_ns": (2 * at + side) * 2 * MS} for at in range(4)])
        for side in (0, 1)
    ]
    found = compared(*turns).order
    assert (found.interleaved, found.apart_s, found.at_once) == (True, 0, 0)


def test_runs_at_the_same_time_are_told():
    made = tasks(*[[call(decode=50)]] * 4)
    assert compared(made, made).order.at_once == 4


@settings(max_examples=8)
@given(st.data())
def test_whatever_chains_do_the_parts_sum(data):
    part = st.one_of(
        st.builds(asked, st.integers(1, 300), st.integers(1, 300)),
        st.builds(lambda ms: tools(search=ms), st.integers(1, 90)),
        st.builds(lambda ms, other: tools(serial=True, search=ms, sql=other), st.integers(1, 90), st.integers(1, 90)),
        st.builds(gap, st.integers(1, 40)),
        st.builds(failed_call, st.integers(1, 40)),
    )
    ways = st.lists(part, min_size=1, max_size=6)
    sides = []
    for _ in range(2):
        chains = data.draw(st.lists(st.tuples(ways, st.sampled_from("ab")), min_size=1, max_size=5))
        sides.append(tables(*[{"parts": way, "task_id": task} for way, task in chains]))
    compared(*sides)
