"""`profiler export`, `import` and `jaeger`, as a user gives them: a real run there and back, and what can go wrong."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

EXCHANGE = Path(__file__).parents[1] / "exchange"
if str(EXCHANGE) not in sys.path:
    sys.path.append(str(EXCHANGE))

from jaeger_rule import path_times  # noqa: E402
from jaeger_server import jaeger_server  # noqa: E402
from span_collectors import free_port, grpc_collector, http_collector  # noqa: E402

from profiler.cli.import_ import moment  # noqa: E402
from profiler.errors import UsageError  # noqa: E402
from profiler.store.reader import load_run  # noqa: E402

ROOT = Path(__file__).parents[2]
TABLES = ("chains", "calls", "steps", "tools", "gaps", "repairs")
AGENT = str(ROOT / "agents" / "react.py")
TASKS = ("leave-days", "lost-laptop", "mast-in-feet")
NOW = 1_900_000_000 * 10**9
S = 10**9


def record(folder, *options):
    """A run of the sample agent on the embedded engine."""
    command = [sys.executable, "-m", "profiler", "run", AGENT, "--backend", "sim", "--out", str(folder), *options]
    command += [word for task in TASKS for word in ("--task", task)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (folder / "engine-metrics.jsonl").unlink(missing_ok=True)  # beside the spans, not in them
    return folder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record(tmp_path_factory.mktemp("recorded") / "run")


@pytest.fixture(scope="module")
def with_engine_spans(tmp_path_factory):
    return record(tmp_path_factory.mktemp("recorded") / "run", "--engine-spans", "on", "--concurrency", "4")


def same_figures(one, other):
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one.tables, table), getattr(other.tables, table), check_exact=True)


@pytest.mark.parametrize("kind", ["otlp", "jaeger-json"])
def test_export_import_report_gives_the_same_figures_to_the_nanosecond(bench, recorded, kind):
    target = bench.folder / "file.json"
    assert bench.run("export", recorded, "--format", kind, "-o", target).code == 0
    assert bench.run("import", target, "--out", "back").code == 0
    run, back = load_run(recorded), load_run(bench.folder / "back")
    same_figures(run, back)
    assert back.manifest.spans.written == run.manifest.spans.written
    one, other = (json.loads(bench.run("report", path, "--format", "json").out) for path in (recorded, "back"))
    for part in ("summary", "chains", "compounding", "on_path", "gaps", "waterfall", "variance"):
        assert one[part] == other[part], part


def test_export_to_a_jaeger_and_import_from_it_gives_the_same_figures(bench, recorded):
    with jaeger_server() as (address, store):
        assert bench.run("export", recorded, "--to", address).code == 0
        assert store.services() == ["agent", "sim"]
        result = bench.run("import", address, "--service", "agent", "--since", "1h", "--out", "back", "--page", "10")
    assert result.code == 0, result.err
    same_figures(load_run(recorded), load_run(bench.folder / "back"))


@pytest.mark.parametrize("source", ["recorded", "with_engine_spans"])
def test_jaegers_rule_attributes_to_the_phases_what_the_profiler_attributes(bench, request, source):
    run = request.getfixturevalue(source)
    bench.run("export", run, "--format", "jaeger-json", "-o", "file.json")
    exported = json.loads((bench.folder / "file.json").read_text(encoding="utf-8"))
    spent = {}
    for trace in exported["data"]:
        for name, microseconds in path_times(trace).items():
            spent[name] = spent.get(name, 0) + microseconds
    chains = load_run(run).tables.chains
    assert chains["prefill_ns"].min() > 0
    assert chains["decode_ns"].min() > 0
    for phase in ("queue", "prefill", "decode"):
        ours = chains[f"{phase}_ns"].sum() / 1000
        rounded = 2 * int(chains["calls"].sum())  # whole microseconds, and the gap
        assert spent.get(phase, 0) == pytest.approx(ours, rel=0.01, abs=rounded), phase


def test_a_run_with_the_engines_own_spans_comes_back_the_same(bench, with_engine_spans):
    with jaeger_server() as (address, store):
        assert bench.run("export", with_engine_spans, "--to", address).code == 0
        requests = [item for items in store.traces.values() for item in items if item.span["name"] == "llm_request"]
        assert requests
        bench.run("import", address, "--service", "agent", "--out", "back")
    same_figures(load_run(with_engine_spans), load_run(bench.folder / "back"))


def test_an_import_that_breaks_off_goes_on_where_it_was(bench, recorded):
    # since |---10 min---|---------80 min, with all chains---------|--- broken off ---| until
    until = (datetime.now(UTC) + timedelta(hours=9)).isoformat(timespec="seconds")
    command = ("--service", "agent", "--since", "1h", "--until", until, "--out", "back")
    with jaeger_server() as (address, store):
        bench.run("export", recorded, "--to", address)
        store.break_after = 2
        broken = bench.run("import", address, *command)
        assert not (bench.folder / "back" / "run.json").exists()
        store.break_after = None
        other = bench.run("import", address, "--service", "sim", "--since", "1h", "--out", "back")
        asked_before = len(store.queries)
        done = bench.run("import", address, *command)
    assert (broken.code, "goes on from there" in broken.err) == (4, True)
    assert (other.code, "another import was broken off" in other.err) == (2, True)
    assert (done.code, "going on with 4 traces" in done.err) == (0, True)
    assert "query.start_time_min" in store.queries[asked_before]
    assert store.queries[asked_before]["query.start_time_min"] == store.queries[2]["query.start_time_min"]
    same_figures(load_run(recorded), load_run(bench.folder / "back"))


def test_the_same_span_twice_is_one_span(bench, recorded):
    lines = (recorded / "spans.jsonl").read_bytes()
    (bench.folder / "twice.jsonl").write_bytes(lines + lines)
    result = bench.run("import", "twice.jsonl", "--out", "back")
    assert "copies of spans that were there already are left out" in result.err
    back = load_run(bench.folder / "back")
    same_figures(load_run(recorded), back)
    assert back.notes == []


def test_an_import_touches_no_folder_that_exists(bench, recorded):
    (bench.folder / "there").mkdir()
    (bench.folder / "there" / "mine.txt").write_text("mine", encoding="utf-8")
    result = bench.run("import", recorded / "spans.jsonl", "--out", "there")
    assert (result.code, "will not be overwritten" in result.err) == (2, True)
    assert [path.name for path in (bench.folder / "there").iterdir()] == ["mine.txt"]


def test_a_file_that_is_none_leaves_no_folder(bench):
    (bench.folder / "x.json").write_text("hello", encoding="utf-8")
    assert bench.run("import", "x.json").code == 3
    assert bench.run("import", "x.json", "--out", "back").code == 3
    assert sorted(path.name for path in bench.folder.iterdir()) == ["x.json"]


def test_an_empty_jaeger_one_without_the_service_and_one_without_chains_in_time_are_told(bench, recorded):
    with jaeger_server() as (address, _):
        empty = bench.run("import", address, "--service", "agent")
        bench.run("export", recorded, "--to", address)
        missing = bench.run("import", address, "--service", "shop")
        several = bench.run("import", address)
        early = bench.run(
            "import", address, "--service", "agent", "--since", "2h", "--until", "2026-01-01", "--out", "b"
        )
        late = bench.run(
            "import", address, "--service", "agent", "--since", "2020-01-01", "--until", "2020-01-02", "--out", "c"
        )
    assert (empty.code, "no traces yet" in empty.err) == (3, True)
    assert (missing.code, "no service shop; it has agent, sim" in missing.err) == (3, True)
    assert (several.code, "--service" in several.err) == (3, True)
    assert (early.code, "--since is not before --until" in early.err) == (2, True)
    assert (late.code, "there are no spans" in late.err) == (3, True)
    assert not (bench.folder / "c").exists()


def test_partial_traces_are_imported_and_told(bench, recorded):
    with jaeger_server() as (address, store):
        bench.run("export", recorded, "--to", address)
        first = next(iter(store.traces))
        store.traces[first] = [item for item in store.traces[first] if "parentSpanId" in item.span]
        assert bench.run("import", address, "--service", "agent", "--out", "back").code == 0
    assert any("no root span" in note for note in load_run(bench.folder / "back").notes)


def test_a_run_remembers_where_it_was_sent(bench, recorded):
    with http_collector() as (address, collector):
        result = bench.run("export", recorded, "--to", address, "--jaeger", "http://127.0.0.1:16686")
    assert result.code == 0
    manifest = json.loads((recorded / "run.json").read_text(encoding="utf-8"))
    assert manifest["export"]["viewer"] == "http://127.0.0.1:16686"
    assert manifest["export"]["sent"] == len(collector.items) == manifest["spans"]["written"]


@pytest.mark.parametrize(
    "viewer", ["javascript:alert(1)", "http://a:b@host", 'http://x/"><script>', "http://x/?q=1", "x"]
)
def test_a_viewers_address_that_is_hostile_is_refused(bench, recorded, viewer):
    result = bench.run("export", recorded, "--to", "http://127.0.0.1:1", "--jaeger", viewer)
    assert result.code == 2
    assert "--jaeger" in result.err


def test_what_was_not_sent_is_told_with_exit_code_4(bench, recorded):
    with http_collector() as (address, collector):
        collector.answers = [(401, b"no key", {})]
        refused = bench.run("export", recorded, "--to", address)
    assert (refused.code, "OTEL_EXPORTER_OTLP_HEADERS" in refused.err) == (4, True)
    with http_collector() as (address, collector):
        collector.rejected = 1
        some = bench.run("export", recorded, "--to", address)
    assert some.code == 4
    assert "spans were not taken" in some.err
    with grpc_collector() as (address, _):
        mixed = bench.run("export", recorded, "--to", address)
    assert (mixed.code, "--protocol grpc" in mixed.err) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give either --to URL or --format"),
        (("--to", "http://x", "--format", "otlp"), "give either"),
        (("--to", "localhost:4318"), "is not an address"),
        (("--to", "http://x:0"), "is not an address"),
        (("--format", "otlp"), "--format needs a file"),
        (("--format", "otlp", "-o", "."), "is a folder"),
        (("--format", "otlp", "-o", "no/such/file"), "there is no folder no/such"),
        (("--format", "otlp", "-o", "f", "--jaeger", "http://x"), "--jaeger goes with --to"),
        (("--to", "http://x", "-o", "f"), "--output goes with --format"),
    ],
)
def test_options_that_do_not_fit_are_told(bench, recorded, arguments, says):
    result = bench.run("export", recorded, *arguments)
    assert result.code == 2
    assert says in result.err


def test_a_file_that_exists_is_kept_unless_forced(bench, recorded):
    (bench.folder / "f").write_text("mine", encoding="utf-8")
    assert bench.run("export", recorded, "--format", "otlp", "-o", "f").code == 2
    assert (bench.folder / "f").read_text(encoding="utf-8") == "mine"
    assert bench.run("export", recorded, "--format", "otlp", "-o", "f", "--force").code == 0
    assert len((bench.folder / "f").read_bytes().splitlines()) == len(
        (recorded / "spans.jsonl").read_bytes().splitlines()
    )


@pytest.mark.parametrize(
    ("text", "time"),
    [("30m", NOW - 1800 * S), ("1.5h", NOW - 5400 * S), ("2d", NOW - 172_800 * S), ("1970-01-01T00:00:05Z", 5 * S)],
)
def test_times_are_ago_or_iso(text, time):
    assert moment(text, NOW, "--since") == time


def test_longer_ago_than_there_is_time_is_all_of_it():
    assert moment("9" * 400 + "d", NOW, "--since") == 0


@pytest.mark.parametrize("text", ["", "soon", "1x", "-1h", "99999-01-01"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(UsageError, match="--since"):
        moment(text, NOW, "--since")


def test_options_for_a_jaeger_do_not_go_with_a_file(bench):
    result = bench.run("import", "x.json", "--since", "1h")
    assert (result.code, "--since goes with the address of a Jaeger" in result.err) == (2, True)


def test_a_jaeger_whose_port_is_taken_is_told(bench):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = bench.run("jaeger", "--ui-port", str(port))
    assert (result.code, f"port {port} is taken" in result.err) == (2, True)


def test_without_docker_and_without_the_program_it_is_said_how_to_get_one(bench, monkeypatch):
    monkeypatch.setenv("PATH", str(bench.folder))
    ports = [word for name in ("ui", "http", "grpc") for word in (f"--{name}-port", str(free_port()))]
    result = bench.run("jaeger", *ports)
    assert result.code == 4
    assert "docker is not installed" in result.err
    assert "docker run --rm" in result.err


def test_reports_link_to_the_jaeger_that_is_named_or_was_remembered(bench, recorded):
    named = bench.run("report", recorded, "--jaeger", "http://jaeger:16686/base/")
    calls = load_run(recorded).tables.calls
    slowest = calls[~calls["warmup"]].sort_values("call_e2e_ns").iloc[-1]
    assert f"http://jaeger:16686/base/trace/{slowest['trace_id']}?uiFind={slowest['span_id']}" in named.out
    with http_collector() as (address, _):
        bench.run("export", recorded, "--to", address, "--jaeger", "http://remembered:1")
    assert "http://remembered:1/trace/" in bench.run("report", recorded).out
    bench.run("report", recorded, "--format", "html", "--output", "page.html")
    assert '"viewer": "http://remembered:1"' in (bench.folder / "page.html").read_text(encoding="utf-8").replace(
        '"viewer":"', '"viewer": "'
    )
    assert bench.run("report", recorded, "--jaeger", "javascript:alert(1)").code == 2


def test_a_hostile_address_in_a_manifest_is_no_link(bench, recorded):
    import shutil

    shutil.copytree(recorded, bench.folder / "copy")
    path = bench.folder / "copy" / "run.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["export"] = {"endpoint": "x", "protocol": "grpc", "viewer": "javascript:alert(document.cookie)//"}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert "javascript" not in bench.run("report", "copy").out
    bench.run("report", "copy", "--format", "html")
    assert "document.cookie" not in (bench.folder / "copy" / "report.html").read_text(encoding="utf-8")


def test_an_imported_run_says_so(bench, recorded):
    bench.run("import", recorded / "spans.jsonl", "--out", "back")
    out = " ".join(bench.run("report", "back").out.split())
    assert "! imported from" in out
    assert "simulated times" in out
