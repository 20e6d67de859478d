"""Figures over OTLP, to real receivers: and to ones that are dead, slow, wrong, or take no metrics."""

from __future__ import annotations

import socket
import threading
import time
from itertools import pairwise

import pytest
from chains import call, chain, tool
from metric_collectors import grpc_collector, http_collector, points
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from profiler.metrics.figures import Figures
from profiler.metrics.otlp import EVERY_S, OtlpMetrics, metrics_endpoint

RESOURCE = {"service.name": "agent", "profiler.run": "a run"}
NEVER = 3600.0
DELTA = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}


def figures(chains=1):
    made = Figures()
    for _ in range(chains):
        made.take(chain(call(), tool()))
    return made


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_figures_arrive_over_http_as_the_conventions_name_them():
    with http_collector() as (endpoint, requests, paths):
        export = OtlpMetrics(endpoint, figures(chains=3), RESOURCE, every_s=NEVER).close(60)
    (request,) = requests
    (group,) = request.resource_metrics
    assert {each.key: each.value.string_value for each in group.resource.attributes}.items() >= RESOURCE.items()
    (metric,) = [each for each in group.scope_metrics[0].metrics if each.name == "gen_ai.client.operation.duration"]
    assert metric.unit == "s"
    assert metric.histogram.aggregation_temporality == 2  # cumulative
    (point,) = metric.histogram.data_points
    assert (point.count, point.sum, point.min, point.max) == pytest.approx((3, 0.3, 0.1, 0.1))
    assert sum(point.bucket_counts) == 3
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert {each.key for each in point.attributes} >= {"gen_ai.operation.name", "gen_ai.provider.name"}
    assert [(each.trace_id.hex(), each.span_id.hex()) for each in point.exemplars] == [(f"{7:032x}", f"{2:016x}")]
    assert paths == ["/v1/metrics"]
    assert (export.not_sent, export.error, export.protocol) == (0, None, "http/protobuf")
    assert export.sent == sum(each.count for all_points in points(request).values() for each in all_points) > 0


def test_figures_arrive_over_grpc():
    with grpc_collector() as (endpoint, requests):
        sending = OtlpMetrics(
            endpoint, figures(), RESOURCE, every_s=NEVER, environ={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        )
        export = sending.close(60)
    assert points(requests[0])["gen_ai.invoke_agent.duration"][0].count == 1
    assert (export.not_sent, export.protocol) == (0, "grpc")


def test_each_sending_tells_everything_so_that_a_lost_one_loses_nothing():
    growing = figures()
    with http_collector(statuses=[400]) as (endpoint, requests, paths):
        sending = OtlpMetrics(endpoint, growing, RESOURCE, every_s=0.01)
        wait_until(lambda: requests)
        growing.take(chain(call()))
        export = sending.close(60)
    assert len(paths) > len(requests)
    counts = [points(each)["gen_ai.client.operation.duration"][0].count for each in requests]
    assert (counts[0], counts[-1]) == (1, 2)
    assert export.not_sent == 0
    starts = {points(each)["gen_ai.client.operation.duration"][0].start_time_unix_nano for each in requests}
    assert len(starts) == 1


def test_what_has_not_changed_is_not_sent_again():
    with http_collector() as (endpoint, requests, _):
        sending = OtlpMetrics(endpoint, figures(), RESOURCE, every_s=0.01)
        wait_until(lambda: requests)
        time.sleep(0.1)
        sending.close(60)
    assert len(requests) == 1


def test_differences_add_up_to_everything_even_if_one_is_lost():
    growing = figures()
    with http_collector(statuses=[200, 400]) as (endpoint, requests, paths):
        sending = OtlpMetrics(endpoint, growing, RESOURCE, every_s=0.01, environ=DELTA)
        wait_until(lambda: len(requests) == 1)
        growing.take(chain(call()))
        wait_until(lambda: len(requests) == 2)
        growing.take(chain(call(), call()))
        export = sending.close(60)
    assert len(paths) == len(requests) + 1
    found = [points(each)["gen_ai.client.operation.duration"][0] for each in requests]
    assert [each.count for each in found] == [1, 1, 2]
    assert all(after.start_time_unix_nano == before.time_unix_nano for before, after in pairwise(found))
    assert not found[1].HasField("min")
    assert export.not_sent == 0


def test_a_dead_collector_is_told_and_nothing_is_raised():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        export = OtlpMetrics(f"http://127.0.0.1:{probe.getsockname()[1]}", figures(), RESOURCE, every_s=NEVER).close(
            0.3
        )
    assert export.sent == 0
    assert export.not_sent > 0
    assert export.error == "connection refused: is a collector running there?"


REJECTING = ExportMetricsServiceResponse(
    partial_success=ExportMetricsPartialSuccess(rejected_data_points=3, error_message="too old")
).SerializeToString()


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (b"<html>Welcome</html>", "text/html; charset=utf-8", "no collector, but a web page"),
        (REJECTING, "application/x-protobuf", "it rejected 3 data points: too old"),
        (b"\xff\xff", "application/x-protobuf", "not answer as a collector does"),
        (b"x" * (2 << 20), "text/plain", "its answer does not end"),
    ],
    ids=["a web page", "rejected", "garbage", "endless"],
)
def test_a_success_by_its_status_alone_is_none(answer, kind, says):
    with http_collector(answer=answer, headers=[("content-type", kind)]) as (endpoint, _, _):
        export = OtlpMetrics(endpoint, figures(), RESOURCE, every_s=NEVER).close(60)
    assert export.sent == 0
    assert says in export.error


def test_a_redirect_is_not_followed():
    with (
        http_collector() as (other, requests, _),
        http_collector([307] * 9, headers=[("location", f"{other}/v1/metrics")]) as (endpoint, _, paths),
    ):
        export = OtlpMetrics(endpoint, figures(), RESOURCE, every_s=NEVER).close(60)
    assert (len(paths), requests, export.sent) == (1, [], 0)
    assert "307" in export.error


def test_a_hanging_collector_costs_only_the_stated_wait():
    hold = threading.Event()
    with http_collector(hold=hold) as (endpoint, _, _):
        began = time.monotonic()
        export = OtlpMetrics(endpoint, figures(), RESOURCE, every_s=NEVER).close(0.2)
        hold.set()
    assert export.not_sent > 0
    assert export.error
    assert time.monotonic() - began < 120  # and not the exporter's own patience times its tries


def test_a_collector_of_spans_alone_is_asked_once_and_told_for_what_it_is():
    """As Jaeger answers, which keeps no metrics."""
    with http_collector(statuses=[404] * 99) as (endpoint, _, paths):
        growing = figures()
        sending = OtlpMetrics(endpoint, growing, RESOURCE, every_s=0.01)
        wait_until(lambda: paths)
        for _ in range(5):
            growing.take(chain(call()))
            time.sleep(0.02)
        export = sending.close(60)
    assert len(paths) == 1
    assert "takes no metrics" in export.error
    assert "404" in export.error


def test_over_grpc_too():
    with grpc_collector(metrics=False) as (endpoint, _):
        environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        export = OtlpMetrics(endpoint, figures(), RESOURCE, every_s=NEVER, environ=environ).close(60)
    assert "takes no metrics: its answer was UNIMPLEMENTED" in export.error


def test_a_refusing_collector_is_told_with_its_answer():
    with http_collector(statuses=[401] * 9) as (endpoint, _, _):
        export = OtlpMetrics(endpoint, figures(), RESOURCE, every_s=NEVER).close(60)
    assert "401" in export.error


def test_a_run_without_a_chain_sends_nothing():
    with http_collector() as (endpoint, _, paths):
        export = OtlpMetrics(endpoint, Figures(), RESOURCE, every_s=0.01).close(60)
    assert paths == []
    assert (export.sent, export.not_sent, export.error) == (0, 0, None)


def test_what_another_thread_logs_is_not_taken_for_an_answer():
    import logging

    with http_collector(statuses=[503] * 99) as (endpoint, _, _):
        sending = OtlpMetrics(endpoint, figures(), RESOURCE, every_s=NEVER)
        logging.getLogger("opentelemetry.exporter").error("Failed to export spans batch code: 404, reason: none")
        export = sending.close(0.5)
    assert "404" not in export.error


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("http://c:4318", {}, "http://c:4318"),
        ("http://c:4318/v1/traces", {}, "http://c:4318/v1/metrics"),
        ("http://c:9999/otlp", {}, "http://c:9999/otlp/v1/metrics"),
        ("http://c:4317", {}, "http://c:4317"),
        (None, {}, None),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base"}, "http://c:4318/base/v1/metrics"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, None),
        (None, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:4318/there"}, "http://m:4318/there"),
        ("http://c:4318", {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:4318/there"}, "http://c:4318"),
        ("http://c:4318", {"OTEL_METRICS_EXPORTER": "none"}, None),
    ],
)
def test_metrics_go_where_the_option_or_the_standard_variables_say(option, environ, expected):
    assert metrics_endpoint(option, environ) == expected


@pytest.mark.parametrize(("told", "seconds"), [("500", 0.5), ("nonsense", EVERY_S), ("0", 0.1), ("inf", EVERY_S)])
def test_the_standard_variable_decides_the_interval(told, seconds):
    from profiler.metrics.otlp import _interval_s

    assert _interval_s({"OTEL_METRIC_EXPORT_INTERVAL": told}) == seconds


def test_credentials_in_the_address_are_not_kept():
    with http_collector() as (endpoint, _, _):
        address = endpoint.replace("http://", "http://user:secret@")
        export = OtlpMetrics(address, figures(), RESOURCE, every_s=NEVER).close(60)
    assert "secret" not in export.endpoint
