import accuracy
import pytest
from clients import CLIENTS, Measured

from profiler.engines.sim.traits import trait_names
from profiler.truth import CLIENT_GONE, Truth

MS = 1_000_000


def truth(request_id, *, tokens=3, outcome="ok"):
    """Arrival at 0, the first token after 100 ms, then one every 10."""
    writes = [(100 + 10 * index) * MS for index in range(tokens)]
    return Truth(
        number=1,
        id=request_id,
        span_id=None,
        path="/v1/chat/completions",
        arrival_ns=0,
        outcome=outcome,
        output_tokens=tokens,
        writes_ns=writes,
        written_tokens=list(range(1, tokens + 1)),
    )


def test_errors_are_what_is_said_minus_what_is_true():
    said = [Measured("a", 101 * MS, 10 * MS), Measured("b", 98 * MS, 10.5 * MS)]
    found = accuracy.joined(said, [truth("b"), truth("a")])
    assert (found.requests, found.lost) == (2, 0)
    assert found.ttft.max == 2 * MS
    assert found.ttft.bias == pytest.approx(-0.5 * MS)
    assert found.ttft.mean_truth == 100 * MS
    assert found.tpot.max == pytest.approx(0.5 * MS)


def test_a_request_without_a_figure_is_lost_and_in_no_figure():
    found = accuracy.joined([Measured("a", None, None), Measured("c", MS, MS)], [truth("a"), truth("b")])
    assert (found.requests, found.lost) == (2, 2)
    assert found.ttft is None
    assert found.tpot is None


def test_requests_that_look_whether_the_engine_is_there_are_left_out():
    found = accuracy.joined([Measured("a", 100 * MS, None)], [truth("a"), truth("probe", tokens=1)])
    assert (found.requests, found.lost) == (1, 0)


def test_requests_that_a_client_gave_up_are_left_out():
    found = accuracy.joined([Measured("a", 100 * MS, None)], [truth("a"), truth("late", outcome=CLIENT_GONE)])
    assert (found.requests, found.lost) == (1, 0)


def test_a_client_that_did_not_run_is_named_with_the_reason_and_has_no_figures():
    text = accuracy.rendered(accuracy.Cell(16, 160), {"aiperf": "No matching distribution"})
    assert "aiperf: not run (No matching distribution)." in text
    assert "| aiperf" not in text


def test_missing_figures_are_dashes():
    found = accuracy.joined([Measured("a", 101 * MS, None)], [truth("a")])
    assert accuracy.row("x", found)[3:] == ["1.00", "1.00", "1.00", "+1.00 (+1.0%)", "—", "—", "—", "—"]


def test_the_checked_clients_exist():
    assert set(accuracy.CHECKED) < set(CLIENTS)


def outcome(p99_ms, lost=0):
    found = accuracy.Errors(0.0, p99_ms * MS, 0.0, 0.0, 100.0 * MS)
    return accuracy.Outcome(10, lost, found, None)


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (outcome(1.0), None),
        (outcome(4.0), None),
        (outcome(6.0), "TTFT p99 is 1.20 of the worse loop's"),
        (outcome(1.0, lost=1), "lost requests"),
        ("not started", "no figures"),
    ],
)
def test_the_profiler_is_worse_only_if_it_is_worse_than_every_loop(ours, words):
    why = accuracy.worse({"profiler": ours, "httpx2 loop": outcome(5.0), "httpx loop": outcome(3.0)})
    assert why is None if words is None else words in why


def test_the_check_fails_after_five_bad_rounds_and_passes_with_the_first_good_one(monkeypatch):
    rounds = []

    def ran(good_from):
        def run(_cell, clients, _cores):
            rounds.append(clients)
            ours = outcome(1.0 if len(rounds) >= good_from else 9.0)
            return {"profiler": ours, "httpx2 loop": outcome(5.0), "httpx loop": outcome(5.0)}

        return run

    monkeypatch.setattr(accuracy, "_ran", ran(3))
    assert (accuracy._check((None, None)), len(rounds)) == (0, 3)
    rounds.clear()
    monkeypatch.setattr(accuracy, "_ran", ran(99))
    assert (accuracy._check((None, None)), len(rounds)) == (1, 5)


def test_all_traits_are_in_one_table_with_a_row_for_each_client():
    cell = accuracy.Cell(16, 160, "crlf")
    found = accuracy.joined([Measured("a", 101 * MS, 10 * MS)], [truth("a")])
    text = accuracy.rendered_traits([(cell, {"profiler": found, "httpx loop": "no such module"})])
    assert "| `crlf` | profiler | 1 | 0 |" in text
    assert "httpx loop under `crlf`: not run (no such module)." in text


def test_every_trait_of_the_engine_is_measured():
    assert {trait.partition("=")[0] for trait in accuracy.TRAITS} == {
        name.partition("=")[0].strip("[]") for name in trait_names()
    }
