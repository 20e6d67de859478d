import accuracy
import pytest
from clients import CLIENTS, Measured

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
