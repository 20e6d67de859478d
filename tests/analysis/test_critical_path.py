"""The critical path, case by case as drawings, and against a slow implementation of its definition."""

import sys
from random import Random

import pytest
from build import attempt, root, span, step, tool, trace, trees
from hypothesis import given, settings
from random_traces import random_trace
from slow_critical_path import merged, owners

from profiler.analysis.critical_path import Section, check, critical_path


def path_of(built):
    sections = critical_path(built)
    check(built, sections)
    return [(section.span.span_id, section.start_ns, section.end_ns) for section in sections]


def test_a_chain_without_children_waited_for_itself():
    # root |----------|
    assert path_of(trace(root(0, 10))) == [("root", 0, 10)]


def test_a_chain_that_lasted_no_time_has_no_sections():
    assert path_of(trace(root(5, 5), span("a", 5, 5))) == []


def test_gaps_around_a_child_are_its_parents_own():
    # root |----------|
    # a       |----|
    # path |rt| a  |rt|
    built = trace(root(0, 10), span("a", 3, 8))
    assert path_of(built) == [("root", 0, 3), ("a", 3, 8), ("root", 8, 10)]


def test_children_in_sequence_are_all_on_the_path():
    # root |--------------|
    # a     |--|
    # b          |--|
    # path |r|a |r|b |  r |
    built = trace(root(0, 14), span("a", 1, 4), span("b", 6, 9))
    assert path_of(built) == [("root", 0, 1), ("a", 1, 4), ("root", 4, 6), ("b", 6, 9), ("root", 9, 14)]


def test_touching_siblings_are_both_on_the_path():
    # root |----------|
    # a    |----|
    # b         |-----|
    built = trace(root(0, 10), span("a", 0, 4), span("b", 4, 10))
    assert path_of(built) == [("a", 0, 4), ("b", 4, 10)]


def test_of_parallel_siblings_only_the_last_to_finish_is_on_the_path():
    # root |----------|
    # a     |----|
    # b     |-------|
    # c     |--|
    # path |r|  b    |r|
    built = trace(root(0, 10), span("a", 1, 6), span("b", 1, 9), span("c", 1, 4))
    assert path_of(built) == [("root", 0, 1), ("b", 1, 9), ("root", 9, 10)]


def test_a_sibling_that_the_last_one_did_not_wait_for_is_not_on_the_path():
    # root |----------------|
    # a     |----|
    # b        |-------|
    # path |root| b    |root|
    built = trace(root(0, 16), span("a", 1, 6), span("b", 4, 12))
    assert path_of(built) == [("root", 0, 4), ("b", 4, 12), ("root", 12, 16)]


def test_an_overlapping_sibling_hands_over_to_one_that_ended_before_the_last_began():
    # root |------------------|
    # a    |---|
    # b      |-----|
    # c             |----|
    # path |r |  b  |r| c |root
    built = trace(root(0, 18), span("a", 0, 4), span("b", 2, 8), span("c", 9, 14))
    assert path_of(built) == [("root", 0, 2), ("b", 2, 8), ("root", 8, 9), ("c", 9, 14), ("root", 14, 18)]


def test_of_siblings_that_end_together_the_longest_is_taken():
    # root |----------|
    # a      |-----|
    # b    |-------|
    # c         |--|
    built = trace(root(0, 10), span("a", 2, 8), span("b", 0, 8), span("c", 5, 8))
    assert path_of(built) == [("b", 0, 8), ("root", 8, 10)]


def test_a_child_that_outlives_its_parent_counts_as_ending_with_it():
    # root |------|
    # a       |------|
    # path |rt| a |
    built = trace(root(0, 8), span("a", 3, 12))
    assert path_of(built) == [("root", 0, 3), ("a", 3, 8)]


def test_of_two_that_outlive_their_parent_the_longest_is_taken_not_the_last():
    # root |------|
    # a    .  |------|
    # b    . |-----|
    built = trace(root(0, 8), span("a", 3, 12), span("b", 2, 9))
    assert path_of(built) == [("root", 0, 2), ("b", 2, 8)]


def test_a_child_that_starts_before_its_parent_counts_from_its_parents_start():
    # root    |------|
    # a    |-----|
    # path    | a |rt|
    built = trace(root(4, 12), span("a", 0, 8))
    assert path_of(built) == [("a", 4, 8), ("root", 8, 12)]


def test_a_child_that_lasted_no_time_is_not_on_the_path():
    # root |----------|
    # a        |
    # b     |--|
    built = trace(root(0, 10), span("a", 4, 4), span("b", 1, 4))
    assert path_of(built) == [("root", 0, 1), ("b", 1, 4), ("root", 4, 10)]


@pytest.mark.parametrize(("start", "end"), [(0, 2), (0, 4), (12, 14), (14, 20)])
def test_a_child_wholly_outside_its_parent_is_not_on_the_path(start, end):
    # root        |--------|
    # a    |----|             or after it
    assert path_of(trace(root(4, 12), span("a", start, end))) == [("root", 4, 12)]


def test_the_rule_applies_at_every_level():
    # root |--------------------|
    # a      |--------------|
    # b        |----|
    # c                |--|
    # d          |-|
    built = trace(root(0, 20), span("a", 2, 17), span("b", 4, 9, "a"), span("c", 12, 15, "a"), span("d", 6, 8, "b"))
    assert path_of(built) == [
        ("root", 0, 2),
        ("a", 2, 4),
        ("b", 4, 6),
        ("d", 6, 8),
        ("b", 8, 9),
        ("a", 9, 12),
        ("c", 12, 15),
        ("a", 15, 17),
        ("root", 17, 20),
    ]


def test_what_is_below_a_span_off_the_path_is_off_it_too():
    # root |----------|
    # a    |----|
    # x    |--|          below a
    # b      |--------|
    built = trace(root(0, 10), span("a", 0, 5), span("x", 0, 3, "a"), span("b", 2, 10))
    assert path_of(built) == [("root", 0, 2), ("b", 2, 10)]


def test_a_grandchild_counts_only_inside_the_window_that_is_on_the_path():
    # root     |------|
    # a      |----------|
    # x   |----|              ends with the window's start: not on the path
    # y          |---------|  cut at the root's end
    built = trace(root(5, 12), span("a", 3, 14), span("x", 0, 5, "a"), span("y", 7, 17, "a"))
    assert path_of(built) == [("a", 5, 7), ("y", 7, 12)]


def test_a_chain_that_starts_at_zero_has_its_whole_path():
    # root |------|         at time 0
    # a    |---|
    built = trace(root(0, 6), span("a", 0, 3))
    assert path_of(built) == [("a", 0, 3), ("root", 3, 6)]


def test_a_task_that_begins_when_its_parent_has_ended_is_waited_for_by_nobody():
    # root |----------------|
    # a      |-----|
    # late           |----|     started by a, after a had ended
    # path |r|  a  |  root  |
    built = trace(root(0, 16), span("a", 2, 8), span("late", 10, 15, "a"))
    assert path_of(built) == [("root", 0, 2), ("a", 2, 8), ("root", 8, 16)]


def test_what_is_below_a_task_that_nobody_waits_for_is_off_the_path():
    # root |----------------|
    # a      |-----|
    # late      .   |------|     begins after a
    # x         .     |--|      below late
    built = trace(root(0, 16), span("a", 2, 8), span("late", 9, 16, "a"), span("x", 11, 14, "late"))
    assert path_of(built) == [("root", 0, 2), ("a", 2, 8), ("root", 8, 16)]


def test_a_task_that_the_chain_left_running_is_off_the_path_after_its_end():
    # root |--------|
    # a      |--|
    # fire        |---------|     ends long after the chain
    built = trace(root(0, 8), span("a", 2, 4), span("fire", 6, 18))
    assert path_of(built) == [("root", 0, 2), ("a", 2, 4), ("root", 4, 6), ("fire", 6, 8)]


def test_attempts_of_a_call_and_the_waits_between_them_are_all_on_the_path():
    # root |--------------------|
    # 1     |---|x
    # 2             |-----|
    # path |r| 1| r |  2  |  r  |
    built = trace(root(0, 20), attempt("one", 1, 5, number=1, failed=True), attempt("two", 9, 15, number=2))
    assert [name for name, _, _ in path_of(built)] == ["root", "one", "root", "two", "root"]


def test_of_a_parallel_fan_out_the_slowest_branch_is_followed_into_its_own_fan_out():
    # root  |----------------------|
    # left   |--------|
    # right  |------------------|
    # b1       |----|                 below right
    # b2       |-------------|        likewise
    # path  |r|t|     b2     |rt|r |
    built = trace(
        root(0, 22),
        step("left", 1, 10),
        tool("a", 2, 9, "left"),
        step("right", 1, 20),
        tool("b1", 3, 8, "right"),
        tool("b2", 3, 17, "right"),
    )
    assert path_of(built) == [
        ("root", 0, 1),
        ("right", 1, 3),
        ("b2", 3, 17),
        ("right", 17, 20),
        ("root", 20, 22),
    ]


def test_depth_is_not_limited_by_the_interpreters_stack():
    depth = 10_000
    assert depth > sys.getrecursionlimit()
    spans = [root(0, 2 * depth)]
    spans += [span(f"s{n}", n, 2 * depth - n, f"s{n - 1}" if n > 1 else "root") for n in range(1, depth)]
    found = path_of(trace(*spans))
    assert len(found) == 2 * depth - 1
    assert found[0] == ("root", 0, 1)
    assert found[depth - 1] == (f"s{depth - 1}", depth - 1, depth + 1)
    assert found[-1] == ("root", 2 * depth - 1, 2 * depth)


def test_a_wide_trace_keeps_every_sibling_of_a_sequence():
    width = 50_000
    built = trace(root(0, 2 * width), *(span(f"s{n}", 2 * n, 2 * n + 1) for n in range(width)))
    found = path_of(built)
    assert len(found) == 2 * width
    assert found[0] == ("s0", 0, 1)
    assert found[-1] == ("root", 2 * width - 1, 2 * width)


def test_of_many_parallel_siblings_one_is_on_the_path():
    width = 20_000
    built = trace(root(0, width), *(span(f"s{n}", 0, n) for n in range(1, width)))
    assert path_of(built) == [(f"s{width - 1}", 0, width - 1), ("root", width - 1, width)]


# --- against the definition ------------------------------------------------------------------------------


def joined(sections):
    """By the same name and touching, as one: a span may have two sections in a row, around a child of no length."""
    return merged([(start, end, name) for name, start, end in sections])


@settings(max_examples=60, deadline=None)
@given(trees())
def test_every_moment_belongs_to_the_span_that_the_definition_names(built):
    assert joined(path_of(built)) == merged(owners(built.spans))


def test_it_agrees_with_the_definition_on_many_random_traces():
    random = Random(20261125)
    for _ in range(400):
        built = random_trace(random)
        assert joined(path_of(built)) == merged(owners(built.spans)), built.spans


@settings(max_examples=60, deadline=None)
@given(trees())
def test_sections_sum_to_the_root_exactly(built):
    sections = critical_path(built)
    check(built, sections)
    assert sum(section.duration_ns for section in sections) == built.root.duration_ns


@settings(max_examples=30, deadline=None)
@given(trees())
def test_sections_lie_inside_their_spans(built):
    for section in critical_path(built):
        assert section.span.start_ns <= section.start_ns < section.end_ns <= section.span.end_ns


@settings(max_examples=30, deadline=None)
@given(trees())
def test_the_trace_is_not_changed(built):
    before = {name: list(children) for name, children in built.children.items()}
    spans = [one._replace() for one in built.spans]
    critical_path(built)
    assert built.children == before
    assert list(built.spans) == spans


def test_check_refuses_what_does_not_add_up():
    built = trace(root(0, 10), span("a", 3, 8))
    good = critical_path(built)
    broken = {
        "sections must add up to the root": good[:-1],
        "sections must touch": [good[0], good[2]],
        "sections must last": [Section(built.root, 0, 0), *good],
    }
    for message, sections in broken.items():
        with pytest.raises(AssertionError, match=message):
            check(built, sections)
