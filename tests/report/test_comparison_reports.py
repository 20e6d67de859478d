"""A comparison in every format: the same figures, exact sums, and nothing foreign that acts."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

COMPARE = Path(__file__).parents[1] / "compare"
if str(COMPARE) not in sys.path:
    sys.path.insert(0, str(COMPARE))

from compare_inputs import MS, call, compared, gap, manifest, tables, tasks, tools  # noqa: E402

from profiler.report.check_words import tell  # noqa: E402
from profiler.report.comparison import render_comparison  # noqa: E402
from profiler.report.comparison_html import pairs_of, render_comparison_html  # noqa: E402
from profiler.report.comparison_markdown import MARK, render_comparison_markdown  # noqa: E402
from profiler.report.comparison_structured import render_comparison_json  # noqa: E402
from profiler.report.comparison_words import (  # noqa: E402
    blame_lines,
    headline,
    identity_words,
    ratio_words,
    remarks,
    signed,
    sources_words,
    title_words,
)
from profiler.stats.paired import paired_ratio  # noqa: E402

HOSTILE = "<img src=x onerror=alert(1)> `x` @everyone \x1b[31m"


def way(prefill=100, cached=920, prompt=1000, node="model"):
    return [
        call(node=node, prefill=50, decode=200, input_tokens=900, cached_tokens=800, output_tokens=21),
        gap(10),
        tools(search=50),
        call(node=node, prefill=prefill, decode=200, input_tokens=prompt, cached_tokens=cached, output_tokens=21),
    ]


@pytest.fixture(scope="module")
def slower():
    """Step 3 reads a longer prompt, of which less is cached."""
    return compared(tasks(*[way()] * 3), tasks(*[way(280, 1240, 3100)] * 3, start=60_000 * MS))


def every_text(comparison, said=()):
    return (
        render_comparison(comparison, said, title="t"),
        render_comparison_markdown(comparison, said, title="t"),
        render_comparison_json([(comparison, said)]),
    )


def test_every_format_names_the_step_the_phase_and_what_explains_it(slower):
    for text in every_text(slower):
        flat = " ".join(text.replace("\\", "").split())
        assert "step 3 (model) prefill +180 ms" in flat
        assert "prompt 1,000 → 3,100 tokens (+2,100), cache hits 92% → 40%" in flat


def test_the_headline_says_how_much_longer_and_that_the_machine_may_have_drifted(slower):
    assert headline(slower) == (
        "Chains take 30% longer: ×1.295, 610 ms → 790 ms in the mean. "
        "Measured one after the other: a part may be the machine's drift."
    )


def test_the_phases_that_make_the_difference_are_named_with_what_changed(slower):
    assert sources_words(slower) == (
        "Of the +180 ms: prefill +180 ms (prompt 1,900 → 4,000 tokens (+2,100), cache hits 91% → 51%)."
    )
    for text in every_text(slower):
        assert "Of the +180 ms: prefill +180 ms" in text


def test_a_check_explains_chains_that_are_longer_for_sure_by_phase_where_no_step_is():
    times = ((10, 15.2), (40, 60.5), (160, 241), (640, 962), (2560, 3830))
    base, longer = (tasks(*[[call(decode=pair[side])] for pair in times]) for side in (0, 1))
    found = compared(base, longer)
    assert tell(None, found).blame[0].startswith("step 1 (model) decode +340 ms")
    by_chance = replace(found, blame=tuple(replace(each, q=1.0) for each in found.blame))
    assert tell(None, by_chance).blame == ("Of the +340 ms: decode +340 ms; no single step is longer beyond chance",)
    assert tell(None, compared(base, base)).blame == ()


def test_the_end_of_an_interval_that_says_nothing_is_not_told_to_a_digit():
    wide = paired_ratio({"a": [1.0], "b": [1.0]}, {"a": [1.0], "b": [9.0]}, margin=0.05)
    assert ratio_words(wide).endswith("to above 1,000)")


def test_of_a_difference_that_may_be_chance_no_phase_is_named():
    assert sources_words(compared(tasks(way()), tasks(way(280)))) is None


def test_of_faster_chains_the_phase_that_gained_is_named():
    found = compared(tasks(*[way(280)] * 2), tasks(*[way(100)] * 2))
    assert sources_words(found) == "Of the -180 ms: prefill -180 ms."


def test_a_step_whose_ratio_alone_is_beyond_chance_shows_its_ratio():
    times = ((10, 15.2), (40, 60.5), (160, 241), (640, 962), (2560, 3830))
    base, longer = (tasks(*[[call(decode=pair[side])] for pair in times]) for side in (0, 1))
    assert "step 1 (model) decode +340 ms, ×1.508 (1.496 to 1.519): nothing" in blame_lines(compared(base, longer))[0]


def test_the_identity_is_shown_with_logarithms_that_add_up(slower):
    assert identity_words(slower) == (
        "Number of steps ×1.000 times time per step ×1.295; in logarithms 0.2586 = 0.0000 + 0.2586."
    )


def test_without_a_difference_the_smallest_one_that_would_be_found_is_told():
    base = tasks(*[[call(decode=100 + at)] for at in range(12)])
    noise = tasks(*[[call(decode=100 + at + 2 * (-1) ** at)] for at in range(12)])
    assert "No difference in chain time found" in headline(compared(base, noise))
    assert "With 12 tasks it takes a slowdown of 1.8% to be found" in headline(compared(base, noise))


def test_a_slowdown_that_only_looks_like_a_figure_is_none():
    base, other = (tasks([call(decode=10)], [call(decode=times)]) for times in (10, 1_000))
    assert "With 2 tasks hardly any slowdown would be found: it takes more." in headline(compared(base, other))


def test_of_one_task_the_headline_claims_nothing():
    found = headline(compared(tasks([call(decode=100)]), tasks([call(decode=300)])))
    assert found.endswith("of one task, so nothing tells how sure that is.")


def test_runs_without_a_common_task_are_told_and_rendered():
    found = compared(tables({"parts": way(), "task_id": "a"}), tables({"parts": way(), "task_id": "b"}))
    for text in every_text(found):
        assert "There is no task of which both runs have a chain that ended well" in text


def test_markdown_can_be_found_again_and_folds_the_steps_away(slower):
    text = render_comparison_markdown(slower, ["one", "two"], title="t")
    assert text.startswith(MARK)
    assert text.count("<details>") == text.count("</details>") == 2
    assert "Before you believe it (2)" in text
    assert "🔴" in text


def test_json_has_the_figures_and_no_private_ones(slower):
    (told,) = json.loads(render_comparison_json([(slower, ["x"])]))["comparisons"]
    assert told["remarks"] == ["x"]
    assert told["figures"][0]["name"] == "chain time"
    assert told["figures"][0]["shift"]["difference"] == 180 * MS
    assert not [name for name in told["figures"][0]["ratio"] if name.startswith("_")]
    assert told["identity"]["ln"] == [0.2586, 0.0, 0.2586]
    assert told["blame"][0]["certain"]
    assert told["steps"][-1]["row"]["position"] is None


def test_changed_trajectories_are_named_with_task_and_step():
    longer = [*way(), tools(sql=20), call(decode=100, output_tokens=9)]
    short = {"parts": way()[:3], "task_id": "task-1", "unused_script_calls": 1}
    lost = {"parts": way()[:3], "task_id": "task-2", "failed": True, "error_type": "ScriptMismatch"}
    candidate = tables({"parts": longer, "task_id": "task-0"}, short, lost)
    found = compared(tasks(way(), way(), way()), candidate)
    flat = " ".join(render_comparison(found, (), title="t", width=140).split())
    assert "the candidate asks for a call that the script lacks after step 2 (tools), in 1 task: task-2" in flat
    assert "the candidate leaves calls of the script out after step 2 (tools), in 1 task: task-1" in flat
    assert "step 4 (tools) is more than in the base, then 1 more, in 1 task: task-0" in flat
    assert "step 3 (model) is left out, in 1 task: task-1" in flat
    said = remarks(found, (None, None))
    assert any("1 of 3 chains of the candidate failed (ScriptMismatch 1)" in each for each in said)


def test_remarks_tell_of_drift_doubts_and_allowed_differences():
    found = compared(tasks(way()), tasks(way(), start=600_000 * MS))
    said = remarks(found, (manifest(suspect=["a busy machine"]), manifest(status="interrupted")))
    assert said[0].startswith("measured one after the other (10 min apart): a drift of the machine")
    assert "the base's times may be inexact: a busy machine" in said
    assert "the candidate was not ended properly (status interrupted)" in said


def test_a_title_names_both_where_they_differ():
    one, other = manifest(), manifest(agent={"name": "planner"})
    assert title_words(one, one).startswith("Comparison of react against vllm")
    assert " and planner against vllm" in title_words(one, other)


def test_signs_stand_before_units_and_nothing_is_plus_nothing():
    assert [signed(value, "ns") for value in (1.5e6, -1.5e6, 0.0)] == ["+1.50 ms", "-1.50 ms", "0"]
    assert [signed(value, "count") for value in (0.5, -2, 0, 1e-9)] == ["+0.5", "-2", "0", "0"]


def test_foreign_text_is_inert_everywhere():
    made = [tables({"parts": way(node=HOSTILE), "task_id": HOSTILE, "failed": False}) for _ in range(2)]
    slower = tables({"parts": way(280, 1240, 3100, node=HOSTILE), "task_id": HOSTILE})
    found = compared(made[0], slower)
    terminal, markdown, _ = every_text(found, [])
    assert "\x1b" not in terminal
    assert "<img" not in markdown.replace("\\<img", "")
    assert "@everyone" not in markdown
    page = render_comparison_html(found, [], pairs_of(made[0], slower), title=HOSTILE, pictures=({}, []))
    assert "<img" not in page


def test_pairs_are_the_median_chains_by_how_much_longer_the_candidate_takes():
    base = tables(*[{"parts": [call(decode=ms)], "task_id": task} for task in "ab" for ms in (10, 30, 20)])
    candidate = tables({"parts": [call(decode=20)], "task_id": "a"}, {"parts": [call(decode=80)], "task_id": "b"})
    first, second = pairs_of(base, candidate)
    assert (first.task, first.e2e_ns) == ("b", (20 * MS, 80 * MS))
    assert second.e2e_ns == (20 * MS, 20 * MS)
