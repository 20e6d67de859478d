"""A side's process: how it is noticed that it is gone."""

import os
import signal

import pytest

from profiler.ab.side import Place, Side
from profiler.errors import DataError
from profiler.record.pace import Pace

LEAVES_A_CHILD = """#!/bin/sh
sleep 60 &
echo $! > "{pid}"
exit 3
"""


def test_a_side_that_died_is_noticed_while_its_child_holds_the_pipe(tmp_path):
    python, pid = tmp_path / "python", tmp_path / "pid"
    python.write_text(LEAVES_A_CHILD.format(pid=pid), encoding="utf-8")
    python.chmod(0o755)
    try:
        with (
            Side("side B", ["agent.py"], tmp_path / "b", Place(str(python))) as side,
            pytest.raises(DataError, match="side B ended with exit code 3"),
        ):
            side.wait_until_ready(20)
    finally:
        os.kill(int(pid.read_text(encoding="utf-8")), signal.SIGKILL)


def test_the_pipes_are_not_handed_on_to_what_the_agent_starts():
    ends = os.pipe()
    try:
        for each in ends:
            os.set_inheritable(each, True)
        Pace(*ends)
        assert [os.get_inheritable(each) for each in ends] == [False, False]
    finally:
        for each in ends:
            os.close(each)
