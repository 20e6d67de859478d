"""`profiler.compare`: two recorded runs side by side as tables, refused as the command refuses them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import profiler
from profiler import compared, semconv
from profiler.errors import DataError

sys.path += [str(Path(__file__).parent / folder) for folder in ("store", "report")]
from otlp_lines import write_run
from report_inputs import chain, runs

REPOSITORY = Path(__file__).parents[1]
MS = 1_000_000
TABLES = {
    "figures": compared.OF_FIGURES,
    "phases": compared.OF_FIGURES,
    "steps": compared.OF_STEPS,
    "tasks": compared.OF_TASKS,
    "blame": compared.OF_BLAME,
    "changes": compared.OF_CHANGES,
    "off_script": compared.OFF_SCRIPT,
    "differences": compared.DIFFERENCES,
}


def traces(prefix, *, longer=0, start=0, output=11, steps=1):
    """A chain for each of three tasks: one call in each step, `longer` ms longer in all."""
    found = []
    for number in range(3):
        begin, spans = start + 5000 * number, []
        for step in range(1, steps + 1):
            told = {semconv.CALL_ORDINAL: step, semconv.CALL_ATTEMPT: 1}
            tokens = {semconv.INPUT_TOKENS: 100, semconv.OUTPUT_TOKENS: output}
            at = 10 + (400 + longer) * (step - 1)
            spans.append(runs._step(f"s{step}", at, at + 390 + longer, "model", step))
            spans.append(runs._call(f"c{step}", at + 10, at + 380 + longer, f"s{step}", {**told, **tokens}))
        end = begin + 100 + (400 + longer) * steps
        found.append(chain(f"{prefix}{number}", begin, end, spans, {semconv.TASK_ID: f"t{number}"}))
    return found


@pytest.fixture
def base(tmp_path):
    return write_run(tmp_path / "base", traces("a"))


@pytest.fixture
def slower(tmp_path):
    return write_run(tmp_path / "slower", traces("b", longer=100, start=100_000, output=21))


def test_a_slower_run_is_told_in_figures_and_in_words(base, slower):
    found = profiler.compare(base, slower)
    assert isinstance(found, profiler.Comparison)
    assert found.ratio == pytest.approx(1.2)
    assert found.low == pytest.approx(1.2)
    assert found.high == pytest.approx(1.2)
    assert found.smallest_effect == 1
    assert found.headline.startswith("Chains take 20% longer: ×1.200")
    assert found.sources == "Of the +100 ms: unaccounted +100 ms."
    assert not found.interleaved
    assert any(each.startswith("measured one after the other") for each in found.remarks)
    assert repr(found) == f"<Comparison of {str(base)!r} and {str(slower)!r}: {found.headline}>"


def test_every_table_has_its_columns_also_without_a_row(base, slower):
    found = profiler.compare(base, slower)
    for name, types in TABLES.items():
        table = getattr(found, name)
        assert isinstance(table, pd.DataFrame)
        assert {column: str(dtype) for column, dtype in table.dtypes.items()} == dict(types), name
    assert found.changes.empty
    assert found.off_script.empty


def test_tables_hold_what_the_json_holds(base, slower):
    found = profiler.compare(base, slower)
    (told,) = json.loads(found.render("json"))["comparisons"]
    assert found.figures["name"].tolist() == [each["name"] for each in told["figures"]]
    assert found.figures["difference"].tolist() == [each["shift"]["difference"] for each in told["figures"]]
    assert found.phases["difference"].sum() == found.figures["difference"].iloc[0] == 100 * MS
    assert found.steps["difference_ns"].tolist() == [100 * MS, 0]
    assert found.steps["position"].isna().tolist() == [False, True]
    first = found.blame.iloc[0]
    assert (first["step"], first["phase"], first["difference_ns"]) == ("model", "unaccounted", 100 * MS)
    assert first["words"] == told["blame"][0]["words"]
    assert first["base_trace_id"] in set(profiler.load(base).chains["trace_id"])


def test_tasks_stand_by_how_much_slower_they_became(tmp_path, base):
    uneven = traces("b", start=100_000)
    uneven[1] = traces("b", longer=250, start=100_000)[1]
    found = profiler.compare(base, write_run(tmp_path / "uneven", uneven)).tasks
    assert found["task_id"].tolist() == ["t1", "t0", "t2"]
    assert found["ratio"].tolist() == pytest.approx([1.5, 1, 1])
    assert found["difference_ns"].tolist() == [250 * MS, 0, 0]
    assert found["base_chains"].tolist() == [1, 1, 1]


def test_a_step_more_is_a_change_with_its_place(tmp_path, base):
    found = profiler.compare(base, write_run(tmp_path / "longer", traces("b", steps=2, start=100_000)))
    assert found.changes[["task_id", "what", "position", "chains"]].to_numpy().tolist() == [
        [f"t{number}", "more", 2, 1] for number in range(3)
    ]
    assert found.change_lines == ["step 2 (model) is more than in the base, in 3 tasks: t0, t1, t2"]
    assert found.tasks["candidate_steps"].tolist() == [2, 2, 2]


def test_a_loaded_run_and_its_path_are_one(base, slower):
    of_paths = profiler.compare(str(base), slower)
    of_runs = profiler.compare(profiler.load(base), profiler.load(slower, cache=False))
    assert of_paths.render() == of_runs.render()
    assert of_runs.render("markdown").startswith("<!-- agent-chain-profiler comparison -->")
    with pytest.raises(ValueError, match="'html' is none of terminal, markdown, json"):
        of_runs.render("html")


def test_runs_that_differ_in_more_are_refused_and_the_error_says_how_to_compare_them_all_the_same(tmp_path, base):
    flags, host = {"concurrency": 8}, {"cpu": "another"}
    other = write_run(tmp_path / "other", traces("b"), flags=flags, host=host)
    with pytest.raises(DataError, match="they differ in more than what was changed") as refused:
        profiler.compare(base, other)
    assert "host: processor unknown → another" in refused.value.__notes__[0]
    assert 'allow="flags,host"' in refused.value.__notes__[1]
    for allowed in ("flags,host", ["flags", "host"]):
        assert profiler.compare(base, other, allow=allowed).differences["kind"].tolist() == ["flags", "host"]


def test_what_is_no_kind_of_difference_is_an_error_with_the_near_one(base, slower):
    with pytest.raises(ValueError, match=r"'hosts' is none of .*; did you mean 'host'\?"):
        profiler.compare(base, slower, allow=["hosts"])


def test_a_run_beside_itself_is_refused(base):
    with pytest.raises(DataError, match="they are the same run"):
        profiler.compare(base, profiler.load(base))


def test_no_run_is_an_error(base, tmp_path):
    with pytest.raises(DataError, match="no run at"):
        profiler.compare(base, tmp_path / "missing")


def test_everything_that_a_comparison_has_is_documented():
    text = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
    columns = [column for types in TABLES.values() for column in types]
    for name in {*(name for name in vars(profiler.Comparison) if not name.startswith("_")), *columns}:
        assert re.search(rf"`{name}[`(]", text), name


def test_the_example_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "traces").mkdir()
    write_run(tmp_path / "traces" / "main", traces("a"))
    write_run(tmp_path / "traces" / "branch", traces("b", longer=10, start=100_000))
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    exec(compile(example, "docs/python.md", "exec"), {})
    assert "Chains take 2.0% longer" in capsys.readouterr().out


@pytest.mark.parametrize("first", ["profiler", "profiler.compare.comparison", "profiler.cli.compare"])
def test_the_function_is_not_hidden_by_the_package_of_its_name(first):
    program = f"import {first}, profiler, profiler.compare.rows; print(type(profiler.compare).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True, cwd=REPOSITORY
    )
    assert done.stdout.strip() == "function"
