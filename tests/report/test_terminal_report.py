"""The report on a terminal: what it says, at any width, whatever the names in it are made of."""

import dataclasses
import functools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_inputs import chain, explained, explanation_of, finding, manifest, report_text, small_run, summary_of
from rich.cells import cell_len
from rich.text import Text

from profiler import semconv as sc
from profiler.analysis.compounding import Compounding
from profiler.analysis.explain import OnPath
from profiler.analysis.model import Span
from profiler.analysis.queues import Busy
from profiler.report.caveats import caveats
from profiler.report.markdown import render_markdown
from profiler.report.terminal import compounding_sentence, head_lines, render

MS = 1_000_000


def flat(text):
    return " ".join(text.split())


def named_run(name, *, failed=False):
    """A chain in which everything that has a name has this one."""
    spans = [
        Span("", "s", "root", name, 0, 90, {sc.STEP_NODE: name, sc.STEP_NUMBER: 1, sc.STEP_PLACE: name}),
        Span(
            "",
            "c",
            "s",
            name,
            0,
            80,
            {
                sc.OPERATION: sc.OP_CHAT,
                sc.REQUEST_MODEL: name,
                sc.REQUEST_STREAM: True,
                sc.CALL_PLACE: name,
                sc.CALL_ORDINAL: 1,
                sc.OUTPUT_TOKENS: 5,
                sc.ENGINE_SOURCE: name,
            },
        ),
        Span("", "x", "root", name, 90, 95, {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: name}),
    ]
    return chain("aa", 0, 100, spans, {sc.TASK_ID: name, sc.ERROR_TYPE: name}, failed=failed)


def test_the_report_reads_as_expected():
    told = explained([finding()])
    assert render(told, manifest(), caveats(told.summary, manifest(), []), source="x", width=110) == GOLDEN


GOLDEN = """\
react against vllm 0.25 on cpu, model tiny
Trajectory  free: the model decides what happens
Chains      2 ended well, 1 failed, 1 for warm-up left out
End to end  p50 900 ms [no interval below 6 chains]   p95 990 ms [95%: above 800 ms; an upper bound takes 72]
LLM calls   2.5 per chain (2 to 3)
Joined      engine timing for 1 of 4 calls (25%) from vllm.metrics

Findings
#     gain  of chain  what it is, and what to do
1  90.0 ms       10%  The chain waits 100 ms for tool search.
                      Step 2 (tools): Make it faster.

Where the time goes
phase        share  per chain
framework      12%     105 ms  ██████
client        0.6%    5.00 ms
queue         1.1%    10.0 ms  █
prefill       3.3%    30.0 ms  ██
decode         11%     100 ms  █████
delivery      4.4%    40.0 ms  ██
tool          5.0%    45.0 ms  ██
retry         5.6%    50.0 ms  ███
unaccounted    57%     515 ms  ████████████████████████████
sum           100%     900 ms  = end to end, exactly

Steps (medians over the chains that get there; rows with fewer chains are other chains, so columns need not
grow)
#  node                 chains  prompt  growth  cached  output     TTFT     TPOT    time  share  cumulative
1  model                     2     100              0%      16  75.0 ms  20.0 ms  345 ms    38%      350 ms
2  model                     1     130     +30       —       —        —        —  400 ms    22%      700 ms
2  tools                     1                                                    100 ms   5.6%      500 ms
3  model                     1     160     +60     60%       1   200 ms        —  450 ms    25%      950 ms
   outside these steps                                                                     8.9%

Slowest call: step 3 (model) of task t1: 430 ms (first token after 200 ms, 1 token)
  trace aa, span c2
How delays compound: 100 ms more on every LLM call makes a chain 200 ms slower (2 calls in a row).

! 1 chain failed (GraphRecursionError 1) and is in no figure
! 1 call failed inside chains that ended well
! 1 of 4 calls did not stream: they have no first token to observe (--stream makes the profiler stream on the
agent's behalf)
! engine timing is known for 1 of 4 calls: the waiting in the others is unaccounted (of 515 ms per chain 125
ms until first tokens, 70.0 ms from first to last ones)
"""


def test_the_title_names_agent_engine_and_load():
    run = manifest(flags={"concurrency": 4}, engine={"name": "vllm", "model": "m"})
    assert report_text(small_run(), run).splitlines()[0] == "react against vllm, model m, 4 chains at once"


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"server": "vllm", "profile": "cpu-tiny"}, "the embedded engine, profile cpu-tiny"),
        ({"server": "vllm"}, "the embedded engine"),
        ({"server": "tgi"}, "the embedded engine speaking TGI's protocol"),
        ({"server": "ollama", "profile": "p"}, "the embedded engine speaking Ollama's protocol, profile p"),
    ],
)
def test_the_title_tells_what_the_embedded_engine_plays(facts, told):
    run = manifest(engine={"name": "sim", "simulated": True, **facts})
    assert report_text(small_run(), run).splitlines()[0] == f"react against {told}: simulated times"


def engine_line(**seen):
    busy = Busy(**{"calls": 4, "running": 0, "waiting": 0, "kv_cache_usage": 0.0, "preempted_calls": 0, **seen})
    return dict(head_lines(dataclasses.replace(summary_of(small_run()), busy=busy))).get("Engine")


def test_samples_that_saw_nothing_running_are_not_told():
    assert engine_line() is None
    assert engine_line(waiting=2).startswith("at most 2 waiting, ")
    assert engine_line(running=1).startswith("at most 1 running, 0 waiting, ")


def test_without_a_manifest_the_title_names_the_file():
    assert report_text(small_run(), source="spans.jsonl").splitlines()[0] == "Chains in spans.jsonl"


def test_many_chains_have_both_bounds():
    text = report_text([chain(f"{number:032x}", 0, 1000, []) for number in range(72)])
    assert "p50 1.00 s [95%: 1.00 s to 1.00 s]   p95 1.00 s [95%: 1.00 s to 1.00 s]" in text


@pytest.mark.parametrize("traces", [[], small_run()[2:], small_run()[3:]], ids=["none", "failed", "warm-up"])
def test_without_a_good_chain_there_is_a_head_and_no_table(traces):
    text = report_text(traces, manifest())
    assert "Chains      0 ended well" in text
    for absent in ("End to end", "Findings", "Where the time goes", "Steps", "Slowest", "How delays compound"):
        assert absent not in text


def test_a_chain_without_calls_can_be_reported():
    text = report_text([chain("aa", 0, 10, [])])
    assert "LLM calls   0 per chain" in text
    assert "engine timing for 0 of 0 calls (0%)" in text
    assert "Slowest" not in text


def test_compounding_is_said_in_one_sentence():
    assert compounding_sentence(Compounding(3.0, 412.0)) == (
        "How delays compound: 100 ms more on every LLM call makes a chain 300 ms slower (3 calls in a row); "
        "1 ms more per token, 412 ms (412 tokens, each call's first left out)."
    )


def test_half_a_token_is_rounded_up():
    assert "(119 tokens," in compounding_sentence(Compounding(3.0, 118.5))


@pytest.mark.parametrize("width", [1, 60, 70, 80, 92, 110, 140, 300])
def test_no_line_is_wider_than_the_terminal(width):
    text = report_text(small_run(), manifest(), width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= max(width, 60)


@pytest.mark.parametrize("width", [60, 70, 80, 92, 110, 140])
def test_no_figure_is_cut_off_at_any_width(width):
    text = report_text(small_run(), manifest(), width=width)
    assert "…" not in text
    figures = ("430 ms", "+30", "+60", "60%", "20.0 ms", "75.0 ms", "345 ms", "950 ms", "unaccounted", "cumulative")
    assert all(figure in text for figure in figures)


def test_colour_changes_nothing_but_escape_codes():
    plain = report_text(small_run(), manifest())
    coloured = report_text(small_run(), manifest(), color=True)
    assert "\x1b[" not in plain
    assert "\x1b[1m" in coloured
    stripped = [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", coloured).splitlines()]
    assert stripped == plain.splitlines()


HOSTILE = [
    "[bold]x[/bold]",
    "[/]",
    "[link=https://example.org]x[/link]",
    "[red",
    "\\[bold]",
    "x\\",
    ":bug:",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;https://example.org\x1b\\x",
    "\x9b31m",
    "a\r\nb\x0bc\x0cd",
    "a\u2028b\u2029c\x85d",
    "\u202egnp",
    "\ud800",
    "",
]


def both_reports(name):
    """Good and failed chains in which everything has one name: with a manifest, and as a file of that name."""
    told = explanation_of([named_run(name), named_run(name, failed=True)])
    engine = dict.fromkeys(("name", "version", "device", "model"), name)
    run = manifest(status="failed", error=name, agent={"name": name}, engine=engine)
    return [
        render(told, given_run, caveats(told.summary, given_run, [name]), source=name, width=400, everything=True)
        for given_run in (run, None)
    ]


@functools.cache
def harmless_lines(name):
    return [len(text.splitlines()) for text in both_reports(name)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_takes_no_effect_wherever_it_stands(name):
    texts = both_reports(name)
    for text in texts:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]", text)
        text.encode()
    assert [len(text.splitlines()) for text in texts] == harmless_lines("x" if name else "")


@pytest.mark.parametrize("name", ["[bold]x[/bold]", "[/]", "[red", "\\[bold]", "x\\", ":bug:", "[link=x]y[/link]"])
def test_markup_in_a_name_is_shown_as_it_is(name):
    good = report_text([named_run(name)], width=140)
    assert f"step 1 ({name}) of task {name}:" in good
    assert f"1  {name}" in good
    assert f"from {name}" in good
    failed = report_text([named_run(name, failed=True)], notes=[f"note {name}"], source=name, width=140)
    assert f"Chains in {name}\n" in failed
    assert f"({name} 1)" in failed
    assert f"! note {name}\n" in failed


@settings(max_examples=4, deadline=None)
@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=60), st.sampled_from([60, 80, 140]))
def test_any_name_can_be_reported_at_any_width(name, width):
    text = report_text([named_run(name)], notes=[name], source=name, width=width)
    assert max(Text(line).cell_len for line in text.splitlines()) <= width
    assert "\x1b" not in text


def test_a_long_name_is_cut_and_says_so():
    text = report_text([named_run("n" * 500)], width=140)
    assert "n" * 39 + "…" in text
    assert "n" * 400 not in flat(text)


def test_the_renderer_returns_text_and_prints_nothing(capsys):
    assert isinstance(render(explanation_of(small_run()), None, [], source="x"), str)
    assert capsys.readouterr() == ("", "")


def rendered(told, **look):
    return render(told, None, [], source="x", **{"width": 110, **look})


def test_five_findings_are_shown_and_the_rest_when_asked_for():
    told = explained([finding(number) for number in range(1, 8)])
    text = rendered(told)
    assert "5  90.0 ms       10%  The chain waits 500 ms for tool search." in text
    assert "600 ms for tool search" not in text
    assert "and 2 more with --all" in text
    assert "(gains overlap: they do not add up)" in text
    everything = rendered(told, everything=True)
    assert "700 ms for tool search" in everything
    assert "with --all" not in everything


def test_with_everything_a_finding_tells_its_grounds_condition_and_evidence():
    text = rendered(explained([finding()]), everything=True)
    for part in (
        "Its drag",
        "Holds if: nothing else takes its place",
        "See trace aa, span t1: 45.0 ms",
        "See trace not drawn",
    ):
        assert part in text
    assert "Its drag" not in rendered(explained([finding()]))


def test_a_finding_whose_gain_cannot_be_told_has_none():
    text = rendered(explained([finding(gain_ns=None, share=None)]))
    assert re.search(r"1 +— +— +The chain waits", text)


def test_the_place_is_not_said_twice():
    assert "Tool search: Make" not in rendered(explained([finding(where="tool search")]))


def test_without_findings_it_is_said_that_none_stands_out():
    assert "no single cause stands out of the noise" in rendered(explained())


def on_path(**changes):
    facts = {"position": 2, "name": "search", "kind": "one tool", "chains": 2, "share": 0.83, "path_ns": 60e6}
    return OnPath(**{**facts, "drag_ns": 50e6, "slack_ns": 0.0, **changes})


def test_what_chains_wait_for_only_sometimes_is_told():
    text = flat(rendered(explained(on_path=(on_path(chains=6), on_path(name="model", share=1.0)))))
    assert (
        "Step 2's search is on the critical path in 5 of the 6 chains that run it: without it they would gain 50.0 ms"
        in text
    )
    assert "Step 2's model" not in text


def test_what_is_never_waited_for_is_told_with_its_slack():
    text = flat(rendered(explained(on_path=(on_path(share=0.0, drag_ns=0.0, slack_ns=7e6),))))
    assert (
        "Never what the chains wait for (and how much longer it may take for free): step 2's search (7.00 ms)" in text
    )


def test_of_many_that_are_never_waited_for_some_are_named():
    rows = tuple(on_path(position=at, share=0.0, slack_ns=7e6) for at in range(9))
    assert "step 4's search (7.00 ms) and 4 others" in flat(rendered(explained(on_path=rows)))


def test_a_chain_without_a_task_has_no_empty_name():
    text = report_text(
        [chain("aa", 0, 10, [Span("", "c", "root", "c", 0, 9, {sc.OPERATION: sc.OP_CHAT})], {sc.TASK_ID: ""})]
    )
    assert "Slowest call: call 1: 9.00 ms" in text


def test_places_with_next_to_nothing_to_gain_are_not_worth_a_line():
    assert "critical path in" not in rendered(explained(on_path=(on_path(drag_ns=1e5),)))


@pytest.mark.parametrize("width", [60, 80, 110])
def test_findings_fit_into_any_width(width):
    long = finding(title="word " * 60, remedy="remedy " * 40, where="w" * 200)
    told = explained([long, finding(2)], on_path=(on_path(name="n" * 300),))
    assert max(cell_len(line) for line in rendered(told, width=width, everything=True).splitlines()) <= width


COST = {
    "calls": 12,
    "chunks": 400,
    "chains": 2,
    "spans": 46,
    "per_call_us": 61.04,
    "per_chunk_us": 6.2,
    "per_chain_us": 1100.0,
    "deliver_us": 300.0,
    "spans_per_second": 23_000,
    "memory_per_chain_bytes": 4100,
}


def going_round(rows):
    told = explained()
    steps = [dataclasses.replace(told.summary.steps[0], position=at, share=1 / rows) for at in range(1, rows + 1)]
    return dataclasses.replace(told, summary=dataclasses.replace(told.summary, steps=steps))


def test_of_thousands_of_steps_the_middle_is_counted_with_its_share():
    text = rendered(going_round(5000))
    assert "60 of 5,000 rows: --format json has all" in flat(text)
    assert re.search(r"^ +50 .*\n +… +4,940 more rows +99%\n4991 ", text, re.MULTILINE)
    markdown = render_markdown(going_round(5000), None, [], source="here")
    assert "| … | 4,940 more rows |" in markdown
    assert len(markdown) < 20_000


def test_sixty_steps_are_all_there():
    assert "more rows" not in rendered(going_round(60))


def test_a_report_ends_with_what_recording_cost():
    last = report_text(small_run(), manifest(recording_cost=COST)).splitlines()[-2:]
    assert flat(" ".join(last)).endswith(
        "Recording cost 61.0 µs per call, 6.20 µs per streamed chunk, 1.10 ms per chain with all of them "
        "(0.1% of the chains' time); memory +4.10 kB per chain; 23,000 spans/s"
    )


def test_what_recording_did_not_measure_is_left_out():
    rare = {**COST, "per_chunk_us": None, "memory_per_chain_bytes": None, "spans_per_second": None}
    text = report_text(small_run(), manifest(recording_cost=rare))
    assert "Recording cost  61.0 µs per call, 1.10 ms per chain" in text
    assert "chunk," not in text
    assert "memory" not in text


def test_a_run_that_measured_no_cost_says_nothing_of_it():
    assert "Recording cost" not in report_text(small_run(), manifest())
