"""`profiler compare`: what may be compared and what may not, every format, exit codes."""

import json
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[1] / "report"
if str(REPORT) not in sys.path:
    sys.path.insert(0, str(REPORT))

from otlp_lines import write_run  # noqa: E402
from report_inputs import chain, runs  # noqa: E402

from profiler import semconv as sc  # noqa: E402


def traces(prefix, *, longer=0, start=0, names=("t1", "t2", "t3"), failed=False):
    """A chain for each task: a call in a step, `longer` ms longer."""
    found = []
    for number, task in enumerate(names):
        told = {sc.CALL_ORDINAL: 1, sc.CALL_ATTEMPT: 1, sc.INPUT_TOKENS: 100, sc.OUTPUT_TOKENS: 11}
        spans = [
            runs._step("s1", 10, 400 + longer, "model", 1),
            runs._call("c1", 20, 390 + longer, "s1", told),
        ]
        begin = start + 2000 * number
        attributes = {sc.TASK_ID: task}
        found.append(chain(f"{prefix}{number}", begin, begin + 500 + longer, spans, attributes, failed=failed))
    return found


@pytest.fixture
def base(bench):
    return write_run(bench.folder / "base", traces("a"))


@pytest.fixture
def slower(bench):
    return write_run(bench.folder / "slower", traces("b", longer=100, start=100_000))


def test_a_slower_run_is_shown_and_is_no_error(bench, base, slower):
    result = bench.run("compare", base, slower)
    assert (result.code, result.err) == (0, "")
    assert "Chains take 20% longer: ×1.200" in result.out
    assert "step 1 (model) unaccounted +100 ms" in result.out


@pytest.mark.parametrize(
    ("changes", "said", "kind"),
    [
        ({"host": {"cpu": "another"}}, "host: processor unknown → another", "host"),
        ({"script": {"sha256": "abc"}}, "script: trajectory free → script abc", "script"),
        ({"flags": {"concurrency": 8}}, "flags: --concurrency 1 → 8", "flags"),
        (
            {"engine": {"name": "tgi", "version": "0.25", "device": "cpu", "model": "tiny"}},
            "engine vllm → tgi",
            "engine",
        ),
        ({"profiler": "0.0.9"}, "profiler 0.1.0 → 0.0.9", "profiler"),
    ],
)
def test_runs_that_differ_in_more_are_refused_by_name_unless_that_is_allowed(bench, base, changes, said, kind):
    other = write_run(bench.folder / "other", traces("b"), **changes)
    result = bench.run("compare", base, other)
    assert (result.code, result.out) == (3, "")
    assert said in result.err
    assert f"--allow {kind}" in result.err
    allowed = bench.run("compare", base, other, "--allow", kind)
    assert allowed.code == 0
    assert "not the same in both, and allowed" in allowed.out


def test_other_tasks_are_refused_and_their_intersection_is_compared_if_asked(bench, base):
    other = write_run(bench.folder / "other", traces("b", names=("t2", "t3", "t4")))
    refused = bench.run("compare", base, other)
    assert refused.code == 3
    assert "tasks (2 are in both), besides t1 → t4" in refused.err
    assert "Paired      2 tasks" in bench.run("compare", base, other, "--allow", "host,tasks").out


def test_runs_without_a_common_task_are_refused_even_if_other_tasks_are_allowed(bench, base):
    other = write_run(bench.folder / "other", traces("b", names=("x",)))
    result = bench.run("compare", base, other, "--allow", "tasks")
    assert result.code == 3
    assert "there is no task of which both" in result.err


def test_spans_without_a_manifest_are_refused_unless_allowed(bench, base):
    other = write_run(bench.folder / "other", traces("b"), with_manifest=False)
    result = bench.run("compare", base, other)
    assert result.code == 3
    assert "unknown: engine, machine and script known → no run.json" in result.err
    assert bench.run("compare", base, other, "--allow", "unknown").code == 0


def test_a_run_beside_itself_is_refused(bench, base):
    assert bench.run("compare", base, base).code == 2
    copy = write_run(bench.folder / "copy", traces("a"))
    result = bench.run("compare", base, copy)
    assert result.code == 3
    assert "have 3 chains in common: they are the same run" in result.err


def test_a_run_of_another_format_version_or_none_at_all_is_bad_data(bench, base, slower):
    path = slower / "run.json"
    path.write_text(path.read_text().replace('"version":1', '"version":99'), encoding="utf-8")
    assert bench.run("compare", base, slower).code == 3
    assert bench.run("compare", base, bench.folder / "nowhere").code == 3


def test_a_run_whose_chains_all_failed_has_nothing_to_compare(bench, base):
    other = write_run(bench.folder / "other", traces("b", failed=True))
    result = bench.run("compare", base, other)
    assert result.code == 3
    assert "3 of 3 chains of the candidate failed" in result.err


def test_an_unknown_kind_and_a_missing_candidate_are_usage(bench, base, slower):
    assert bench.run("compare", base).code == 2
    result = bench.run("compare", base, slower, "--allow", "hosts")
    assert result.code == 2
    assert "'hosts' is none of agent, tasks" in result.err


def test_the_kinds_are_those_that_there_are():
    from profiler.cli.compare import ALLOWED
    from profiler.compare.sameness import KINDS

    assert list(ALLOWED) == list(KINDS)


def test_several_candidates_stand_beside_one_base(bench, base, slower):
    third = write_run(bench.folder / "third", traces("c", longer=200, start=200_000))
    told = json.loads(bench.run("compare", base, slower, third, "--format", "json").out)
    assert [round(each["figures"][0]["ratio"]["ratio"], 3) for each in told["comparisons"]] == [1.2, 1.4]
    assert bench.run("compare", base, slower, third).out.count("Candidate") == 2
    assert bench.run("compare", base, slower, third, "--format", "html").code == 2


def test_html_goes_beside_the_candidate_and_is_made_anew(bench, base, slower):
    for _ in range(2):
        result = bench.run("compare", base, slower, "--format", "html")
        assert (result.code, result.out) == (0, "")
    text = (slower / "comparison.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert [pair["task"] for pair in data["pairs"]] == ["t1", "t2", "t3"]
    assert len(data["pictures"]) == 6


def test_a_file_of_somebody_elses_is_left_alone(bench, base, slower):
    target = bench.folder / "notes.md"
    target.write_text("mine", encoding="utf-8")
    result = bench.run("compare", base, slower, "--format", "markdown", "--output", target)
    assert result.code == 2
    assert target.read_text(encoding="utf-8") == "mine"
    for output in ("markdown", "json"):
        ours = bench.folder / f"ours.{output}"
        assert [bench.run("compare", base, slower, "--format", output, "--output", ours).code for _ in range(2)] == [
            0,
            0,
        ]
