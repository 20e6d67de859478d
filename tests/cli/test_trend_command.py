"""`profiler trend`: histories, formats, what is left out, wrong input, exit codes."""

import csv
import io
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
from profiler.cli.trend import NAMES, complete_history  # noqa: E402
from profiler.stats import level  # noqa: E402
from profiler.trend.figures import METRICS  # noqa: E402

WOBBLE = (0, 3, -2, 1, -3, 2, 0, -1, 3, -2, 1, 0)  # ms: what runs of one level differ by


def traces(run, took_ms, tasks=("t1", "t2", "t3"), *, failed=False, prompt=100):
    """A chain for each task: a call in a step."""
    found = []
    for number, task in enumerate(tasks):
        told = {sc.CALL_ORDINAL: 1, sc.CALL_ATTEMPT: 1, sc.INPUT_TOKENS: prompt, sc.OUTPUT_TOKENS: 11}
        spans = [runs._step("s1", 10, took_ms - 20, "model", 1), runs._call("c1", 20, took_ms - 30, "s1", told)]
        begin = 100_000 * run + 2000 * number
        found.append(chain(f"{run:02d}x{number}", begin, begin + took_ms, spans, {sc.TASK_ID: task}, failed=failed))
    return found


def add(folder, number, took_ms=400, *, tasks=("t1", "t2", "t3"), failed=False, prompt=100, **facts):
    """The run of one day."""
    folder.mkdir(exist_ok=True)
    facts.setdefault("git", {"commit": f"{number:07d}" + "a" * 33, "dirty": False})
    return write_run(
        folder / f"run{number:02d}",
        traces(number, took_ms, tasks, failed=failed, prompt=prompt),
        created=f"2026-11-{number:02d}T10:00:00+00:00",
        **facts,
    )


def history(folder, levels, first=1, **facts):
    """A run a day; each level is a duration and a number of runs."""
    days = [took for took, count in levels for _ in range(count)]
    for number, took in enumerate(days, start=first):
        add(folder, number, took + WOBBLE[number % len(WOBBLE)], **facts)


@pytest.fixture(autouse=True, scope="module")
def few_draws():
    """What is tested here takes no exact p-values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level, "_DRAWS", 300)
        level._without_change.cache_clear()
        yield
    level._without_change.cache_clear()


@pytest.fixture
def slower(bench):
    """Slower by a quarter from the seventh run on."""
    history(bench.folder / "traces", [(400, 6), (500, 6)])
    return bench


def test_the_names_on_the_command_line_are_those_of_the_metrics():
    assert tuple(metric.name for metric in METRICS) == NAMES


def test_the_run_and_the_commits_between_which_chains_became_slower_are_named(slower):
    result = slower.run("trend")
    assert (result.code, result.err) == (0, "")
    assert "react against vllm 0.25 on cpu, model tiny (12 runs of 3 tasks)" in result.out
    assert "chain time +25%" in result.out
    assert "from run 7 on; between 0000006aa and 0000007aa" in result.out
    assert "git log --oneline 0000006aa..0000007aa" in result.out
    assert 'profiler ab react --a "--rev 0000006aa" --b "--rev 0000007aa"' in result.out


def test_the_command_that_is_shown_names_the_agent_as_it_is_from_here(bench):
    history(
        bench.folder / "traces", [(400, 6), (500, 6)], agent={"name": "bot", "path": str(bench.folder / "a/bot.py")}
    )
    assert 'profiler ab a/bot.py --a "--rev 0000006aa"' in bench.run("trend", "--metric", "chain_time").out


def test_fail_is_for_a_change_for_the_worse_that_the_newest_run_still_has(slower):
    assert slower.run("trend", "--fail").code == 1
    assert slower.run("trend", "--fail", "--metric", "prompt_tokens").code == 0
    assert slower.run("trend", "--fail", "--since", "0000007aa").code == 0


def test_a_slowdown_that_was_undone_fails_nothing(bench):
    history(bench.folder / "traces", [(400, 6), (500, 6), (400, 6)])
    result = bench.run("trend", "--fail")
    assert result.code == 0
    assert "+25%" in result.out
    assert "-20%" in result.out


def test_a_history_that_became_faster_fails_nothing(bench):
    history(bench.folder / "traces", [(500, 6), (400, 6)])
    result = bench.run("trend", "--fail")
    assert (result.code, "chain time -20%" in result.out) == (0, True)


def test_a_steady_history_tells_what_would_have_been_found(bench):
    history(bench.folder / "traces", [(400, 12)])
    result = bench.run("trend", "--fail")
    assert result.code == 0
    assert "No change of level found; one of chain time by" in result.out


@pytest.mark.parametrize("number", [1, 5])
def test_too_few_runs_are_shown_and_nothing_is_looked_for(bench, number):
    history(bench.folder / "traces", [(400, number)])
    result = bench.run("trend", "--fail")
    assert result.code == 0
    assert "Too few runs to look for a change of level: it takes 6" in result.out


def test_runs_of_another_machine_are_a_series_of_their_own_and_it_is_said_why(slower):
    history(slower.folder / "traces", [(900, 3)], first=13, host={"cpu": "another"})
    result = slower.run("trend", "--fail")
    assert "Series 1: react" in result.out
    assert "Series 2: react" in result.out
    assert "host: processor unknown → another" in result.out
    assert result.code == 0  # the newest run is of the other machine, with too few runs


def test_runs_with_other_tasks_are_compared_by_those_that_all_have(bench):
    folder = bench.folder / "traces"
    history(folder, [(400, 6), (500, 5)])
    add(folder, 12, 500, tasks=("t1", "t2", "t4"))
    found = json.loads(bench.run("trend", "--format", "json").out)
    (series,) = found["series"]
    assert series["tasks"] == ["t1", "t2"]
    assert "2 tasks that not all of these runs have (or ask alike) are left out" in series["remarks"]


def test_a_task_that_asks_something_else_under_its_old_name_is_left_out(bench):
    folder = bench.folder / "traces"
    for number in range(1, 7):
        asked = {"t1": "a", "t2": "b", "t3": "c" if number < 4 else "d"}
        add(folder, number)
        manifest = folder / f"run{number:02d}" / "run.json"
        told = json.loads(manifest.read_text())
        told["tasks"] = {"digests": asked}
        manifest.write_text(json.dumps(told))
    (series,) = json.loads(bench.run("trend", "--format", "json").out)["series"]
    assert series["tasks"] == ["t1", "t2"]


def test_what_cannot_be_read_is_told_and_left_out(slower):
    folder = slower.folder / "traces"
    future = json.loads((folder / "run01" / "run.json").read_text())
    for name, content in (
        ("newer", json.dumps({**future, "version": 99})),
        ("broken", "{"),
        ("killed", json.dumps({**future, "status": "running"})),
        ("timeless", json.dumps({**future, "created": "yesterday"})),
    ):
        (folder / name).mkdir()
        (folder / name / "run.json").write_text(content)
        (folder / name / "spans.jsonl").write_text("")
    (folder / "bare").mkdir()
    (folder / "bare" / "spans.jsonl").write_text("")
    add(folder, 20, failed=True)
    result = slower.run("trend")
    assert result.code == 0
    said = " ".join(result.out.split())
    for words in (
        "newer: run.json has format version 99",
        "broken: run.json is not a run's manifest",
        "killed: it did not end properly (status running)",
        "timeless: its run.json does not say when it began: 'yesterday'",
        "bare: no run.json",
        "run20: it has no chain that ended well",
    ):
        assert words in said
    assert "12 runs" in result.out


def test_runs_without_commit_and_with_changes_are_shown_as_such(bench):
    history(bench.folder / "traces", [(400, 6)], git=None)
    history(bench.folder / "traces", [(500, 6)], first=7, git={"commit": "b" * 40, "dirty": True})
    result = bench.run("trend")
    assert "the commit of one of the runs is unknown" in result.out
    assert "6 runs of unknown commit: 1, 2, 3, 4, 5, 6" in result.out
    assert "bbbbbbbbb+" in result.out


def test_a_change_without_a_commit_between_is_none_of_the_code(bench):
    history(bench.folder / "traces", [(400, 6), (500, 6)], git={"commit": "c" * 40, "dirty": False})
    result = bench.run("trend")
    assert "both at commit ccccccccc" in result.out
    assert "no commit lies between" in result.out


def test_a_library_that_changed_with_the_level_is_named(bench):
    history(bench.folder / "traces", [(400, 6)], libraries={"openai": "3.54"})
    history(bench.folder / "traces", [(500, 6)], first=7, libraries={"openai": "3.55"})
    assert "also different since the run before: openai 3.54 → 3.55" in bench.run("trend").out


def test_a_baseline_counts_as_the_run_that_it_is_and_not_twice(slower):
    assert slower.run("baseline", "set", "main", "traces/run03").code == 0
    both = json.loads(slower.run("trend", "--format", "json").out)
    assert len(both["series"][0]["runs"]) == 12
    assert any("the same chains as" in line for line in both["left_out"])
    alone = slower.run("trend", "main", "--format", "json")
    assert [run["created"] for run in json.loads(alone.out)["series"][0]["runs"]] == ["2026-11-03T10:00:00+00:00"]


def test_csv_has_a_row_per_run(slower):
    rows = list(csv.DictReader(io.StringIO(slower.run("trend", "--format", "csv").out)))
    assert len(rows) == 12
    assert rows[0]["time"] == "2026-11-01T10:00:00+00:00"
    assert rows[6]["commit"] == "0000007" + "a" * 33
    assert float(rows[6]["chain_time"]) == pytest.approx(500e6, rel=0.01)
    assert float(rows[0]["prompt_tokens"]) == pytest.approx(100)


def test_json_has_the_change_and_can_be_replaced(slower):
    for _ in range(2):
        assert slower.run("trend", "--format", "json", "--output", "trend.json").code == 0
    found = json.loads((slower.folder / "trend.json").read_text())
    (event,) = found["series"][0]["events"]
    assert (event["run"], event["metrics"][0]) == (7, "chain_time")
    assert [commit[:7] for commit in event["commits"]] == ["0000006", "0000007"]
    assert found["series"][0]["worsened"] is True
    (change,) = found["series"][0]["figures"][0]["changes"]
    assert change["low"] < 1.25 < change["high"]


def test_markdown_marks_a_change_for_the_worse(slower):
    out = slower.run("trend", "--format", "markdown").out
    assert out.startswith("<!-- agent-chain-profiler trend -->")
    assert "🔴 **chain time +25%" in out


def test_an_agent_is_picked_by_name_and_a_wrong_name_is_told_with_the_right_ones(slower):
    add(slower.folder / "traces", 13, agent={"name": "other"})
    assert "12 runs of 3 tasks" in slower.run("trend", "--agent", "react").out
    wrong = slower.run("trend", "--agent", "nobody")
    assert (wrong.code, "there are: other, react" in wrong.err) == (3, True)


@pytest.mark.parametrize(
    ("since", "kept"), [("2026-11-08", 5), ("run08", 5), ("0000008aa", 5), ("2026-11-08T11:00:00+00:00", 4)]
)
def test_since_is_a_date_a_run_or_a_commit(slower, since, kept):
    found = json.loads(slower.run("trend", "--since", since, "--format", "json").out)
    assert len(found["series"][0]["runs"]) == kept


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--since", "yesterday"), 2, "no date, no span, and no run has this name or commit"),
        (("--since", "2027-01-01"), 3, "no run since 2027-01-01"),
        (("--metric", "chain"), 2, "chain_time"),
        (("--with", "no-such-otava"), 2, "there is no program no-such-otava"),
        (("nowhere",), 3, "no run at nowhere"),
    ],
)
def test_what_is_wrong_is_told_with_a_remedy(slower, arguments, code, said):
    result = slower.run("trend", *arguments)
    assert (result.code, result.out) == (code, "")
    assert said in result.err


def test_without_any_run_it_is_said_where_runs_come_from(bench):
    missing = bench.run("trend")
    assert (missing.code, "there is no folder traces/ here" in missing.err) == (3, True)
    (bench.folder / "traces").mkdir()
    empty = bench.run("trend")
    assert (empty.code, "profiler run, once per commit" in empty.err) == (3, True)


def program(bench, answer):
    """A program that takes what Otava takes, checks that its files are there, and answers this."""
    path = bench.folder / "otava"
    path.write_text(
        f"#!{sys.executable}\n"
        "import csv, json, sys\n"
        "arguments = sys.argv[1:]\n"
        "assert arguments[0] == 'analyze' and '--output' in arguments\n"
        "config = json.load(open(arguments[arguments.index('--config-file') + 1]))\n"
        "test = config['tests'][arguments[1]]\n"
        "rows = list(csv.DictReader(open(test['file'])))\n"
        "assert all(float(row[each['column']]) for row in rows for each in test['metrics'].values())\n"
        f"print({answer!r})\n"
    )
    path.chmod(0o755)
    return str(path)


def test_what_another_program_finds_stands_beside_it(slower):
    change = {"metric": "chain_time", "forward_change_percent": "25", "pvalue": "0.000100"}
    answer = {"series": [{"time": 1, "attributes": {"number": "7"}, "changes": [change]}]}
    result = slower.run("trend", "--with", program(slower, json.dumps(answer)), "--metric", "chain_time")
    assert result.code == 0
    assert "chain_time +25% from run 7 on; its p 0.0001" in result.out


def test_another_program_that_answers_nonsense_is_an_error_of_its_own(slower):
    result = slower.run("trend", "--with", program(slower, "no idea"))
    assert (result.code, result.out) == (4, "")
    assert "answered something else than a list of changes" in result.err


def test_completion_offers_runs_and_folders_of_runs(slower):
    assert "traces/" in complete_history(None, None, "tr")
    assert "traces/run03" in complete_history(None, None, "traces/run0")
