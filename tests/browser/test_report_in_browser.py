"""The HTML report in a real browser: it draws itself without a complaint, answers to pointer and keys, and shows
hostile text as text.
"""

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from report_inputs import chain, explained, finding, manifest, report_page, small_run

from profiler import semconv as sc
from profiler.analysis.explain import explain
from profiler.analysis.finding import Evidence
from profiler.analysis.model import Span
from profiler.analysis.tables import build_tables
from profiler.report.distributions import facts_of
from profiler.report.html import render_html
from profiler.report.picture import Packer, picture

REPOSITORY = Path(__file__).parents[2]
MS = 1_000_000


def chains(number=12):
    """Chains of a call, two tools side by side and a call; each is slower than the one before."""
    return [_one(at) for at in range(number)]


def _one(at):
    longer = 20 * at
    call = {
        sc.OPERATION: sc.OP_CHAT,
        sc.REQUEST_MODEL: "m",
        sc.REQUEST_STREAM: True,
        sc.SENT_NS: MS,
        sc.CALL_PLACE: "model",
    }
    call |= {sc.INPUT_TOKENS: 100 + at, sc.CACHED_TOKENS: 64, sc.OUTPUT_TOKENS: 9, sc.CHUNK_TIMES_US: (9_000, 50_000)}
    call |= {sc.ENGINE_SOURCE: "vllm.metrics"}
    tool = {sc.OPERATION: sc.OP_EXECUTE_TOOL}
    step = {sc.STEP_PLACE: "x", sc.STEP_NUMBER: 1}
    spans = [
        Span("", "s1", "root", "step model", 0, 100 + longer, {**step, sc.STEP_NODE: "model"}),
        Span("", "c1", "s1", "chat m", 1, 99 + longer, {**call, sc.CALL_ORDINAL: 1, sc.OUTPUT_MESSAGES: ANSWER}),
        Span("", "p1", "c1", "prefill", 5, 40, {sc.PHASE: "prefill"}),
        Span("", "d1", "c1", "decode", 40, 90 + longer, {sc.PHASE: "decode"}),
        Span("", "s2", "root", "step tools", 100 + longer, 200 + longer, {**step, sc.STEP_NODE: "tools"}),
        Span("", "t1", "s2", "search", 101 + longer, 199 + longer, {**tool, sc.TOOL_NAME: "search"}),
        Span("", "t2", "s2", "sql", 101 + longer, 150 + longer, {**tool, sc.TOOL_NAME: "sql"}),
        Span("", "s3", "root", "step model", 200 + longer, 400 + longer, {**step, sc.STEP_NODE: "model"}),
        Span("", "c3", "s3", "chat m", 201 + longer, 399 + longer, {**call, sc.CALL_ORDINAL: 2}),
    ]
    return chain(f"{at:032x}", 1000 * at, 1000 * at + 400 + longer, spans, {sc.TASK_ID: f"task {at % 3}", sc.REPEAT: 1})


ANSWER = json.dumps([{"role": "assistant", "content": "The answer is forty-two."}])


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report whose findings have evidence in one of the chains."""
    traces = chains()
    tables, packer = build_tables(traces), Packer()
    facts = facts_of(tables.calls, tables.tools)
    pictures = {trace.trace_id: packer.pack(picture(trace, facts)) for trace in traces}
    told = explain(tables)
    named = finding(evidence=(Evidence(f"{3:032x}", "t1", "98 ms"),))
    told = dataclasses.replace(told, findings=(named, *told.findings))
    path = tmp_path_factory.mktemp("page") / "report.html"
    text = render_html(told, tables, manifest(), ["one caveat"], source="x", pictures=(pictures, packer.names))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def page(browser, page_file):
    browser.open(page_file)
    browser.run("localStorage.clear()")
    browser.open(page_file)
    yield browser
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("file:")] == []


def picked(page):
    return page.run("document.querySelector('.chain-name').firstChild.textContent")


def shown_time(page):
    return page.run("document.querySelector('.wf-status').textContent")


def test_it_draws_every_part(page):
    parts = page.run("[...document.querySelectorAll('main > section')].map(part => part.id)")
    assert parts[0] == "findings"
    for part in (
        "phases",
        "chain",
        "steps",
        "on-path",
        "distributions",
        "growth",
        "compounding",
        "tails",
        "call",
        "about",
    ):
        assert part in parts


def test_every_chart_is_drawn_as_svg_and_has_its_numbers_as_a_table(page):
    assert page.run("document.querySelectorAll('.chart').length") >= 7
    assert page.run(
        "[...document.querySelectorAll('.chart')].every(box => box.querySelectorAll('svg path').length > 3)"
    )
    assert page.run("[...document.querySelectorAll('.chart')].every(box => box.getAttribute('aria-label'))")
    assert page.run(
        "[...document.querySelectorAll('section')].filter(part => part.querySelector('.chart'))"
        ".every(part => part.querySelector('details.numbers table tbody tr'))"
    )


def test_figures_read_as_in_the_terminal_report(page):
    tiles = page.run("[...document.querySelectorAll('.tile-value')].map(tile => tile.textContent)")
    assert tiles[:2] == ["12", "510 ms"]


def test_the_slowest_chain_is_picked_at_first(page):
    assert picked(page) == "task 2: 620 ms"


def test_a_click_picks_a_chain(page):
    page.click(".option[data-id$='05']")
    assert picked(page) == "task 2: 500 ms"
    assert page.run("document.querySelector('.option.selected').dataset.id") == f"{5:032x}"


@pytest.mark.parametrize(("button", "time"), [(1, "620 ms"), (2, "520 ms"), (3, "400 ms")])
def test_slowest_median_and_fastest_are_one_click_away(page, button, time):
    page.click(f".quick button:nth-child({button})")
    assert picked(page).endswith(time)


def test_arrow_keys_walk_through_the_chains(page):
    page.run("document.querySelector('.options').focus()")
    page.key("ArrowDown")
    page.key("ArrowDown")
    assert picked(page).endswith("580 ms")
    page.key("End")
    assert picked(page).endswith("400 ms")


def test_brackets_walk_from_anywhere_and_a_slash_searches(page):
    page.key("]")
    assert picked(page).endswith("600 ms")
    page.key("[")
    assert picked(page).endswith("620 ms")
    page.key("/")
    for letter in "task 1":
        page.key(letter)
    assert page.run("document.activeElement.id") == "chain-search"
    assert page.run("document.querySelectorAll('.option').length") == 4


def test_the_list_follows_the_picked_chain(page):
    page.size(700, 800)
    page.click(".quick button:nth-child(3)")
    assert page.run(
        "(() => { const list = document.querySelector('.options').getBoundingClientRect();"
        "const chosen = document.querySelector('.option.selected').getBoundingClientRect();"
        "return chosen.top >= list.top - 1 && chosen.bottom <= list.bottom + 1; })()"
    )


def test_chains_can_be_sorted(page):
    page.run(
        "const sort = document.getElementById('chain-sort'); sort.value = 'fastest first';"
        "sort.dispatchEvent(new Event('change'))"
    )
    assert page.run("document.querySelector('.option-time').textContent") == "400 ms"


def test_the_path_strip_covers_the_chain_and_parallel_tools_have_rows_of_their_own(page):
    strip = page.run(
        "[...document.querySelectorAll('.wf-path')].map(bar => [+bar.getAttribute('x'), +bar.getAttribute('width')])"
    )
    assert len(strip) >= 5
    for (x, width), (following, _) in itertools.pairwise(strip):
        assert x + width == pytest.approx(following, abs=1)
    labels = page.run("[...document.querySelectorAll('.wf-row .wf-label')].map(label => label.textContent)")
    assert labels == ["model", "call m", "tools", "tool search", "tool sql", "model", "call m"]
    marked = page.run(
        "[...document.querySelectorAll('.wf-row')].map(row => row.querySelectorAll('.wf-critical').length > 0)"
    )
    assert marked[3:5] == [True, False]


def test_pointing_at_a_row_tells_of_it(page):
    page.point("#wf-row-1")
    page.wait("document.querySelector('.detail').innerText.includes('LLM call')")
    told = page.run("document.querySelector('.detail').innerText")
    assert "LLM call m" in told
    assert "111 tokens (64 cached)" in told
    assert "The answer is forty-two." in told


def test_rows_are_walked_with_keys_and_announced(page):
    page.run("document.querySelector('.waterfall').focus()")
    page.key("ArrowDown")
    page.key("ArrowDown")
    assert page.run("document.querySelector('.waterfall').getAttribute('aria-activedescendant')") == "wf-row-1"
    assert page.run("document.querySelector('#wf-row-1').getAttribute('aria-selected')") == "true"


def test_keys_zoom_and_move_and_go_back(page):
    page.run("document.querySelector('.waterfall').focus()")
    page.key("+")
    assert shown_time(page) == "155 ms to 465 ms of 620 ms"
    page.key("ArrowRight")
    assert shown_time(page) == "217 ms to 527 ms of 620 ms"
    page.key("0")
    assert shown_time(page) == "all of 620 ms"


def test_a_drag_zooms_into_what_it_spans(page):
    x, y, width, _ = page.place(".wf-body svg")
    page.mouse("mouseMoved", x, y)
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + width / 4, y, buttons=1)
    page.mouse("mouseReleased", x + width / 4, y)
    assert re.fullmatch(r"\d+ ms to \d+ ms of 620 ms", shown_time(page))


def test_evidence_leads_to_the_chain_and_its_span(page):
    page.click(".finding details summary")
    page.click(".evidence button")
    assert picked(page) == "task 0: 460 ms"
    assert page.run("document.querySelector('.wf-row.selected .wf-label').textContent") == "tool search"


def test_the_theme_is_the_systems_until_it_is_chosen(page):
    paper = "getComputedStyle(document.querySelector('section')).backgroundColor"
    light = page.run(paper)
    page.prefer("dark")
    dark = page.run(paper)
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    page.click("#theme")
    assert page.run(paper) == light
    page.key("t")
    assert page.run(paper) == dark
    label = "document.querySelector('#steps .chart svg text').getAttribute('fill')"
    in_dark = page.run(label)
    page.key("t")
    page.key("t")
    assert page.run(label) != in_dark


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_is_wider_than_the_window(page, width):
    page.size(width, 800)
    page.wait(f"document.documentElement.scrollWidth <= {width}")
    page.wait("document.querySelector('#steps .chart svg').getBoundingClientRect().width <= innerWidth")


def test_on_a_narrow_screen_what_a_phase_is_stands_below_it(page):
    page.size(500, 900)
    box = "document.querySelector('#phases tbody td.note').getBoundingClientRect()"
    page.wait(f"{box}.right <= innerWidth")
    assert page.run(f"{box}.top >= document.querySelector('#phases tbody th').getBoundingClientRect().bottom - 8")


def test_phases_that_few_engines_have_are_told_where_there_is_time_in_them(page):
    told = page.run("[...document.querySelectorAll('#phases tbody th')].map((each) => each.textContent)")
    assert "queue" in told
    assert not {"load", "inference"} & set(told)


def test_it_prints_in_light_colours(page):
    label = "document.querySelector('#steps .chart svg text').getAttribute('fill')"
    in_light = page.run(label)
    page.prefer("dark")
    page.wait(f"{label} !== '{in_light}'")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run(label) == in_light
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.run(label) != in_light
    assert page.pdf()[:5] == b"%PDF-"
    assert not page.run("document.documentElement.classList.contains('paper')")


def test_text_is_readable_against_its_ground(page):
    """Contrast of 4.5, the least that WCAG asks of text, in both themes."""
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        ratios = page.run(CONTRAST)
        assert min(ratios.values()) >= 4.5, ratios


CONTRAST = """(() => {
  const style = getComputedStyle(document.documentElement);
  const light = name => {
    const parts = style.getPropertyValue(name).trim().slice(1).match(/../g).map(part => parseInt(part, 16) / 255);
    const [r, g, b] = parts.map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const found = {};
  for (const ink of ['--ink', '--soft', '--link'])
    for (const ground of ['--paper', '--ground', '--chosen']) found[ink + ' on ' + ground] = ratio(ink, ground);
  found['caveats'] = ratio('--ink', '--mark');
  return found;
})()"""

# --- hostile and poor runs -----------------------------------------------------------------------------------

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "\"'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{a|b} {{constructor}} ${alert(1)}",
    "\x00\x1b[31m\u2028\u2029\u202e\ud800",
    "long " * 400_000,
]


def hostile_page(text):
    attributes = {sc.OPERATION: sc.OP_CHAT, sc.REQUEST_MODEL: text, sc.SENT_NS: 0, sc.OUTPUT_MESSAGES: text}
    attributes |= {sc.INPUT_TOKENS: 10, sc.OUTPUT_TOKENS: 10}
    spans = [
        Span("", "s", "root", text, 0, 50, {sc.STEP_NODE: text, sc.STEP_PLACE: text}),
        Span("", "c", "s", text, 0, 40, attributes),
        Span("", "t", "root", text, 60, 90, {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: text}, failed=True),
    ]
    facts = {sc.TASK_ID: text, sc.ERROR_TYPE: text}
    good = [chain(f"{at:032x}", 0, 100 + at, spans, facts) for at in range(6)]
    bad = chain("f" * 32, 0, 100, spans, facts, failed=True)
    engine = dict.fromkeys(("name", "version", "device", "model", "base_url"), text)
    run = manifest(
        status="failed", error=text, agent={"name": text, "path": text}, engine=engine, host={text[:50]: text}
    )
    return report_page([*good, bad], run, notes=[text], source=text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text_wherever_it_stands(browser, tmp_path, text):
    elements = "[...document.querySelectorAll('script, img, iframe, link, object, embed')].map(node => node.tagName)"
    path = tmp_path / "report.html"
    path.write_text(hostile_page(text), encoding="utf-8")
    assert path.stat().st_size < 2_000_000
    browser.open(path)
    browser.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    for selector in ("#wf-row-0", "#wf-row-1", "#wf-row-2", "#steps .chart", "#distributions .chart"):
        browser.point(selector)
    assert browser.run(elements) == ["SCRIPT"] * 3
    assert browser.run("document.querySelectorAll('[onerror], [onload], a[href^=javascript]').length") == 0
    assert browser.run("document.documentElement.scrollWidth") <= 1280
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("file:")] == []


def test_the_policy_stops_what_would_run_all_the_same(browser, page_file, tmp_path):
    """Even where a script got into the page it would not run: the policy is real, not only written down."""
    path = tmp_path / "report.html"
    text = page_file.read_text(encoding="utf-8").replace("</body>", "<script>window.ran = true</script></body>")
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    assert browser.run("window.ran") is None
    browser.run("setTimeout('window.ran = true', 0); new Promise(done => setTimeout(done, 20))")
    assert browser.run("window.ran") is None
    assert any("Content Security Policy" in each for each in browser.complaints)


POOR = {
    "none": [],
    "only failed": small_run()[2:3],
    "only warm-up": small_run()[3:],
    "no spans": [chain("aa", 0, 10, [])],
    "no time": [chain("aa", 5, 5, [])],
    "no engine timing": small_run()[1:2],
    "small": small_run(),
}


@pytest.mark.parametrize("kind", POOR)
def test_a_report_of_a_poor_run_draws_itself_all_the_same(browser, tmp_path, kind):
    path = tmp_path / "report.html"
    path.write_text(report_page(POOR[kind]), encoding="utf-8")
    browser.open(path)
    assert browser.run("document.querySelector('#findings h2').textContent") == "Findings"
    for key in ("[", "]", "t", "/"):
        browser.key(key)
    assert browser.complaints == []


def test_without_findings_the_page_says_that_none_stands_out(browser, tmp_path):
    tables = build_tables(small_run())
    path = tmp_path / "report.html"
    text = render_html(explained(), tables, None, [], source="x", pictures=({}, []))
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    assert "No single cause stands out" in browser.run("document.querySelector('#findings').innerText")
    assert browser.run("document.querySelector('#chain')") is None


AGENT = """
import os, httpx2
def answer(task):
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}], "stream": True}
    with httpx2.Client(timeout=300) as client:
        for _ in range(2):
            client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
    return "done"
"""


def test_a_run_can_end_with_a_page_and_the_browser_shows_its_chains(browser, tmp_path):
    agent = tmp_path / "agent.py"
    agent.write_text(AGENT, encoding="utf-8")
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "profiler",
        "run",
        str(agent),
        "--input",
        "</script> and a question",
        "--repeat",
        "3",
    ]
    command += ["--backend", "sim", "--capture-content", "--out", str(out), "--format", "html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"report written to {out / 'report.html'}" in done.stderr
    browser.open(out / "report.html")
    assert browser.run("document.querySelectorAll('.option').length") == 3
    assert "simulated" in browser.run("document.querySelector('.caveats').innerText")
    browser.point("#wf-row-0")
    browser.wait("document.querySelector('.detail').innerText.includes('answer:')")
    assert browser.complaints == []
