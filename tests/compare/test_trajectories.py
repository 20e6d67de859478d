"""Chains laid side by side: the same steps face each other, and what only one has is named."""

from hypothesis import given
from hypothesis import strategies as st

from profiler.compare.trajectories import Change, Slot, Stage, changes, slots, usual

MODEL = Stage("model", "call", 1)


def used(*names):
    return Stage("tools", "tool", 0, names)


SEARCH, SQL = used("search"), used("sql")
WAYS = st.lists(st.sampled_from([MODEL, SEARCH, SQL, Stage("model", "call", 2)]), max_size=8).map(tuple)


def test_the_same_way_faces_itself():
    way = (MODEL, SEARCH, MODEL)
    assert slots(way, way) == [Slot(1), Slot(2), Slot(3)]
    assert list(changes("t", way, way)) == []


def test_a_round_more_stands_after_what_it_follows():
    base, candidate = (MODEL, SEARCH, MODEL), (MODEL, SEARCH, MODEL, SQL, MODEL)
    assert slots(base, candidate) == [Slot(1), Slot(2), Slot(3), Slot(3, added=True), Slot(3, added=True)]
    assert [(each.what, each.position, each.step) for each in changes("t", base, candidate)] == [
        ("more", 4, "tools (sql)"),
        ("more", 5, "model"),
    ]


def test_a_step_left_out_in_the_middle_leaves_what_follows_in_its_place():
    base, candidate = (MODEL, SEARCH, SQL, MODEL), (MODEL, SQL, MODEL)
    assert slots(base, candidate) == [Slot(1), Slot(3), Slot(4)]
    assert list(changes("t", base, candidate)) == [Change("t", "gone", 2, "tools (search)")]


def test_other_tools_are_the_same_step():
    base, candidate = (MODEL, SEARCH, MODEL), (MODEL, SQL, MODEL)
    assert slots(base, candidate) == [Slot(1), Slot(2), Slot(3)]
    assert list(changes("t", base, candidate)) == [Change("t", "other", 2, "tools", "sql instead of search")]


def test_another_call_within_a_step_is_a_change():
    base, candidate = (MODEL, SEARCH), (Stage("model", "call", 2), SEARCH)
    assert list(changes("t", base, candidate)) == [Change("t", "other", 1, "model", "1 -> 2 calls")]


def test_the_usual_way_is_that_of_most_chains_and_of_several_the_first():
    assert usual([(MODEL,), (SQL,), (SQL,)]) == (SQL,)
    assert usual([(MODEL,), (SQL,)]) == (MODEL,)


@given(WAYS, WAYS)
def test_slots_keep_the_order_and_no_step_of_the_base_is_taken_twice(base, candidate):
    found = slots(base, candidate)
    assert len(found) == len(candidate)
    assert [(each.position, each.added) for each in found] == sorted((each.position, each.added) for each in found)
    taken = [each.position for each in found if not each.added]
    assert len(set(taken)) == len(taken)
    assert all(1 <= position <= len(base) for position in taken)
    for stage, slot in zip(candidate, found, strict=True):
        if not slot.added:
            assert (stage.label, stage.kind) == (base[slot.position - 1].label, base[slot.position - 1].kind)


@given(WAYS, WAYS)
def test_changes_account_for_the_number_of_steps(base, candidate):
    found = [each.what for each in changes("t", base, candidate)]
    assert found.count("more") - found.count("gone") == len(candidate) - len(base)
    assert (not found) == (base == candidate)
