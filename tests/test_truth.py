"""The ground truth's file format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.engines.sim.truthlog import TruthLog
from profiler.truth import Truth, read_truth, span_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def truth(number=1, **fields):
    return Truth(number=number, id="a", span_id=None, path="/", arrival_ns=5, **fields)


def logged(path, *truths):
    log = TruthLog(path)
    for each in truths:
        log.write(each)
    log.close()


@given(
    st.lists(
        st.builds(
            truth,
            number=st.integers(1, 2**53),
            writes_ns=st.lists(st.integers(0, 2**62), max_size=5),
            first_token_ns=st.none() | st.integers(0, 2**62),
            outcome=st.text(),
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read_again(tmp_path_factory, truths):
    path = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    logged(path, *truths)
    assert read_truth(path) == truths


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path):
    log = TruthLog(tmp_path / "truth.jsonl")
    for number in (1, 2):
        log.write(truth(number))
        assert len(read_truth(tmp_path / "truth.jsonl")) == number
    log.close()


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "truth.jsonl"
    logged(path, truth(1), truth(2))
    path.write_bytes(path.read_bytes()[:-20])
    assert [each.number for each in read_truth(path)] == [1]


def test_what_was_there_before_stays(tmp_path):
    path = tmp_path / "truth.jsonl"
    logged(path, truth(1))
    logged(path, truth(2))
    assert [each.number for each in read_truth(path)] == [1, 2]


def test_without_a_path_nothing_is_written():
    logged(None, truth())


def test_all_is_said_when_the_last_token_is_written():
    assert not truth().said_all
    assert not truth(output_tokens=2, written_tokens=[0, 1]).said_all
    assert not truth(written_tokens=[2]).said_all
    assert truth(output_tokens=2, written_tokens=[0, 1, 2]).said_all


def test_the_span_is_that_of_the_caller():
    assert span_id_of(f"00-{TRACE}-{SPAN}-01") == SPAN
    assert span_id_of(f"cc-{TRACE}-{SPAN}-01-what-the-future-has") == SPAN


@pytest.mark.parametrize(
    "header",
    [None, "", "nonsense", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{'0' * 16}-01", f"00-{'0' * 32}-{SPAN}-01",
     f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-" + "\udcff" * 16 + "-01",
     f"00-{TRACE}-{SPAN}-01x", f"00-{TRACE}-{SPAN}a-01"],
)  # fmt: skip
def test_what_is_no_traceparent_names_no_span(header):
    assert span_id_of(header) is None
