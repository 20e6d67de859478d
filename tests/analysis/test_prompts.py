"""Where a prompt stops being the continuation of the previous one, from digests alone."""

from build import call, root, trace

from profiler import semconv as sc
from profiler.analysis.tables import columns_of

KNOWN = ("messages", "kept_messages", "previous_messages", "tools_changed", "broken_at_chars")


def prompt(digests, *, place="model", tools=7, chars=None):
    attributes = {sc.MESSAGE_DIGESTS: tuple(digests), sc.CALL_PLACE: place}
    attributes[sc.MESSAGE_CHARS] = tuple(chars or [10 * (at + 1) for at in range(len(digests))])
    return attributes | ({sc.TOOLS_DIGEST: tools} if tools is not None else {})


def kept(*prompts):
    calls = [call(f"c{at}", 10 * at, 10 * at + 10, attributes=attributes) for at, attributes in enumerate(prompts)]
    columns = columns_of([trace(root(0, 100), *calls)]).calls
    return list(zip(*(columns[name] for name in KNOWN), strict=True))


def test_a_prompt_that_grows_at_its_end_keeps_all_of_the_previous_one():
    assert kept(prompt([1, 2]), prompt([1, 2, 3, 4])) == [
        (2, None, None, None, None),
        (4, 2, 2, False, None),
    ]


def test_a_message_that_changed_breaks_the_prefix_where_it_begins():
    assert kept(prompt([1, 2, 3]), prompt([1, 9, 3, 4]))[1] == (4, 1, 3, False, 10)


def test_a_prompt_that_was_cut_at_its_end_is_broken_there():
    assert kept(prompt([1, 2, 3]), prompt([1, 2]))[1] == (2, 2, 3, False, 30)


def test_a_prompt_that_begins_otherwise_is_broken_at_its_beginning():
    assert kept(prompt([1, 2]), prompt([5, 2]))[1] == (2, 0, 2, False, 0)


def test_other_tools_are_a_change_and_so_are_none():
    assert [row[3] for row in kept(prompt([1]), prompt([1], tools=8), prompt([1], tools=None))] == [None, True, True]
    assert [row[3] for row in kept(prompt([1], tools=None), prompt([1], tools=None))] == [None, False]


def test_prompts_of_different_places_are_not_compared():
    rows = kept(prompt([1], place="a"), prompt([2], place="b"), prompt([1, 3], place="a"))
    assert [row[2] for row in rows] == [None, None, 1]


def test_a_call_that_does_not_say_what_it_sent_is_passed_over():
    rows = kept(prompt([1]), {sc.CALL_PLACE: "model"}, prompt([1, 2]))
    assert rows[1] == (None, None, None, None, None)
    assert rows[2] == (2, 1, 1, False, None)


def test_without_sizes_of_all_messages_the_place_of_the_break_is_unknown():
    assert kept(prompt([1, 2]), prompt([3, 2], chars=[10]))[1] == (2, 0, 2, False, None)
