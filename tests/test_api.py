"""`profiler.load`: a recorded run as tables, typed, without weight for those who only import the package."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import profiler
from profiler.analysis.finding import Finding
from profiler.analysis.load import LOADED
from profiler.cli.report import explained
from profiler.errors import DataError
from profiler.store.reader import load_run

sys.path += [str(Path(__file__).parent / folder) for folder in ("store", "report")]
from otlp_lines import write_run
from recorded import recorded_run
from report_inputs import small_run

REPOSITORY = Path(__file__).parents[1]


def test_a_run_is_its_tables(tmp_path):
    ids = recorded_run(tmp_path)
    run = profiler.load(tmp_path)
    assert run.chains["trace_id"].tolist() == ids
    for name, types in LOADED.items():
        table = getattr(run, name)
        assert isinstance(table, pd.DataFrame)
        assert {column: str(dtype) for column, dtype in table.dtypes.items()} == dict(types)
    assert run.manifest.agent == {"name": "react"}
    assert (run.path, run.notes) == (tmp_path, [])
    assert repr(run) == f"<Run '{tmp_path}': 3 chains, 0 calls>"


def test_a_path_may_be_a_text(tmp_path):
    recorded_run(tmp_path)
    assert isinstance(profiler.load(str(tmp_path)), profiler.Run)


def test_an_explanation_covers_every_chain(tmp_path):
    recorded_run(tmp_path)
    assert profiler.load(tmp_path).explanation.summary.chains == 3


def test_what_the_manifest_knows_of_the_engine_is_used(tmp_path):
    run = write_run(tmp_path / "run", small_run(), engine={"name": "vllm", "command": ["vllm", "--block-size", "64"]})
    context = profiler.load(run).explanation.context
    assert (context.block_tokens, context.block_source) == (64, "engine")
    assert explained(load_run(run)).context == context
    (run / "run.json").unlink()
    assert profiler.load(run / "spans.jsonl").explanation.context.block_source != "engine"


def test_one_chain_is_read_when_it_is_asked_for(tmp_path):
    ids = recorded_run(tmp_path)
    run = profiler.load(tmp_path)
    assert run.trace(ids[1]).trace_id == ids[1]
    with pytest.raises(DataError, match="has no finished chain nowhere"):
        run.trace("nowhere")


def test_spans_that_changed_since_are_an_error_not_another_chain(tmp_path):
    ids = recorded_run(tmp_path)
    run = profiler.load(tmp_path)
    (tmp_path / "spans.jsonl").write_bytes(b"x" * 10_000)
    with pytest.raises(DataError, match="has changed while it was read"):
        run.trace(ids[1])


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no run at"):
        profiler.load(tmp_path / "missing")


def test_the_public_names_are_these():
    assert profiler.__all__ == ["Comparison", "Run", "__version__", "compare", "load"]
    with pytest.raises(AttributeError, match="has no attribute 'lead'"):
        profiler.lead  # noqa: B018


def test_everything_that_a_run_and_a_finding_have_is_documented():
    text = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
    names = [name for name in vars(profiler.Run) if not name.startswith("_")]
    for name in (*names, *Finding.__dataclass_fields__):
        assert re.search(rf"`{name}[`(]", text), name


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("pandas", "numpy", "pyarrow", "scipy", "pydantic", "msgspec")
    program = f"import sys, profiler; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True, cwd=REPOSITORY
    )
    assert done.stdout.strip() == "[]"
