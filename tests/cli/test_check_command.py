"""`profiler check` and `profiler baseline`: verdicts as exit codes, and every wrong file."""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[1] / "report"
if str(REPORT) not in sys.path:
    sys.path.insert(0, str(REPORT))

from otlp_lines import write_run  # noqa: E402
from test_compare_command import traces  # noqa: E402

LIMIT = '[check]\n[[check.limit]]\nmetric = "chain_time.max"\nmax = "{}"\n'
MARGIN = '[check]\nagainst = "{}"\ndrift = "{}"\n[[check.margin]]\nmetric = "chain_time"\nslower = "5%"\n'


@pytest.fixture
def base(bench):
    return write_run(bench.folder / "base", traces("a"))


@pytest.fixture
def slower(bench):
    return write_run(bench.folder / "slower", traces("b", longer=100, start=100_000))


def configure(bench, text, name="profiler.toml"):
    path = bench.folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_limit_that_is_kept_is_0_and_one_that_is_broken_is_1(bench, base):
    configure(bench, LIMIT.format("1 s"))
    assert bench.run("check", base).code == 0
    configure(bench, LIMIT.format("400 ms"))
    result = bench.run("check", base)
    assert result.code == 1
    assert "regressed      chain_time.max 500 ms, at most 400 ms" in result.out


def test_the_budgets_may_be_in_pyproject_and_in_a_folder_above(bench, base, monkeypatch):
    text = LIMIT.format("1 s").replace("[check]\n", "").replace("check.limit", "tool.profiler.check.limit")
    configure(bench, text, "pyproject.toml")
    (bench.folder / "below").mkdir()
    monkeypatch.chdir(bench.folder / "below")
    assert bench.run("check", base).code == 0


def test_a_baseline_is_kept_and_held_against(bench, base, slower):
    assert bench.run("baseline", "set", "main", base).code == 0
    assert max(path.name for path in (bench.folder / "traces/baselines/main").iterdir()) == "tools.parquet"
    assert "main  react against vllm tiny" in bench.run("baseline", "list").out
    assert "End to end" in bench.run("baseline", "show", "main").out
    configure(bench, MARGIN.format("main", "0%"))
    result = bench.run("check", slower)
    assert result.code == 1
    assert "regressed      chain_time ×1.200" in result.out
    assert "Chains take 20% longer" in bench.run("compare", "main", slower).out


def test_cannot_tell_passes_or_fails_as_it_is_told(bench, base, slower):
    configure(bench, MARGIN.format(base, "20%"))
    passing = bench.run("check", slower)
    assert passing.code == 0
    assert "cannot tell: " in passing.out
    assert "a drift of 20% in either run cannot be excluded" in passing.out
    assert bench.run("check", slower, "--cannot-tell", "fail").code == 1


def test_a_baseline_is_not_replaced_unless_forced(bench, base, slower):
    bench.run("baseline", "set", "main", base)
    assert bench.run("baseline", "set", "main", slower).code == 2
    assert bench.run("baseline", "set", "main", slower, "--force").code == 0
    assert bench.run("baseline", "set", "../main", base).code == 2


def test_a_baseline_that_is_missing_or_broken_is_bad_data(bench, base, slower):
    configure(bench, MARGIN.format("main", "0%"))
    assert bench.run("check", slower).code == 3
    assert bench.run("baseline", "show", "main").code == 3
    bench.run("baseline", "set", "main", base)
    (bench.folder / "traces/baselines/main/calls.parquet").write_bytes(b"PAR1 nonsense PAR1")
    result = bench.run("check", slower)
    assert result.code == 3
    assert "profiler baseline set" in result.err


def test_a_baseline_of_another_machine_is_refused_unless_allowed(bench, base):
    bench.run("baseline", "set", "main", base)
    configure(bench, MARGIN.format("main", "50%"))
    other = write_run(bench.folder / "other", traces("b"), host={"cpu": "another"})
    assert bench.run("check", other).code == 3
    assert bench.run("check", other, "--allow", "host").code == 0


def test_a_run_held_against_itself_is_bad_data(bench, base):
    configure(bench, MARGIN.format(base, "0%"))
    assert bench.run("check", base).code == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no table [check]"),
        ("[check]\n", "there is nothing to check"),
        ("[check", "is not TOML"),
        (LIMIT.format("1 s").replace("chain_time", "chain_tme"), "did you mean chain_time.max"),
        (LIMIT.format("1 sec"), "has the unit 'sec'"),
        (LIMIT.format("1"), "has no unit"),
        (LIMIT.format("soon"), "is a time"),
        ('[check]\n[[check.limit]]\nmetric = "cache_hits"\n', "neither max nor min"),
        ('[check]\n[[check.limit]]\nmetric = "cache_hits"\nmin = "80"\n', "is not from 0% to 100%"),
        ('[check]\n[[check.limit]]\nmetric = "cache_hits"\nmin = "80%"\nmax = "20%"\n', "at least and at most"),
        ('[check]\n[[check.limit]]\nmetric = "steps.max"\nmaximum = 3\n', "limit.0.maximum"),
        ('[check]\n[[check.margin]]\nmetric = "chain"\nslower = "5%"\n', "no margin on 'chain'"),
        (MARGIN.format("x", "0%") + MARGIN.partition('"{}"\n')[2].partition("\n")[2], "two margins"),
        (MARGIN.format("x", "0%").replace('against = "x"\n', ""), "nothing to hold the run against"),
    ],
)
def test_budgets_that_make_no_sense_are_usage_and_say_why(bench, base, text, said):
    configure(bench, text)
    result = bench.run("check", base)
    assert result.code == 2, result.err
    assert said in result.err


def test_without_budgets_it_says_where_they_belong(bench, base):
    result = bench.run("check", base, "--config", bench.folder / "nowhere.toml")
    assert result.code == 2


def test_json_junit_annotations_and_summary_tell_the_same(bench, base, monkeypatch):
    configure(bench, LIMIT.format("400 ms"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(bench.folder / "summary.md"))
    junit = bench.folder / "junit.xml"
    result = bench.run("check", base, "--format", "json", "--junit", junit)
    told = json.loads(result.out)
    assert (told["verdict"], told["passed"]) == ("regressed", False)
    assert {each["name"]: each["verdict"] for each in told["checks"]} == {
        "chain_time.max": "regressed",
        "failed_chains": "not regressed",
    }
    suite = ET.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "0")
    assert "::error title=profiler check%3A regressed::chain_time.max 500 ms, at most 400 ms" in result.err
    assert "🔴 regressed" in (bench.folder / "summary.md").read_text(encoding="utf-8")
