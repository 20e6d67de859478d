"""The report for programs: strict JSON with the same figures."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_inputs import chain, explained, finding, manifest, report_json, small_run, summary_of

from profiler import semconv as sc
from profiler.analysis.finding import Evidence, Finding
from profiler.analysis.phases import PHASES
from profiler.analysis.tables import build_tables
from profiler.report.structured import VERSION, plain_values, render_json

MS = 1_000_000


def strict(text):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_document_says_what_it_is():
    document = strict(report_json(small_run(), manifest()))
    assert (document["format"], document["version"]) == ("profiler-report", 2)
    parts = {"findings", "compounding", "context", "tails", "variance", "on_path", "gaps", "waterfall", "repairs"}
    assert set(document) == {"format", "version", "summary", *parts, "chains", "caveats", "run"}
    assert document["run"]["agent"] == {"name": "react"}
    assert len(document["caveats"]) == 4


def test_every_key_and_every_field_of_a_finding_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    document = strict(report_json(small_run(), manifest()))
    fields = [field.name for of in (Finding, Evidence) for field in dataclasses.fields(of)]
    assert [name for name in [*document, *fields] if f"`{name}`" not in page] == []
    assert f"`version` = {VERSION}" in page


def test_findings_and_repairs_are_in_it():
    told = explained([finding()], repairs=(("orphan", 3),))
    document = strict(render_json(told, build_tables(small_run()), None, []))
    assert document["findings"][0]["gain_ns"] == 90e6
    assert document["findings"][0]["evidence"][1] == {"trace_id": "not drawn", "span_id": None, "note": ""}
    assert document["repairs"] == [{"kind": "orphan", "count": 3}]


def test_what_is_not_a_number_is_null():
    assert plain_values({"a": (math.nan, [math.inf, 1.5]), "b": "x"}) == {"a": [None, [None, 1.5]], "b": "x"}


def test_phases_sum_to_every_chain_and_to_all_of_them():
    document = strict(report_json(small_run()))
    for row in document["chains"]:
        assert sum(row[f"{phase}_ns"] for phase in PHASES) == row["e2e_ns"]
    summary = document["summary"]
    assert sum(row["total_ns"] for row in summary["phases"]) == summary["total_ns"] == 1800 * MS
    good = [row for row in document["chains"] if not row["failed"] and not row["warmup"]]
    assert sum(row["e2e_ns"] for row in good) == summary["total_ns"]


def test_missing_is_null_and_integers_are_integers():
    document = strict(report_json(small_run()))
    first, second = document["chains"][:2]
    assert first["path_decode_tokens"] == 10
    assert second["path_decode_tokens"] is None
    assert first["error_type"] is None
    assert type(first["e2e_ns"]) is int
    assert first["warmup"] is False
    last = document["summary"]["steps"][-1]
    assert (last["tpot_ns"], last["cached_share"]) == (None, 0.6)
    assert document["summary"]["e2e_p50"] == {"p": 0.5, "n": 2, "value": 900.0 * MS, "low": None, "high": None}


def test_compounding_is_worked_out():
    compounding = strict(report_json(small_run()[:1]))["summary"]["compounding"]
    assert compounding == {
        "path_calls": 2.0,
        "path_decode_tokens": 10.0,
        "per_100ms_per_call_ns": 200.0 * MS,
        "per_1ms_per_token_ns": 10.0 * MS,
    }
    assert strict(report_json(small_run()))["summary"]["compounding"]["per_1ms_per_token_ns"] is None


@pytest.mark.parametrize("traces", [[], small_run()[2:]], ids=["none", "bad ones"])
def test_without_a_good_chain_figures_are_null(traces):
    document = strict(report_json(traces))
    assert len(document["chains"]) == len(traces)
    summary = document["summary"]
    assert [summary[name] for name in ("e2e_p50", "e2e_p95", "slowest", "compounding")] == [None] * 4
    assert document["run"] is None


def test_a_chain_that_lasted_no_time_gives_no_nan():
    document = strict(report_json([chain("aa", 5, 5, [])]))
    assert document["summary"]["unaccounted_median_share"] is None


@settings(max_examples=4, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_text_survives(text):
    report = report_json([chain("aa", 0, 10, [], {sc.TASK_ID: text})], notes=["\x1b[31mx"])
    report.encode()
    assert strict(report)["chains"][0]["task_id"] == text


def test_both_reports_have_the_same_figures():
    summary = summary_of(small_run())
    document = strict(report_json(small_run()))["summary"]
    assert document["calls_mean"] == summary.calls_mean
    assert [row["share"] for row in document["phases"]] == [row.share for row in summary.phases]
    assert not any(math.isnan(row["share"]) for row in document["steps"])
