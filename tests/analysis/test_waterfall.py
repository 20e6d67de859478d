"""The mean call, piece by piece."""

from __future__ import annotations

import pytest
from made import MS, call, failed_call, tables

from profiler.analysis.measured import Measured
from profiler.analysis.waterfall import waterfall_of


def pieces(*chains):
    found = waterfall_of(Measured.of(tables(*chains)))
    assert sum(piece.mean_ns for piece in found.pieces) == pytest.approx(found.mean_ns)
    assert sum(piece.share for piece in found.pieces) == pytest.approx(1)
    return found, {piece.name: piece.mean_ns / MS for piece in found.pieces}


def test_a_call_falls_into_what_its_client_and_its_engine_tell():
    one = call(
        client=9,
        queue=4,
        prefill=20,
        decode=60,
        delivery=7,
        pool_wait_ns=2 * MS,
        connect_ns=3 * MS,
        first_late_ns=5 * MS,
    )
    _, found = pieces([one])
    assert found == {
        "connection pool": 2, "connect": 3, "client": 4, "queue": 4, "prefill": 20, "first token on its way": 5,
        "decode": 60, "delivery": 2,
    }  # fmt: skip


def test_a_call_without_engine_timing_is_unaccounted_and_said_to_be():
    waterfall, found = pieces([call(client=9, unaccounted=90, timed=False), call(prefill=10, decode=50)])
    assert (found["unaccounted"], found["decode"]) == (45, 25)
    assert "1 of 2 calls have no engine timing: nothing tells what the engine did" in waterfall.notes


def test_failed_attempts_are_no_part_of_it():
    waterfall, _ = pieces([failed_call(500), call(prefill=10, decode=50)])
    assert (waterfall.calls, waterfall.mean_ns) == (1, 60 * MS)


def test_what_is_known_about_late_first_tokens_bursts_and_the_loop_is_told():
    late = call(
        prefill=10, decode=60, delivery=130, output_tokens=10, distinct_arrivals=1, ttft_ns=200 * MS,
        last_chunk_ns=200 * MS, first_late_ns=190 * MS, lag_max_ns=30 * MS,
    )  # fmt: skip
    notes = waterfall_of(Measured.of(tables([late]))).notes
    assert [note.split(" the ")[0].split(" all ")[0] for note in notes[:3]] == ["in 1 of 1 calls"] * 3


def test_no_call_has_no_waterfall():
    assert waterfall_of(Measured.of(tables())) is None
