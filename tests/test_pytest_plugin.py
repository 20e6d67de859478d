"""The pytest plugin, as a project that uses it sees it."""

import textwrap
from importlib.metadata import entry_points

import pytest

from profiler.pytest_plugin import _file_name
from profiler.testing import ProfiledRun

AGENT = """
import os, httpx2
def answer(task):
    if task == "fail":
        raise RuntimeError("no answer to that")
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}], "stream": True}
    with httpx2.Client(timeout=300) as client:
        for _ in range(2):
            client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
    return "done"
"""
PLUGIN = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly")


def _unless_installed():
    """The plugin comes with the installed profiler; an installation from before it existed has to be told."""
    installed = any(each.name == "profiler" for each in entry_points(group="pytest11"))
    return () if installed else ("-p", "profiler.pytest_plugin")


@pytest.fixture
def project(pytester):
    """A project with an agent; a function that runs one test file in it."""
    pytester.makepyfile(agent=AGENT)

    def run(code, *arguments):
        pytester.makepyfile(test_latency=textwrap.dedent(code))
        return pytester.runpytest_subprocess(*PLUGIN, *_unless_installed(), *arguments)

    return run


def test_limits_pass_and_fail_with_what_a_reader_needs(project):
    result = project("""
        import pytest
        def failure(check, *arguments, **named):
            with pytest.raises(AssertionError) as caught:
                check(*arguments, **named)
            return str(caught.value)
        def test_it(profile):
            run = profile("agent.py", inputs=["one", "two"], repeat=2, options=["--backend", "sim"])
            assert len(run.chains) == 4 and len(run.calls) == 8
            run.assert_no_failed_chains()
            run.assert_p95_chain(max_s=60)
            run.assert_p50_chain(max_s=60)
            run.assert_ttft(max_s=60)
            run.assert_max_calls(2)
            run.assert_cache_hits(0.0)
            told = failure(run.assert_p95_chain, 1e-6)
            assert "p95 of chains is" in told and "1e-06 s are allowed (4 seen)" in told
            assert "trace " in told and "input-" in told and f"profiler report {run.path}" in told
            assert "first token" in failure(run.assert_ttft, 1e-9)
            assert "4 of 4 chains make more than 1 LLM calls" in failure(run.assert_max_calls, 1)
            told = failure(run.assert_cache_hits, 1.01)
            assert "of prompt tokens came from the prefix cache" in told
            assert "prompt tokens were not in the cache (trace " in told
            for wrong in (True, float("nan"), float("inf"), -1):
                for check in (run.assert_p95_chain, run.assert_ttft, run.assert_max_calls, run.assert_cache_hits):
                    with pytest.raises(ValueError, match="is no limit"):
                        check(wrong)
    """)
    result.assert_outcomes(passed=1)


def test_failed_chains_are_told_and_a_run_that_cannot_be_made_says_why(project):
    result = project("""
        import pytest
        def test_failed(profile):
            run = profile("agent.py", inputs=["one", "fail"], options=["--backend", "sim"], warmup=0)
            with pytest.raises(AssertionError, match=r"1 of 2 chains failed \\(RuntimeError\\)"):
                run.assert_no_failed_chains()
            with pytest.raises(AssertionError, match="the first chain that failed, .*: RuntimeError at agent.py"):
                run.assert_no_failed_chains()
            run.assert_p95_chain(max_s=60)
        def test_all_failed(profile):
            run = profile("agent.py", inputs=["fail"], options=["--backend", "sim"], warmup=0)
            good = profile("agent.py", inputs=["one"], options=["--backend", "sim"], warmup=0)
            with pytest.raises(AssertionError, match="none of 1 chains ended well"):
                run.assert_not_slower(good.path, allow=["tasks"])
        def test_no_agent(profile):
            with pytest.raises(AssertionError, match="ended with exit code 2"):
                profile("nowhere.py", inputs=["one"])
    """)
    result.assert_outcomes(passed=3)


def test_a_baseline_is_kept_and_compared_with(project, pytester):
    code = """
        def test_it(profile):
            run = profile("agent.py", inputs=["one", "two", "three"], repeat=3)
            run.assert_not_slower(margin=0.5)
    """
    for _ in range(2):  # again: it replaces its own earlier run
        first = project(code, "--profiler-backend", "sim", "--profiler-out", "kept", "-rs")
        first.assert_outcomes(skipped=1)
    first.stdout.fnmatch_lines(["*no baseline to compare with*"])
    assert list(pytester.path.glob("kept/*/run/spans.jsonl"))
    second = project(code, "--profiler-backend", "sim", "--profiler-baseline", "kept", "-rs")
    outcomes = second.parseoutcomes()
    # Two runs of one agent: what noise does to nine chains is not for a test, but it is compared.
    assert outcomes.get("passed", 0) + outcomes.get("skipped", 0) + outcomes.get("failed", 0) == 1
    assert "no baseline" not in second.stdout.str()
    other = code.replace('"three"]', '"four"]')
    third = project(other, "--profiler-backend", "sim", "--profiler-baseline", "kept")
    third.assert_outcomes(failed=1)
    third.stdout.fnmatch_lines(["*the run cannot be compared with kept*what is asked in input-3*allow=*tasks*"])
    fourth = project(code, "--profiler-out", "kept", "--profiler-baseline", "kept/../kept")
    assert fourth.ret == pytest.ExitCode.USAGE_ERROR


def test_folders_of_tests_that_read_alike_are_two():
    assert _file_name("test_a.py::test[a/b]") != _file_name("test_a.py::test[a:b]")
    assert _file_name("test_a.py::test[a]").startswith("test_a.py--test-a-")


def test_words_of_tasks_and_errors_obey_no_terminal(tmp_path):
    row = {"task_id": "t\x1b[31m", "error_type": "E\x1b]0;", "failed": True, "e2e_ns": 1, "trace_id": "1"}
    assert "\x1b" not in ProfiledRun(tmp_path)._named(row, "e2e_ns")
