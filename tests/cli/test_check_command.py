"""`profiler check` and `profiler baseline`: verdicts as exit codes, and every wrong file."""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

REPORT = Path(__file__).parents[1] / "report"
if str(REPORT) not in sys.path:
    sys.path.insert(0, str(REPORT))

from otlp_lines import write_run  # noqa: E402
from test_compare_command import traces  # noqa: E402

from profiler import semconv as sc  # noqa: E402

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
    assert "regressed      chain_time.max 500 ms; allowed: at most 400 ms" in result.out


def test_the_budgets_may_be_in_pyproject_and_in_a_folder_above(bench, base, monkeypatch):
    text = LIMIT.format("1 s").replace("[check]\n", "").replace("check.limit", "tool.profiler.check.limit")
    configure(bench, text, "pyproject.toml")
    (bench.folder / "below").mkdir()
    monkeypatch.chdir(bench.folder / "below")
    assert bench.run("check", base).code == 0


def test_a_baseline_is_kept_and_held_against(bench, base, slower):
    assert bench.run("baseline", "set", "main", base).code == 0
    assert max(path.name for path in (bench.folder / "traces/baselines/main").iterdir()) == "tools.parquet"
    listed = bench.run("baseline", "list").out
    assert "main  react against vllm tiny" in listed
    assert "3 chains of 3 tasks" in listed  # those that count: no warm-up
    assert "End to end" in bench.run("baseline", "show", "main").out
    configure(bench, MARGIN.format("main", "0%"))
    result = bench.run("check", slower)
    assert result.code == 1
    assert "regressed      chain_time ×1.200" in result.out
    assert "Chains take 20% longer" in bench.run("compare", "main", slower).out


def test_a_baseline_names_no_path_of_the_machine(bench, base):
    manifest = json.loads((base / "run.json").read_text(encoding="utf-8"))
    manifest["agent"]["path"] = str(Path.cwd() / "agents" / "react.py")
    manifest["flags"]["tasks_path"] = "/home/somebody/tasks.json"
    manifest["engine"]["command"] = [
        "/opt/venv/bin/python",
        "-m",
        "vllm",
        "--chat-template",
        "/opt/t.jinja",
        "--truth",
        "/x/l",
    ]
    (base / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert bench.run("baseline", "set", "main", base).code == 0
    kept = json.loads(Path("traces/baselines/main/run.json").read_text(encoding="utf-8"))
    assert kept["agent"]["path"] == "agents/react.py"
    assert kept["flags"]["tasks_path"] == "tasks.json"
    assert kept["engine"]["command"] == ["python", "-m", "vllm", "--chat-template", "/opt/t.jinja", "--truth", "l"]


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
        ('[check]\n[[check.limit]]\nmetric = "steps.max"\nmax = true\n', "true and false are no bound"),
        ('[check]\n[[check.limit]]\nmetric = "steps.max"\nmax = nan\n', "is no bound"),
        ('[check]\n[[check.limit]]\nmetric = "steps.max"\nmax = -1\n', "is no bound"),
        (LIMIT.format("inf s"), "is no bound"),
        (LIMIT.format("-1 s"), "is no bound"),
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


def test_why_chains_failed_is_told_and_what_to_do_if_they_left_their_script(bench):
    message = "node 'bot/model' asked for call 1, the script has 0 there"
    told = {"task": "t1", "repeat": 1, "type": "ScriptMismatch", "message": message, "trace_id": "1"}
    warmup = {**told, "warmup": True, "message": "not this one"}
    run = write_run(bench.folder / "run", traces("f", failed=True), failures=[warmup, told])
    configure(bench, LIMIT.format("1 s"))
    result = bench.run("check", run)
    assert result.code == 1
    assert f"! the first chain that failed, of task t1: ScriptMismatch: {message}" in result.out
    assert "--record-script" in result.out
    other = write_run(
        bench.folder / "other", traces("g", failed=True), failures=[{**told, "type": "KeyError", "where": "bot.py:7"}]
    )
    result = bench.run("check", other)
    assert "of task t1: KeyError at bot.py:7: " in result.out
    assert "--record-script" not in result.out


@pytest.mark.parametrize(("status", "verdict", "code"), [("interrupted", "cannot tell", 0), ("failed", "regressed", 1)])
def test_a_run_that_did_not_come_to_its_end_does_not_pass_for_one_that_did(bench, status, verdict, code):
    run = write_run(bench.folder / "part", traces("a"), status=status, chains={"planned": 9, "finished": 3})
    configure(bench, LIMIT.format("1 s"))
    result = bench.run("check", run)
    assert result.code == code
    assert result.out.startswith(f"{verdict}: ")
    assert f"the run is {status}, 3 of 9 chains ran" in result.out
    assert bench.run("check", run, "--cannot-tell", "fail").code == 1


def test_a_limit_on_failures_of_some_tasks_leaves_none_to_the_others(bench):
    run = write_run(bench.folder / "run", traces("a", names=("t1", "t2")) + traces("f", names=("t3",), failed=True))
    text = '[check]\n[[check.limit]]\nmetric = "failed_chains"\nmax = "100%"\ntasks = "{}"\n'
    configure(bench, text.format("t1"))
    result = bench.run("check", run)
    assert result.code == 1
    assert "regressed      failed_chains of other tasks 50%" in result.out
    configure(bench, text.format("t3"))
    assert bench.run("check", run).code == 0
    configure(bench, text.format("*"))
    assert bench.run("check", run).code == 0


def tagged(bench, name, tags, longer=0, start=0):
    """A run whose tasks t1, t2 and t3 have these tags."""
    made = traces(name[0], longer=longer, start=start)
    for trace, its in zip(made, tags, strict=True):
        trace.spans[0].attributes.update({sc.TASK_TAGS: its} if its else {})
    return write_run(bench.folder / name, made)


def test_limits_and_margins_are_for_the_tasks_of_a_tag_and_for_an_agent(bench):
    tags = (("slow", "long"), ("slow",), ())
    tagged(bench, "base", ((), (), ()))
    run = tagged(bench, "candidate", tags, longer=100, start=100_000)
    own = '[[check.limit]]\nmetric = "chain_time.max"\nmax = "550 ms"\n{}\n'
    margin = '[[check.margin]]\nmetric = "chain_time"\nslower = "5%"\n{}\n'
    head = '[check]\nagainst = "base"\ndrift = "0%"\n'
    configure(bench, head + own.format('tags = "l*"') + own.format('agents = "plan*"') + margin.format('tags = "slow"'))
    result = bench.run("check", run)
    assert result.code == 1
    assert "regressed      chain_time.max of tag l* 600 ms; allowed: at most 550 ms" in result.out
    assert "regressed      chain_time of tag slow ×1.200" in result.out
    assert "! not for agent react, so not looked at: chain_time.max of agent plan*" in result.out
    configure(bench, head + own.format('tags = "lnog"'))
    result = bench.run("check", run)
    assert result.code == 2
    assert "chain_time.max is for tag 'lnog'" in result.err
    assert "did you mean long" in result.err
    configure(bench, head + own.format('agents = "plan*"'))
    result = bench.run("check", run)
    assert result.code == 2
    assert "no limit and no margin is for agent react" in result.err


def test_what_a_file_names_is_beside_it_wherever_the_command_is_given(bench, base, slower, monkeypatch):
    bench.run("baseline", "set", "main", base)
    (bench.folder / "main").mkdir()  # no run: it hides no baseline
    configure(bench, MARGIN.format("main", "0%"))
    assert bench.run("check", slower).code == 1
    (bench.folder / "below").mkdir()
    monkeypatch.chdir(bench.folder / "below")
    assert bench.run("check", slower).code == 1
    assert bench.run("check", slower, "--against", "main").code == 1


def test_a_run_that_is_not_there_is_told_before_the_missing_file_of_limits(bench):
    result = bench.run("check", "nope")
    assert result.code == 3
    assert "no run at nope" in result.err


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("chains", lambda rows: rows + rows[:1], "a chain twice"),
        ("chains", lambda rows: rows[1:], "rows of chains that chains.parquet lacks"),
        ("chains", lambda rows: [{**row, "e2e_ns": 0} for row in rows], "without duration"),
        ("chains", lambda rows: [{**row, "e2e_ns": -5} for row in rows], "below 0"),
        ("chains", lambda rows: [{**row, "prefill_ns": -5} for row in rows], "prefill_ns below 0"),
        ("calls", lambda rows: [{**row, "call_e2e_ns": 2**60} for row in rows], "above 104 days"),
        ("calls", lambda rows: rows + rows[:1], "a span twice"),
    ],
)
def test_a_baseline_that_was_tampered_with_is_bad_data(bench, base, table, change, said):
    bench.run("baseline", "set", "main", base)
    file = bench.folder / f"traces/baselines/main/{table}.parquet"
    kept = parquet.read_table(file)
    parquet.write_table(pa.Table.from_pylist(change(kept.to_pylist()), schema=kept.schema), file)
    result = bench.run("baseline", "show", "main")
    assert result.code == 3
    assert said in result.err


def test_a_baseline_that_was_kept_before_tasks_had_tags_is_read(bench, base, slower):
    bench.run("baseline", "set", "main", base)
    file = bench.folder / "traces/baselines/main/chains.parquet"
    parquet.write_table(parquet.read_table(file).drop_columns(["task_tags"]), file)
    configure(bench, MARGIN.format("main", "0%"))
    assert bench.run("check", slower).code == 1


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
    assert "::error title=profiler check%3A regressed::chain_time.max 500 ms; allowed: at most 400 ms" in result.err
    assert "🔴 regressed" in (bench.folder / "summary.md").read_text(encoding="utf-8")
