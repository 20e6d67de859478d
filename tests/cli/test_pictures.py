"""Which chains the HTML report draws when not all of them fit."""

import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[1] / "report"
if str(REPORT) not in sys.path:
    sys.path.insert(0, str(REPORT))

from otlp_lines import write_run  # noqa: E402
from report_inputs import chain, explained, finding  # noqa: E402

from profiler import semconv as sc  # noqa: E402
from profiler.analysis.finding import Evidence  # noqa: E402
from profiler.analysis.tables import build_tables  # noqa: E402
from profiler.cli.pictures import pictures_of, telling_first  # noqa: E402
from profiler.store.reader import load_run  # noqa: E402


def chains(number=20):
    """Of two tasks in turn; each lasts 10 ms longer than the one before; the third failed, the fourth is warm-up."""
    return [
        chain(
            f"{at:02}",
            0,
            10 * (at + 1),
            [],
            {sc.TASK_ID: f"task {at % 2}", sc.WARMUP: at == 3},
            failed=at == 2,
        )
        for at in range(number)
    ]


def test_the_telling_ones_come_first_and_every_good_one_once():
    named = finding(evidence=(Evidence("07", None, ""), Evidence("unknown", None, "")))
    order = list(telling_first(build_tables(chains()).chains, explained([named])))
    assert order[:4] == ["19", "11", "00", "07"]
    assert order[4:9] == ["01", "18", "10", "02", "17"]
    assert sorted(order) == [f"{at:02}" for at in range(20) if at != 3]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(write_run(tmp_path_factory.mktemp("pictures") / "run", chains()))


def test_all_are_drawn_if_they_fit(run):
    drawn, _ = pictures_of(run, explained())
    assert len(drawn) == 19


def test_the_budget_is_kept_and_spent_on_the_telling_ones(run):
    drawn, _ = pictures_of(run, explained(), budget=300)
    ids = run.tables.chains.sort_values("e2e_ns")["trace_id"].tolist()
    assert 1 < len(drawn) < 19
    assert ids[-1] in drawn
