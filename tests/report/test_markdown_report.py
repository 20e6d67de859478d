"""The report for a pull request."""

import re

import pytest
from report_inputs import chain, explained, finding, manifest, report_markdown, small_run

from profiler import semconv as sc
from profiler.report.markdown import MARK, inert, render_markdown


def rendered(told, **more):
    return render_markdown(told, manifest(), [], source="x", **more)


def test_it_begins_with_a_mark_and_the_title():
    lines = report_markdown(small_run(), manifest()).splitlines()
    assert lines[0] == MARK
    assert lines[1] == "### react against vllm 0.25 on cpu, model tiny"


def test_findings_come_before_the_phases():
    text = rendered(explained([finding()]))
    assert text.index("1. **The chain waits 100 ms for tool search.** (gain 90.0 ms per chain (10%))") < text.index(
        "| phase |"
    )
    assert "   → step 2 (tools): Make it faster." in text


def test_more_findings_and_their_grounds_are_shown_when_asked_for():
    told = explained([finding(number) for number in range(1, 8)])
    assert "and 2 more (`--all`)" in rendered(told)
    assert "700 ms for" not in rendered(told)
    assert "700 ms for" in rendered(told, everything=True)
    assert "Holds if: nothing else takes its place." in rendered(told, everything=True)


def test_phases_that_took_time_are_a_table_that_sums():
    text = report_markdown(small_run(), manifest())
    assert "| decode | 11% | 100 ms |" in text
    assert "| **sum** | 100% | 900 ms |" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head():
    lines = report_markdown(small_run(), manifest()).splitlines()
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]
    assert set(cells) == {4, 12}


def test_steps_and_caveats_are_folded_away():
    text = report_markdown(small_run(), manifest())
    assert text.count("<details>") == text.count("</details>") == 2
    assert "<summary>Caveats (4)</summary>" in text


@pytest.mark.parametrize("traces", [[], small_run()[2:], small_run()[3:]])
def test_without_a_good_chain_it_says_so(traces):
    text = report_markdown(traces, manifest())
    assert "**Chains**: 0 ended well" in text
    assert "| phase |" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[x](http://e.org)", r"\[x\](http:<!-- -->//e.org)"),
        ("@somebody", "@<!-- -->somebody"),
        ("fixes #12", r"fixes \#<!-- -->12"),
        ("`code` *b* _i_ ~s~", r"\`code\` \*b\* \_i\_ \~s\~"),
        ("a\nb", "a b"),
        ("&amp;", r"\&amp;"),
        ("$x$", r"\$x\$"),
        ("\x1b[31m", r" \[31m"),
    ],
)
def test_foreign_text_stays_text(text, shown):
    assert inert(text) == shown


def test_names_in_a_table_cannot_break_it():
    text = report_markdown([chain("aa", 0, 10, [], {sc.TASK_ID: "|"})], manifest(agent={"name": "a|b\n### c"}))
    assert "\n### c" not in text
    assert r"### a\|b \#<!-- -->\#<!-- -->\#<!-- --> c" in text
