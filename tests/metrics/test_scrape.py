"""The page for Prometheus, read by Prometheus' own parsers."""

from __future__ import annotations

import socket
import urllib.request
from contextlib import closing
from threading import Thread

import pytest
from chains import call, chain, tool
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from profiler.errors import UsageError
from profiler.metrics.figures import Figures
from profiler.metrics.instruments import ALL
from profiler.metrics.scrape import ScrapeServer

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def scraped(server, accept="text/plain"):
    request = urllib.request.Request(server.url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=300) as response:
        return response.read().decode()


def samples(page):
    """Name -> labels and value of each of its samples."""
    found = {}
    for family in families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.fixture
def figures():
    return Figures()


@pytest.fixture
def server(figures):
    with closing(ScrapeServer(0, figures, {"service.name": "agent", "host.name": "a host"})) as serving:
        yield serving


def test_before_the_first_chain_it_says_only_whose_it_is(server):
    assert samples(scraped(server)) == {"target_info": [({"service_name": "agent", "host_name": "a host"}, 1)]}


def test_names_are_those_that_a_collector_would_give_them(server, figures):
    figures.take(chain(call(), tool()))
    names = {name for name in samples(scraped(server)) if name.endswith("_count")}
    assert names == {
        "gen_ai_client_operation_duration_seconds_count",
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
        "gen_ai_client_operation_time_per_output_chunk_seconds_count",
        "gen_ai_client_token_usage_count",
        "gen_ai_invoke_agent_duration_seconds_count",
        "gen_ai_invoke_agent_inference_calls_count",
        "gen_ai_invoke_agent_tool_calls_count",
        "gen_ai_execute_tool_duration_seconds_count",
        "profiler_client_time_per_output_token_seconds_count",
        "profiler_engine_phase_duration_seconds_count",
    }
    assert len(names) == len(ALL)


def test_each_scrape_tells_what_is_there_by_then(server, figures):
    for expected in (1, 2):
        figures.take(chain(call(ms=100)))
        found = samples(scraped(server))
        ((labels, count),) = found["gen_ai_client_operation_duration_seconds_count"]
        assert count == expected
        assert labels["gen_ai_request_model"] == "asked"
        assert found["gen_ai_client_operation_duration_seconds_sum"][0][1] == pytest.approx(0.1 * expected)


def test_buckets_hold_what_is_up_to_their_boundary(server, figures):
    figures.take(chain(call(ms=30)))
    buckets = samples(scraped(server))["gen_ai_client_operation_duration_seconds_bucket"]
    by_bound = {labels["le"]: value for labels, value in buckets}
    assert (by_bound["0.02"], by_bound["0.04"], by_bound["+Inf"]) == (0, 1, 1)


def test_what_failed_is_told_apart_by_its_label(server, figures):
    figures.take(chain(call(), call(4, error="429")))
    counts = samples(scraped(server))["gen_ai_client_operation_duration_seconds_count"]
    assert sorted((labels["error_type"], count) for labels, count in counts) == [("", 1), ("429", 1)]


def test_openmetrics_leads_from_a_bucket_to_a_trace(server, figures):
    figures.take(chain(call(ms=30)))
    (family,) = [
        each
        for each in open_families(scraped(server, OPEN_METRICS))
        if each.name == "gen_ai_client_operation_duration_seconds"
    ]
    (exemplar,) = [sample.exemplar for sample in family.samples if sample.exemplar is not None]
    assert exemplar.labels == {"trace_id": f"{7:032x}", "span_id": f"{2:016x}"}
    assert exemplar.value == pytest.approx(0.03)


def test_many_scrapes_at_once_each_get_a_whole_page(server, figures):
    figures.take(chain(call()))
    pages = []
    threads = [Thread(target=lambda: pages.append(scraped(server))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(pages) == 8
    assert len(set(pages)) == 1


def test_hostile_names_make_a_page_that_can_be_read(server, figures):
    figures.take(chain(tool(name='a"b\\c\nd} 1\n# EOF')))
    ((labels, _),) = samples(scraped(server))["gen_ai_execute_tool_duration_seconds_count"]
    assert labels["gen_ai_tool_name"] == 'a"b\\c\nd} 1\n# EOF'


def test_a_port_that_is_taken_is_told_with_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port} cannot be listened on") as error:
            ScrapeServer(port, Figures(), {})
    assert "another port" in error.value.remedy


def test_it_listens_on_this_machine_alone(server):
    assert server.url.startswith("http://127.0.0.1:")


def test_after_the_end_nothing_listens(figures):
    server = ScrapeServer(0, figures, {})
    server.close()
    with pytest.raises(OSError, match="refused"):
        scraped(server)
