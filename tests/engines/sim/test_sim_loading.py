"""The model of a server that loads it when it is needed."""

from profiler.engines.sim.loading import Loading

S = 1_000_000_000


def test_the_first_request_waits_for_the_load_and_those_that_come_meanwhile_for_the_rest_of_it():
    loading = Loading(5 * S)
    assert loading.begin(10 * S) == 15 * S
    assert loading.begin(12 * S) == 15 * S
    assert loading.begin(20 * S) == 20 * S


def test_it_stays_for_five_minutes_after_the_last_has_ended():
    loading = Loading(5 * S)
    loading.begin(0)
    loading.end(10 * S, None)
    assert loading.begin(309 * S) == 309 * S
    loading.end(320 * S, None)
    assert loading.begin(620 * S) == 625 * S


def test_a_request_says_how_long_it_is_to_stay():
    loading = Loading(5 * S)
    loading.begin(0)
    loading.end(10 * S, 0.0)
    assert loading.begin(10 * S) == 15 * S
    loading.end(20 * S, -1.0)
    assert loading.begin(10**15) == 10**15


def test_it_is_not_let_go_while_somebody_uses_it():
    loading = Loading(5 * S)
    loading.begin(0)
    loading.begin(0)
    loading.end(10 * S, 0.0)
    loading.unload()
    assert loading.begin(11 * S) == 11 * S
    loading.end(12 * S, None)
    loading.end(12 * S, None)
    loading.unload()
    assert loading.begin(13 * S) == 18 * S
