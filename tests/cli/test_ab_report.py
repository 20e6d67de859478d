"""What `profiler ab` tells of two runs that took turns, in every format."""

import json
import sys
from pathlib import Path

import click
import pytest

REPORT = Path(__file__).parents[1] / "report"
if str(REPORT) not in sys.path:
    sys.path.insert(0, str(REPORT))

from otlp_lines import write_run  # noqa: E402
from test_compare_command import traces  # noqa: E402

from profiler.ab.measure import Measured  # noqa: E402
from profiler.ab.spec import Spec  # noqa: E402
from profiler.cli.ab import _Budget, _report, _tell_alike, seconds_of  # noqa: E402
from profiler.errors import DataError, UsageError  # noqa: E402
from profiler.record.pace import Ended  # noqa: E402
from profiler.stats.sequential import look, plan_looks  # noqa: E402

SIDES = ("a", 0, 0), ("b", 100, 1000)  # name, ms longer, when it began
SAID = ["the first 3 chains of A were 8% slower"]
PINNED = {"script": {"sha256": "abc"}}


def seen(slower=0.1):
    """Three pairs, as the runs below have them."""
    measured = Measured()
    for number, task in enumerate(("t1", "t2", "t3")):
        ends = [Ended(task, 1, False, int(each * 1e9), 1, None) for each in (0.5, 0.5 + slower + number / 1000)]
        measured.take(task, *ends)
    measured.pairs_are_units = True
    times = ({"t": [value for values in each.values() for value in values]} for each in measured.seconds)
    measured.look = look(plan_looks(1, 3), 0, *times)
    return measured


@pytest.fixture
def both(bench):
    (bench.folder / "both").mkdir()
    for name, longer, start in SIDES:
        write_run(bench.folder / "both" / name, traces(name, longer=longer, start=start), **PINNED)
    return bench.folder / "both"


def told(folder, capsys, output="terminal", target=None, **measured):
    capsys.readouterr()
    code = _report(folder, seen(**measured), _Budget(5.0, 60), SAID, output, target, force=False)
    return code, capsys.readouterr()


def test_programs_get_the_verdict_in_the_comparison(both, capsys):
    _, printed = told(both, capsys, "json")
    document = json.loads(printed.out)
    assert document["format"] == "profiler-comparison"
    assert document["comparisons"][0]["tasks"] == 3
    assert document["ab"]["words"] in printed.err
    assert document["ab"]["remarks"] == SAID
    assert (document["ab"]["pairs"], document["ab"]["budget"], document["ab"]["unit"]) == (3, 60, "pairs")


def test_a_terminal_and_a_pull_request_have_it_first(both, capsys):
    _, printed = told(both, capsys)
    assert " after 3 of at most 60 pairs of chains: " in printed.out.splitlines()[0]
    assert printed.out.splitlines()[1] == f"! {SAID[0]}"
    _, printed = told(both, capsys, "markdown")
    first, _, second, *_ = printed.out.splitlines()
    assert first.startswith(("🔴 **", "🟡 **", "🟢 **"))
    assert second == f"- {SAID[0]}"


def test_the_page_has_it_above_the_headline_and_lies_beside_both_runs(both, capsys):
    _, printed = told(both, capsys, "html")
    page = (both / "comparison.html").read_text(encoding="utf-8")
    assert "after 3 of at most 60 pairs of chains" in page
    assert SAID[0] in page
    assert "after 3 of at most 60" in printed.out
    assert f"comparison written to {both / 'comparison.html'}" in printed.err


def test_it_goes_to_a_file_that_is_named_and_replaces_only_reports(both, capsys, tmp_path):
    target = tmp_path / "ab.json"
    _, printed = told(both, capsys, "json", target)
    assert printed.out == ""
    assert json.loads(target.read_text(encoding="utf-8"))["ab"]["pairs"] == 3
    told(both, capsys, "json", target)
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is no report of ours"):
        told(both, capsys, "json", target)


def test_of_free_runs_steps_and_time_per_step_are_told_apart(bench, capsys):
    (bench.folder / "free").mkdir()
    for name, longer, start in SIDES:
        write_run(bench.folder / "free" / name, traces(name, longer=longer, start=start))
    _, printed = told(bench.folder / "free", capsys)
    assert "no script pins these chains, so what they do is part of the verdict: steps ×1.000, time per" in printed.out


def test_without_a_pair_there_is_nothing_to_tell_unless_one_side_is_worse(bench, capsys):
    (bench.folder / "none").mkdir()
    for name, _, start in SIDES:
        write_run(bench.folder / "none" / name, traces(name, start=start, failed=True), **PINNED)
    measured = Measured()
    for task in ("t1", "t2", "t3"):
        measured.take(task, *[Ended(task, 1, False, 1, 1, "Broken: no")] * 2)
    with pytest.raises(DataError, match="no task of which both"):
        _report(bench.folder / "none", measured, _Budget(5.0, 60), [], "terminal", None, force=False)


@pytest.mark.parametrize("output", ["terminal", "markdown", "json", "html"])
def test_a_side_of_which_no_chain_ends_well_is_told_in_every_format(bench, capsys, output):
    (bench.folder / "none").mkdir()
    for name, _, start in SIDES:
        write_run(bench.folder / "none" / name, traces(name, start=start, failed=name == "b"), **PINNED)
    measured = Measured()
    for number in range(6):
        measured.take("t1", Ended("t1", number, False, 1, 1, None), Ended("t1", number, False, 1, 1, "Broken: no"))
    target = bench.folder / "told"
    assert _report(bench.folder / "none", measured, _Budget(5.0, 60), [], output, target, force=False) == 1
    assert "B fails clearly more often" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5 h", 5400), ("2min", 120)])
def test_a_time_has_a_unit(text, seconds):
    assert seconds_of(None, None, text) == seconds


@pytest.mark.parametrize("text", ["5", "m", "-5m", "0s", "five minutes", ""])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(click.BadParameter, match="such as 90s or 5m"):
        seconds_of(None, None, text)


@pytest.mark.parametrize(
    ("a", "b", "as_now", "told"),
    [
        (Spec(()), Spec(()), (False, False), "both sides are the same"),
        (Spec((), revision="x"), Spec((), revision="x"), (False, False), "both sides are the same"),
        (Spec((), revision="x"), Spec(()), (True, False), "both sides are alike"),
        (Spec((), revision="x"), Spec(()), (False, False), ""),
        (Spec(("--seed", "1")), Spec(()), (False, False), ""),
        (Spec((), agent="other.py"), Spec(()), (False, False), ""),
    ],
)
def test_sides_that_are_the_same_are_told_to_be(a, b, as_now, told, capsys):
    _tell_alike([a, b], as_now)
    assert told in capsys.readouterr().err if told else capsys.readouterr().err == ""
