"""The comparison's page in a real browser: it draws itself, and both waterfalls move as one."""

import sys
from pathlib import Path

import pytest

COMPARE = Path(__file__).parents[1] / "compare"
for folder in (COMPARE, Path(__file__).parents[1] / "analysis"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import runs  # noqa: E402
from compare_inputs import manifest  # noqa: E402

from profiler import semconv as sc  # noqa: E402
from profiler.analysis.tables import build_tables  # noqa: E402
from profiler.compare.comparison import Recorded, compare  # noqa: E402
from profiler.report.comparison_html import pairs_of, render_comparison_html  # noqa: E402
from profiler.report.distributions import facts_of  # noqa: E402
from profiler.report.picture import Packer, picture  # noqa: E402


def traces(prefix, longer):
    return [
        runs.chain(
            f"{prefix}{number}",
            0,
            500 + longer,
            [
                runs._step("s1", 10, 400 + longer, "model", 1),
                runs._call("c1", 20, 390 + longer, "s1", {sc.INPUT_TOKENS: 100, sc.OUTPUT_TOKENS: 9}),
            ],
            {sc.TASK_ID: f"task {number}"},
        )
        for number in (1, 2)
    ]


@pytest.fixture
def page(browser, tmp_path):
    sides = [traces("a", 0), traces("b", 300)]
    tables = [build_tables(side) for side in sides]
    found = compare(*(Recorded(name, each, manifest()) for name, each in zip(("base", "new"), tables, strict=True)))
    packer = Packer()
    drawn = {
        trace.trace_id: packer.pack(picture(trace, facts_of(each.calls, each.tools)))
        for side, each in zip(sides, tables, strict=True)
        for trace in side
    }
    text = render_comparison_html(
        found, ["beware"], pairs_of(*tables), title="two runs", pictures=(drawn, packer.names)
    )
    path = tmp_path / "comparison.html"
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    yield browser
    assert browser.complaints == []
    assert len(browser.requests) == 1


def test_it_draws_a_chain_of_each_run_on_one_scale(page):
    statuses = "[...document.querySelectorAll('.waterfall')].length"
    assert page.run(statuses) == 2
    width = "Number(document.querySelector('#{}-row-1 rect[fill]').getAttribute('width'))"
    base, candidate = (page.run(width.format(f"wf-{side}")) for side in ("base", "candidate"))
    assert candidate / base == pytest.approx(670 / 370, rel=0.02)
    assert page.run("document.querySelector('aside li').textContent") == "beware"


def test_the_verdict_and_what_is_beyond_chance_are_marked_in_words_and_not_in_colour_alone(page):
    assert page.run("document.querySelector('.verdict.longer strong').textContent").startswith(
        "▲ Chains take 60% longer"
    )
    ratios = page.run("[...document.querySelectorAll('#figures td span')].map((each) => each.textContent)")
    assert ratios[0] == "▲ ×1.600"
    assert page.run("document.querySelector('#blame li').textContent").startswith("step 1 (model) unaccounted +300 ms")


def test_what_explains_comes_before_caveats_and_pictures(page):
    parts = page.run("[...document.querySelectorAll('main > *')].map((each) => each.id || each.className)")
    assert parts == ["blame", "caveats", "chains", "figures", "steps"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_is_no_wider_than_its_window(page, scheme):
    page.size(360, 800)
    page.prefer(scheme)
    assert page.run("document.documentElement.scrollWidth") == 360
    assert page.run("[...document.querySelectorAll('.paired')].every((each) => each.scrollWidth <= each.clientWidth)")


def test_a_row_of_either_chain_is_told_below_both(page):
    told = "[...document.querySelectorAll('#chains .detail')].map((each) => each.textContent)"
    assert page.run(told) == ["Base: point at a row.", "Candidate: point at a row."]
    page.click("#wf-candidate-row-1 .wf-hit")
    assert "Candidate: " in page.run(told)[1]
    assert "670 ms" in page.run(told)[1]


def test_zooming_one_zooms_the_other(page):
    tick = "[...document.querySelectorAll('#chain-{} .wf-time')].map((each) => each.textContent).join()"
    page.click("button[title='Zoom in']")
    base, candidate = (page.run(tick.format(side)) for side in ("base", "candidate"))
    assert base == candidate
    assert base
    assert "of 800 ms" in page.run("document.querySelector('.wf-status').textContent")
