import overhead
import pytest

MS = 1_000_000


def turn(*times_ms):
    """Bare, recorded, recorded, bare."""
    chains = [dict.fromkeys(overhead.FIGURES, round(time_ms * MS)) for time_ms in times_ms]
    return overhead.Turn([chains[0], chains[3]], chains[1:3])


def adding(ms):
    return [turn(base, base + ms, base + ms, base) for base in (10, 11, 12)]


def test_a_machine_that_slows_down_steadily_cancels_out():
    assert turn(10, 21 + 3, 32 + 3, 43).added_ns("busy_ns") == 3 * MS


def test_one_disturbed_turn_does_not_move_the_median():
    found = overhead.added([*adding(2), *adding(2), turn(10, 500, 12, 10)], "busy_ns")
    assert found.median_ns == 2 * MS


def test_an_interval_holds_its_median():
    found = overhead.added([turn(10, 10 + ms, 10 + ms, 10) for ms in range(1, 20)], "wall_ns")
    assert found.low_ns < found.median_ns == 10 * MS < found.high_ns


def test_the_ratio_is_to_the_peer_that_adds_least():
    pairs = {
        "profiler": adding(1),
        "opentelemetry-genai": adding(4),
        "openinference-content": adding(10),
        "traceloop-content": adding(2.5),
    }
    ratio = overhead.ratio_to_best(pairs)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.4, 0.4, 0.4))
    assert ratio.best == "traceloop-content"
    assert not ratio.too_much


def test_a_ratio_above_the_limit_is_too_much_only_beyond_chance():
    peers = {name: adding(10) for name in overhead.PEERS}
    noisy = [turn(10, 10 + ms, 10 + ms, 10) for ms in (0, 2, 6, 9, 14)]
    ratio = overhead.ratio_to_best({overhead.OURS: noisy, **peers})
    assert ratio.low < overhead.MOST < ratio.value
    assert not ratio.too_much
    assert overhead.ratio_to_best({overhead.OURS: adding(6), **peers}).too_much


def test_a_peer_that_seems_to_add_nothing_is_no_measure():
    pairs = {name: adding(0) for name in (overhead.OURS, *overhead.PEERS)}
    assert overhead.ratio_to_best(pairs).value == float("inf")


def test_the_table_shows_what_is_added_and_what_is_recorded():
    pairs = {overhead.OURS: adding(1)} | {name: adding(10) for name in overhead.PEERS}
    marks = ("steps", "first_chunk", "chunk_times", "traceparent", "content")
    facts = {name: {"spans": 23, **dict.fromkeys(marks, name == overhead.OURS)} for name in pairs}
    text = overhead.rendered(pairs, facts, words=40)
    assert "| bare, in all processes | 11.00 | 12.00 |  |  |  |" in text
    assert "| this profiler | 12.00 | 13.00 | 1.00 (1.00 to 1.00)" in text
    assert "| this profiler | 23 | yes | yes | yes | yes | yes |" in text
    assert "adds 0.10 (bounds of 95% each: 0.10 and 0.10) of what the best" in text


def test_every_peer_has_a_title():
    assert set(overhead.PEERS) < set(overhead.VARIANTS)
