"""`assert_not_slower` of the pytest plugin, on runs as they lie on disk: what is no pass although it is no slower."""

import shutil

import pytest
from test_check_command import traces, write_run

from profiler import semconv as sc
from profiler.testing import ProfiledRun


@pytest.fixture
def base(tmp_path):
    return write_run(tmp_path / "base", traces("a"))


def as_fast(folder, *, script=None, unused=0):
    found = traces("b", start=100_000)
    for chain in found if unused else ():
        chain.root.attributes[sc.UNUSED_SCRIPT_CALLS] = unused
    return write_run(folder, found, script=script)


def test_chains_that_are_as_fast_pass_beside_a_run_and_a_kept_baseline(bench, base):
    same = ProfiledRun(as_fast(bench.folder / "same"))
    same.assert_not_slower(base)
    assert bench.run("baseline", "set", "main", base).code == 0
    shutil.rmtree(base)
    same.assert_not_slower(bench.folder / "traces/baselines/main")


def test_a_task_all_of_whose_chains_fail_is_no_pass(base, tmp_path):
    chains = [*traces("b", names=("t1", "t2"), start=100_000), *traces("c", names=("t3",), start=200_000, failed=True)]
    run = ProfiledRun(write_run(tmp_path / "failing", chains))
    with pytest.raises(AssertionError, match=r"no chain ended well, as they do in .*base, of 1 task: t3"):
        run.assert_not_slower(base)


def test_a_pinned_run_that_leaves_calls_out_is_no_pass(tmp_path):
    script = {"sha256": "1"}
    base = write_run(tmp_path / "base", traces("a"), script=script)
    run = ProfiledRun(as_fast(tmp_path / "short", script=script, unused=1))
    with pytest.raises(AssertionError, match="the candidate leaves calls of the script out"):
        run.assert_not_slower(base)


def test_a_baseline_that_a_test_names_must_be_there(base):
    with pytest.raises(AssertionError, match=r"no baseline to compare with: .*nowhere is none"):
        ProfiledRun(base).assert_not_slower("nowhere")


def test_a_slowdown_that_drift_may_explain_is_skipped_and_a_larger_one_fails(base, tmp_path):
    slower = ProfiledRun(write_run(tmp_path / "slower", traces("b", longer=30, start=100_000)))
    with pytest.raises(pytest.skip.Exception, match="a drift of 5% in either run cannot be excluded"):
        slower.assert_not_slower(base)
    with pytest.raises(AssertionError, match="chains are slower than in"):
        slower.assert_not_slower(base, drift=0)
    with pytest.raises(AssertionError, match="chains are slower than in"):
        ProfiledRun(write_run(tmp_path / "much", traces("c", longer=100, start=200_000))).assert_not_slower(base)
