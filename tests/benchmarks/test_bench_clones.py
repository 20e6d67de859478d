"""Cloned runs are runs: as many spans as asked for, new ids, times that fit into each other."""

import json

import clones
import pytest

from profiler.store.reader import load_run


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    values = [{"intValue": "2000"}, {"intValue": "3000"}]
    call = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "profiler.call.ordinal", "value": {"intValue": "1"}},
        {"key": "profiler.call.sent_ns", "value": {"intValue": "1000000"}},
        {"key": "profiler.chunk.times_us", "value": {"arrayValue": {"values": values}}},
    ]
    spans = [
        {"spanId": "11" * 8, "name": "root", "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1009000000"},
        {"spanId": "22" * 8, "parentSpanId": "11" * 8, "name": "chat", "startTimeUnixNano": "1001000000",
         "endTimeUnixNano": "1007000000", "attributes": call},
    ]  # fmt: skip
    spans = [{"traceId": "ab" * 16, **span} for span in spans]
    line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}, separators=(",", ":"))
    (folder / "spans.jsonl").write_text(line + "\n")
    manifest = {"created": "2026-01-01T00:00:00Z", "profiler": "0.1.0", "python": "3.11", "agent": {}, "engine": {}}
    manifest |= {"tasks": {}, "flags": {}, "host": {}, "format": "profiler-run", "version": 1, "status": "finished"}
    manifest |= {"chains": {"planned": 1, "finished": 1}, "spans": {"started": 2, "written": 2}}
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def test_a_cloned_run_has_as_many_spans_as_asked_for(source, tmp_path):
    assert clones.clone_run(source, tmp_path / "run", 9) == 10
    run = load_run(tmp_path / "run")
    assert (len(run.tables.chains), len(run.tables.calls), len(run.tables.repairs)) == (5, 5, 0)
    assert run.manifest.spans.written == 10
    assert run.manifest.chains.finished == 5


def test_clones_have_ids_and_times_of_their_own_in_the_same_proportions(source, tmp_path):
    clones.clone_run(source, tmp_path / "run", 40)
    tables = load_run(tmp_path / "run").tables
    assert tables.calls["span_id"].nunique() == tables.chains["trace_id"].nunique() == 20
    assert tables.chains["e2e_ns"].nunique() > 10
    factor = tables.chains["e2e_ns"] / 9_000_000
    for column, original in (("call_e2e_ns", 6_000_000), ("sent_ns", 1_000_000), ("ttft_ns", 2_000_000)):
        assert (tables.calls[column] / original / factor).astype(float).to_numpy() == pytest.approx(1, rel=1e-3)
