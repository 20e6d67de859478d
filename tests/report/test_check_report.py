"""What a check says to a reviewer: what is not well at the top, what is well behind a click."""

from profiler.compare.budgets import Judged
from profiler.report.check import Checked, line, render_check, value_words
from profiler.report.check_markdown import render_check_markdown
from profiler.report.check_words import Told
from profiler.stats.paired import Verdict

TOKENS = Judged("prompt_tokens", Verdict.REGRESSED, "less than 2% more", "ratio", 1.7, 1.6, 1.8)
TAIL = Judged("ttft.p99", Verdict.CANNOT_TELL, "at most 300 ms", "ns", 3e7, 2e7, None, "it takes 368")
CALLS = Judged("llm_calls.max", Verdict.NOT_REGRESSED, "at most 6", "count", 4.0)
TOLD = Told("react against sim", "12 tasks", ("step 3 prefill +180 ms",), {"prompt_tokens": "4,751 → 7,799"})


def checked(*judged, cannot_tell="pass", remarks=()):
    return Checked("candidate", "main", judged, cannot_tell, remarks, TOLD)


def test_what_regressed_is_in_the_heading_and_what_is_well_is_folded():
    shown = render_check_markdown(checked(CALLS, TAIL, TOKENS))
    assert "### 🔴 Latency: regressed (prompt\\_tokens)" in shown
    before, _, folded = shown.partition("<summary>🟢 Not regressed (1)</summary>")
    assert before.index("prompt\\_tokens | ×1.700") < before.index("ttft.p99") < before.index("step 3 prefill +180 ms")
    assert "llm\\_calls.max" in folded
    assert "llm\\_calls.max" not in before
    assert "×1.700 (1.600 to 1.800)<br>4,751 → 7,799" in before


def test_of_a_check_that_passes_nothing_is_folded_and_nothing_explained():
    shown = render_check_markdown(checked(CALLS))
    assert "### 🟢 Latency: not regressed\n" in shown
    assert "<details>" not in shown
    assert "step 3 prefill" not in shown
    assert "| why |" not in shown


def test_what_cannot_be_told_says_what_that_does():
    assert "*Cannot tell* lets this check pass" in render_check_markdown(checked(TAIL))
    assert "*Cannot tell* lets this check fail" in render_check_markdown(checked(TAIL, cannot_tell="fail"))
    assert "lets this check" not in render_check_markdown(checked(TAIL, TOKENS))


def test_a_table_stays_one_whatever_the_reasons_hold():
    odd = Judged("trajectory", Verdict.REGRESSED, "as before", "", None, reason="a | b\n<script>@someone</script>")
    shown = render_check_markdown(checked(odd, remarks=("c | d\n# heading",)))
    row = next(line for line in shown.splitlines() if "trajectory" in line and line.startswith("|"))
    assert row.replace("\\|", "").count("|") == 6
    assert "<script>" not in shown
    assert "\n# heading" not in shown


def test_an_open_interval_is_told_by_its_one_end():
    assert value_words(TAIL) == "30.0 ms (20.0 ms or more)"
    assert value_words(Judged("x", Verdict.CANNOT_TELL, "", "ns", 3e7, None, 4e7)) == "30.0 ms (40.0 ms or less)"
    assert value_words(Judged("x", Verdict.NOT_REGRESSED, "", "ratio", 1.0, 1.0, 1.0)) == "×1.000"


def test_a_terminal_is_told_where_the_time_goes_only_if_something_is_wrong():
    assert "  step 3 prefill +180 ms" in render_check(checked(TOKENS))
    assert "step 3 prefill" not in render_check(checked(CALLS))


def test_a_line_of_text_tells_what_was_measured_apart_from_what_is_allowed():
    assert line(TOKENS, checked(TOKENS)) == (
        "prompt_tokens ×1.700 (1.600 to 1.800), 4,751 → 7,799; allowed: less than 2% more"
    )
    assert line(TAIL, checked(TAIL)) == "ttft.p99 30.0 ms (20.0 ms or more); allowed: at most 300 ms; it takes 368"
    left = Judged("trajectory", Verdict.REGRESSED, "as in the script", "", None, reason="a call; b call")
    assert line(left, checked(left)) == "trajectory: a call; b call; allowed: as in the script"
    kept = Judged("trajectory", Verdict.NOT_REGRESSED, "as in the script and the baseline", "", None)
    assert line(kept, checked(kept)) == "trajectory as in the script and the baseline"
