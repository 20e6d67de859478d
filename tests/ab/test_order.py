"""Who goes first."""

from collections import Counter

from profiler.ab.order import Order

TASKS = [f"task-{number}" for number in range(40)]


def test_a_round_and_the_next_are_mirror_images():
    order = Order(TASKS, 1)
    for first in (1, 3, 5):
        for task in TASKS:
            assert order.of(first, task) == order.of(first + 1, task)[::-1]


def test_both_orders_occur_within_a_round_and_differ_from_pair_to_pair():
    order = Order(TASKS, 1)
    firsts = [[order.of(number, task)[0] for task in TASKS] for number in (1, 3)]
    assert 10 < sum(firsts[0]) < 30
    assert firsts[0] != firsts[1]


def test_over_an_even_number_of_rounds_each_side_goes_first_as_often():
    order = Order(TASKS, 7)
    firsts = Counter(order.of(number, task)[0] for number in range(1, 9) for task in TASKS)
    assert firsts[0] == firsts[1]


def test_the_seed_decides():
    asked = [(number, task) for number in (1, 2, 3) for task in TASKS]
    orders = [[Order(TASKS, seed).of(*each) for each in asked] for seed in (3, 3, 4)]
    assert orders[0] == orders[1] != orders[2]
