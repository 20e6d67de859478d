import capacity
import pytest
from capacity import Ran, Rung

from profiler.truth import CLIENT_GONE, Truth

MS = 1_000_000


def rung(streams=16, **changed):
    found = {
        "streams": streams,
        "failed": 0,
        "tokens_per_s": streams * 93.0,
        "ttft_p50_ns": 0.05 * MS,
        "ttft_p99_ns": 0.2 * MS,
        "tpot_p99_ns": 0.001 * MS,
        "cpu_share": 0.5,
        "cpu_ns_per_token": 40_000.0,
        "stretch": 1.01,
        "engine_stretch": 1.0,
        "engine_late_ns": 0.1 * MS,
        "others_share": 0.02,
    }
    return Rung(**{**found, **changed})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ttft_p99_ns": 1.1 * MS}, "TTFT error p99 1.10 ms"),
        ({"stretch": 1.06}, "the client's core is full: chains take 1.06 of the engine's time"),
        ({"engine_stretch": 1.06, "ttft_p99_ns": 9 * MS}, "the engine cannot keep up"),
        ({"failed": 2}, "2 chains failed"),
    ],
)
def test_a_rung_that_is_too_much_says_why(changed, words):
    assert words in rung(**changed).too_much()


def test_a_rung_at_the_limits_is_not_too_much():
    at = rung(ttft_p99_ns=capacity.TTFT_LIMIT_NS, stretch=capacity.STRETCH_LIMIT)
    assert at.too_much() is None


def test_the_last_rung_that_is_not_too_much_is_sustained():
    said = capacity.sustained([rung(16), rung(32), rung(64, ttft_p99_ns=2 * MS)])
    assert said == "One core sustains 32 streams, 2,976 tokens/s. At 64: TTFT error p99 2.00 ms."


def test_the_result_says_how_often_it_was_seen():
    said = capacity.sustained([rung(16, all_p99_ns=(1.0,) * 5, fine=4)])
    assert "1,488 tokens/s (4 of 5 tries were fine)." in said


def test_a_ladder_without_an_end_says_so():
    assert capacity.sustained([rung(16)]).endswith("No higher rung was tried.")


def test_nothing_is_sustained_if_the_lowest_rung_is_too_much():
    assert capacity.sustained([rung(16, failed=1)]) == "Even the lowest rung is too much. At 16: 1 chains failed."


def climbed(monkeypatch, at_32):
    """Streams and failures of a ladder on which the tries of 32 streams come out as told, the last again and again."""
    outcomes = list(at_32)

    def measured(streams, _cores):
        return rung(streams) if streams != 32 else rung(32, **(outcomes.pop(0) if outcomes[1:] else outcomes[0]))

    monkeypatch.setattr(capacity, "rung", measured)
    monkeypatch.setattr(capacity, "LADDER", (16, 32, 64))
    monkeypatch.setattr(capacity, "PAUSE_S", 0)
    return [(each.streams, each.failed, each.disturbed) for each in capacity.climb((0, 1))]


FINE, FAILED, DISTURBED = {}, {"failed": 1}, {"failed": 1, "others_share": 0.5}
TO_THE_TOP = [(16, 0, False), (32, 0, False), (64, 0, False)]


@pytest.mark.parametrize("tries", [[FINE], [FAILED, FINE, FAILED, FINE], [DISTURBED] * 5 + [FINE]])
def test_a_rung_is_fine_if_most_of_its_undisturbed_tries_are(monkeypatch, tries):
    assert climbed(monkeypatch, tries) == TO_THE_TOP


@pytest.mark.parametrize("tries", [[FINE, FAILED], [FINE, FINE, FAILED], [DISTURBED, FINE, FINE, FAILED]])
def test_a_lucky_try_does_not_save_a_rung(monkeypatch, tries):
    assert climbed(monkeypatch, tries) == [(16, 0, False), (32, 1, False)]


def test_a_rung_tells_all_its_tries(monkeypatch):
    sizes = iter([0.3, 5, 0.1, 4, 9, 0.2])
    others = iter([0, 0, 0, 0.5, 0, 0])
    monkeypatch.setattr(
        capacity, "rung", lambda n, _cores: rung(n, ttft_p99_ns=next(sizes) * MS, others_share=next(others))
    )
    monkeypatch.setattr(capacity, "PAUSE_S", 0)
    found = capacity.steady(32, (0, 1))
    assert (found.ttft_p99_ns, found.fine, found.dropped) == (pytest.approx(0.3 * MS), 3, 1)
    assert found.all_p99_ns == pytest.approx([0.1 * MS, 0.2 * MS, 0.3 * MS, 5 * MS, 9 * MS])


def test_a_machine_that_is_never_quiet_ends_the_ladder_and_is_named(monkeypatch):
    assert climbed(monkeypatch, [DISTURBED]) == [(16, 0, False), (32, 1, True)]
    assert "disturbed" in capacity.sustained([rung(16), rung(32, **DISTURBED)])


def truth(arrival_ms, last_write_ms, last_token_ms, outcome="ok"):
    return Truth(
        number=1,
        id="a",
        span_id=None,
        path="/v1/chat/completions",
        arrival_ns=arrival_ms * MS,
        outcome=outcome,
        last_token_ns=last_token_ms * MS,
        writes_ns=[last_write_ms * MS],
    )


def test_the_engines_time_is_from_arrival_to_its_last_write_beside_what_it_planned():
    truths = [truth(0, 110, 100), truth(50, 162, 150), truth(0, 900, 900, CLIENT_GONE)]
    assert capacity.engine_times_ns(truths) == (111 * MS, 100 * MS)


def test_a_ratio_is_the_median_over_turns():
    found = capacity.ratios({"bare": [10.0, 20.0, 10.0], "recorded": [13.0, 26.0, 90.0]})
    assert found == {"bare": 1.0, "recorded": pytest.approx(1.3)}


def test_memory_that_was_taken_before_the_first_mark_is_no_growth():
    assert capacity.growth([50_000_000, 50_000_000, 50_980_000], (20, 500, 1_000)) == 1_000


@pytest.mark.parametrize("marks", [capacity.MARKS, capacity.CHECK_MARKS])
def test_repeated_tasks_come_out_even(marks):
    assert marks[-1] % capacity.REPEATED_TASKS == 0


def test_the_tables_show_figures_in_their_units():
    told = capacity.ladder_table([rung(all_p99_ns=(0.2 * MS, 3 * MS), fine=1, dropped=4)])
    assert "| 16 | 1,488 | 0.050 | 0.200 | 0.20 to 3.00 | 0.0010 | 50% | 40.0 | 1.010 | 0.10 | 2% | 1 / 2 | 4 |" in told
    assert len({line.count("|") for line in told.splitlines()}) == 1
    table = capacity.processor_table({"bare": [20_000.0, 22_000.0], "recorded": [30_000.0, 33_000.0]})
    assert "| httpx2, bytes read and dropped, recorded | 31.5 | 30.0 to 33.0 | 1.50 |" in table
    ran = Ran(1, 1, 0, 0, [50 * 2**20, 51 * 2**20, 51 * 2**20, 52 * 2**20])
    assert "| a | 50.0 | 51.0 | 51.0 | 52.0 | 214 |" in capacity.memory_table({"a": ran})


def test_a_check_takes_the_turn_that_speaks_most_for_recording():
    assert capacity.ratio_bounds({"bare": [10.0, 20.0], "recorded": [14.0, 40.0]}) == (1.4, 2.0)
