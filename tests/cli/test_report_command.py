"""`profiler report`: every format, whatever the run is; nothing of somebody else's is overwritten."""

import io
import json
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

REPORT = Path(__file__).parents[1] / "report"
if str(REPORT) not in sys.path:
    sys.path.insert(0, str(REPORT))

from otlp_lines import write_run  # noqa: E402
from report_inputs import chain, small_run  # noqa: E402

from profiler import semconv as sc  # noqa: E402
from profiler.analysis.model import Span  # noqa: E402
from profiler.report.markdown import MARK  # noqa: E402

FOREIGN = Path(__file__).parents[1] / "data" / "foreign"
TEXTS = ("terminal", "markdown", "json")
FORMATS = (*TEXTS, "html", "csv", "parquet")


@pytest.fixture
def run(bench):
    return write_run(bench.folder / "run", small_run())


def reported(bench, run, output, *more):
    """The command, with a place for formats that need one."""
    target = ["--output", str(bench.folder / "tables")] if output in ("csv", "parquet") else []
    return bench.run("report", run, "--format", output, *target, *more)


def test_html_goes_beside_the_spans_and_says_where(bench, run):
    result = bench.run("report", run, "--format", "html")
    assert (result.code, result.out) == (0, "")
    assert f"report written to {run / 'report.html'}" in result.err
    text = (run / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.count('"pictures":') == 1


def test_an_html_report_of_ours_is_made_anew(bench, run):
    bench.run("report", run, "--format", "html")
    (run / "report.html").write_text((run / "report.html").read_text(encoding="utf-8")[:3000], encoding="utf-8")
    assert bench.run("report", run, "--format", "html").code == 0
    assert (run / "report.html").stat().st_size > 100_000


def test_a_file_of_somebody_elses_is_not_overwritten_unless_forced(bench, run):
    (run / "report.html").write_text("<p>my notes</p>", encoding="utf-8")
    result = bench.run("report", run, "--format", "html")
    assert result.code == 2
    assert "will not be overwritten" in result.err
    assert (run / "report.html").read_text(encoding="utf-8") == "<p>my notes</p>"
    assert bench.run("report", run, "--format", "html", "--force").code == 0


def test_a_file_from_elsewhere_gets_its_report_beside_it(bench):
    folder = write_run(bench.folder / "there", small_run(), with_manifest=False)
    assert bench.run("report", folder / "spans.jsonl", "--format", "html").code == 0
    assert (folder / "spans.report.html").exists()


def test_html_can_be_piped(bench, run):
    result = bench.run("report", run, "--format", "html", "--output", "-")
    assert result.out.startswith("<!DOCTYPE html>")
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("output", TEXTS)
def test_text_goes_to_stdout_or_to_a_file(bench, run, output):
    printed = bench.run("report", run, "--format", output).out
    target = bench.folder / "kept.txt"
    result = bench.run("report", run, "--format", output, "--output", target)
    assert (result.code, result.out) == (0, "")
    assert target.read_text(encoding="utf-8") == printed


def test_a_kept_report_of_ours_is_replaced(bench, run):
    target = bench.folder / "kept"
    for output in ("markdown", "json", "html", "markdown"):
        assert bench.run("report", run, "--format", output, "--output", target).code == 0
    assert target.read_text(encoding="utf-8").startswith(MARK)


def test_a_report_may_go_to_a_device(bench, run):
    assert bench.run("report", run, "--output", "/dev/null").code == 0


@pytest.mark.parametrize("place", ["missing/folder/file", "run"])
def test_a_place_that_cannot_be_written_is_named(bench, run, place):
    result = bench.run("report", run, "--output", bench.folder / place)
    assert result.code in (2, 3)
    assert str(bench.folder / place) in result.err


def test_csv_and_parquet_are_a_folder_of_tables(bench, run):
    for output in ("csv", "parquet"):
        folder = bench.folder / output
        result = bench.run("report", run, "--format", output, "--output", folder)
        assert result.code == 0
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            f"{name}.{output}" for name in ("calls", "chains", "gaps", "repairs", "steps", "tools")
        )
    assert len(pd.read_csv(bench.folder / "csv" / "chains.csv")) == 4
    assert pq.read_table(bench.folder / "parquet" / "chains.parquet").num_rows == 4


def test_several_tables_are_no_stream(bench, run):
    result = bench.run("report", run, "--format", "csv", "--output", "-")
    assert (result.code, "--table" in result.err) == (2, True)


def test_tables_of_an_earlier_time_are_not_overwritten_unless_forced(bench, run):
    folder = bench.folder / "tables"
    assert reported(bench, run, "csv").code == 0
    (folder / "calls.csv").write_text("mine", encoding="utf-8")
    assert reported(bench, run, "csv").code == 2
    assert (folder / "calls.csv").read_text(encoding="utf-8") == "mine"
    assert reported(bench, run, "csv", "--force").code == 0


def test_one_table_as_csv_goes_to_stdout(bench, run):
    result = bench.run("report", run, "--format", "csv", "--table", "calls")
    assert list(pd.read_csv(io.StringIO(result.out))["index"]) == [1, 2, 1, 2, 3, 1, 1]


def test_one_table_as_parquet_goes_to_a_file(bench, run):
    target = bench.folder / "calls.parquet"
    assert bench.run("report", run, "--format", "parquet", "--table", "calls", "--output", target).code == 0
    assert pq.read_table(target).num_rows == 7


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_binary_never_goes_to_a_terminal(bench, run, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    result = bench.run("report", run, "--format", "parquet", "--table", "calls")
    assert result.code == 2
    assert "would garble the terminal" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "csv"], "which need a folder"),
        (["--format", "parquet"], "which need a folder"),
        (["--table", "calls"], "--table goes with --format csv or parquet"),
        (["--format", "csv", "--output", "spans-file"], "is a file, and several tables need a folder"),
        (["--format", "pdf"], "pdf"),
    ],
)
def test_what_does_not_go_together_is_refused(bench, run, arguments, said):
    (bench.folder / "spans-file").write_text("x", encoding="utf-8")
    arguments = [str(bench.folder / each) if each == "spans-file" else each for each in arguments]
    result = bench.run("report", run, *arguments)
    assert result.code == 2
    assert said in result.err


def test_all_shows_what_findings_rest_on(bench, run):
    assert "Holds if" not in bench.run("report", run).out
    assert "Holds if" in bench.run("report", run, "--all").out


# --- runs of all kinds ---------------------------------------------------------------------------------------


def one_call():
    call = {sc.OPERATION: sc.OP_CHAT, sc.REQUEST_MODEL: "m", sc.SENT_NS: 0}
    return [chain("aa", 0, 100, [Span("", "c", "root", "chat m", 0, 90, call)])]


def foreign():
    """A request's trace as instrumentation of something else leaves it: nothing of it is known to us."""
    spans = [Span("", f"s{at}", "root", "GET /", at * 10, at * 10 + 9, {"http.method": "GET"}) for at in range(5)]
    return [chain("aa", 0, 100, spans)]


KINDS = {
    "only failed chains": lambda: small_run()[2:3],
    "only warm-up": lambda: small_run()[3:],
    "one call": one_call,
    "no engine timing": lambda: small_run()[1:2],
    "nothing known": foreign,
    "no time at all": lambda: [chain("aa", 5, 5, [])],
}


@pytest.mark.parametrize("output", [*TEXTS, "html"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_made_of_every_run(bench, kind, output):
    run = write_run(bench.folder / "run", KINDS[kind]())
    result = reported(bench, run, output)
    assert result.code == 0, result.err
    if output == "json":
        assert json.loads(result.out)["format"] == "profiler-report"
    if kind == "only failed chains" and output in ("terminal", "markdown"):
        assert "0 ended well, 1 failed" in result.out
        assert "GraphRecursionError 1" in result.out
    if kind == "no engine timing" and output in ("terminal", "markdown"):
        assert "engine timing is known for 0 of" in result.out
    if kind == "nothing known" and output in ("terminal", "markdown"):
        assert "no LLM call was seen" in result.out


@pytest.mark.parametrize("name", ["genai", "openinference", "traceloop"])
def test_other_instrumentations_traces_can_be_reported(bench, name):
    file = bench.folder / f"{name}.jsonl"
    file.write_bytes((FOREIGN / file.name).read_bytes())
    assert "Where the time goes" in bench.run("report", file).out
    assert bench.run("report", file, "--format", "html").code == 0
    assert (bench.folder / f"{name}.report.html").exists()


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("with_manifest", [True, False])
def test_an_empty_run_is_told_as_such_in_every_format(bench, output, with_manifest):
    run = write_run(bench.folder / "run", [], with_manifest=with_manifest)
    result = reported(bench, run, output)
    assert result.code == 3
    assert "has no finished chain" in result.err
    assert not list(bench.folder.glob("**/report.html"))


@pytest.mark.parametrize("output", FORMATS)
def test_what_is_no_run_is_told_as_such_in_every_format(bench, output):
    (bench.folder / "spans.jsonl").write_text("{]\n{}\n", encoding="utf-8")
    result = reported(bench, bench.folder / "spans.jsonl", output)
    assert result.code == 3
    assert result.out == ""


def test_a_truncated_last_line_is_a_caveat_of_every_report(bench, run):
    with (run / "spans.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"resourceSpans": [{"sco')
    for output in TEXTS:
        assert "cut off" in bench.run("report", run, "--format", output).out.replace("\n", " ")
    bench.run("report", run, "--format", "html")
    assert "cut off" in (run / "report.html").read_text(encoding="utf-8")
