"""The HTML report as a file: one piece, closed to the network, and nothing foreign in it but data."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_inputs import chain, manifest, report_page, small_run

from profiler import semconv as sc
from profiler.analysis.model import Span
from profiler.analysis.phases import PHASES
from profiler.report.html import PHASE_WORDS, SCRIPTS, cleaned, embedded

ASSETS = files("profiler.report") / "assets"
LARGEST_LIBRARY = 600_000


class Page(HTMLParser):
    """What a browser sees: elements with attributes, and the scripts' and styles' text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = len(self.elements) - 1

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside is not None:
            self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def inside(self, tag, name=None):
        """The texts of all elements of a kind."""
        found = [
            at for at, (each, attributes) in enumerate(self.elements) if (each, attributes.get("id")) == (tag, name)
        ]
        return [self.texts[at] for at in found]

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def data(self):
        return json.loads(self.inside("script", "data")[0])

    def policy(self):
        text = next(meta["content"] for meta in self.all("meta") if "http-equiv" in meta)
        return {part.split()[0]: part.split()[1:] for part in text.split(";")}


@pytest.fixture(scope="module")
def page():
    return Page(report_page(small_run(), manifest()))


def digest(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_lets_in_this_files_scripts_and_style_and_nothing_else(page):
    policy = page.policy()
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == [digest(text) for text in page.inside("script")]
    assert policy["style-src"] == [digest(text) for text in page.inside("style")]
    assert set(policy) == {"default-src", "base-uri", "form-action", "script-src", "style-src"}


def test_the_policy_comes_before_anything_that_it_governs(page):
    names = [name for name, _ in page.elements]
    first = next(at for at, (name, attributes) in enumerate(page.elements) if "http-equiv" in attributes)
    assert first < min(names.index("style"), names.index("script"))
    assert names[:3] == ["html", "head", "meta"]


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "action", "data", "poster"} & set(attributes), tag
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
        if "href" in attributes:
            assert attributes["href"].startswith("#")


def test_no_code_writes_markup_or_makes_code_of_text():
    for name in SCRIPTS:
        code = (ASSETS / name).read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(", code
        )
    library = (ASSETS / "echarts" / "echarts.min.js").read_text(encoding="utf-8")
    assert not re.search(r"\beval\(|new Function|XMLHttpRequest|\bfetch\(|WebSocket|sendBeacon", library)


def test_the_library_is_the_one_that_was_built():
    library = (ASSETS / "echarts" / "echarts.min.js").read_bytes()
    built = json.loads((ASSETS / "echarts" / "bundle.json").read_text(encoding="utf-8"))
    wanted = json.loads((ASSETS / "echarts" / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert hashlib.sha256(library).hexdigest() == built["sha256"]
    assert len(library) == built["bytes"] < LARGEST_LIBRARY
    assert {name: built["versions"][name] for name in wanted} == wanted
    assert f"Apache ECharts {built['versions']['echarts']} (Apache-2.0)".encode() in library[:200]
    for name in ("LICENSE.echarts", "NOTICE.echarts", "LICENSE.zrender", "LICENSE.tslib"):
        assert len((ASSETS / "echarts" / name).read_text(encoding="utf-8")) > 100


def test_the_page_has_the_figures_of_the_other_reports(page):
    data = page.data()
    assert data["summary"]["total_ns"] == 1_800_000_000
    assert [phase["name"] for phase in data["phases"]] == list(PHASES) == list(PHASE_WORDS)
    assert data["title"] == "react against vllm 0.25 on cpu, model tiny"
    assert [row[0] for row in data["chains"]] == ["aa", "bb", "cc", "dd"]
    assert {row[0]: row[6] for row in data["chains"]} == {"aa": "", "bb": "", "cc": "failed", "dd": "warm-up"}
    assert data["all_chains"] == 3
    assert set(data["pictures"]) == {"aa", "bb", "cc", "dd"}
    assert len(data["caveats"]) == 4
    assert ["engine", "vllm 0.25"] in data["manifest"]


def test_steps_by_phase_sum_to_the_mean_chain(page):
    mean = page.data()["charts"]["mean_chain"]
    told = sum(sum(row["phases"]) for row in mean["rows"]) + sum(mean["between"])
    assert mean["mean"] == 900e6
    assert told == pytest.approx(mean["mean"], abs=1)


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "<img src=x onerror=alert(1)>",
    "'\"><svg/onload=alert(1)>",
    "\u2028\u2029\x00\x1b[31m\u202e",
    "\ud800",
    "%%data%%",
    "]]>",
    "&lt;&amp;",
]


def hostile_chain(text):
    attributes = {sc.TASK_ID: text, sc.ERROR_TYPE: text}
    return chain("aa", 0, 10, [], attributes)


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_makes_no_element_and_ends_no_script(text):
    engine = dict.fromkeys(("name", "version", "device", "model"), text)
    run = manifest(status="failed", error=text, agent={"name": text, "path": text}, engine=engine)
    made = report_page([hostile_chain(text)], run, notes=[text], source=text)
    made.encode()
    harmless = Page(report_page([hostile_chain("x")], manifest(status="failed", error="x"), notes=["x"], source="x"))
    assert [name for name, _ in Page(made).elements] == [name for name, _ in harmless.elements]
    assert Page(made).data()["chains"][0][0] == "aa"
    assert "<script>alert" not in made


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(st.text(st.characters(exclude_categories=()), max_size=20), lambda each: st.lists(each, max_size=3))
)
def test_embedded_data_is_ascii_without_markup_and_comes_back_as_it_was(value):
    text = embedded(value)
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_megabytes_of_text_are_cut_with_a_mark():
    assert cleaned({"a": ["x" * 3_000_000]})["a"][0].endswith("x…")
    made = report_page([hostile_chain("long " * 500_000)], notes=["n" * 1_000_000], source="s" * 1_000_000)
    assert len(made) < len(report_page([hostile_chain("x")])) + 10_000


def test_tables_of_a_chain_of_very_many_steps_are_cut_and_the_page_says_so():
    spans = []
    for at in range(0, 1000, 2):
        spans.append(Span("", f"c{at}", "root", "c", at, at + 1, {sc.OPERATION: sc.OP_CHAT, sc.SENT_NS: 0}))
        spans.append(Span("", f"t{at}", "root", "t", at + 1, at + 2, {sc.OPERATION: sc.OP_EXECUTE_TOOL}))
    data = Page(report_page([chain("aa", 0, 1001, spans)])).data()
    assert len(data["summary"]["steps"]) == 300
    assert "tables of this page end after 300 rows: --format json has all 1000" in data["caveats"]


@pytest.mark.parametrize("traces", [[], small_run()[2:], small_run()[3:], [chain("aa", 0, 10, [])]])
def test_a_page_is_made_whatever_the_chains_are(traces):
    data = Page(report_page(traces)).data()
    assert len(data["chains"]) == len(traces)
