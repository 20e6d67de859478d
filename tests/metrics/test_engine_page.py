"""What engines' pages of metrics say of their load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from profiler.analysis.samples import FIELDS
from profiler.metrics.engine_page import _NAMES, read_page

# As vLLM 0.32 writes it, shortened: labels, a histogram and a name that goes on.
VLLM = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny, \\"random\\" } 9"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 40.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.0625
vllm:num_preemptions_total{engine="0",model_name="tiny"} 5.0
vllm:num_preemptions_created{engine="0",model_name="tiny"} 1.79e+09
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.3",model_name="tiny"} 7.0
"""


def test_vllm_tells_all_four():
    load = read_page(VLLM)
    assert load.source == "vllm"
    assert load.values == {"running": 3, "waiting": 2, "kv_cache_usage": 0.0625, "preemptions": 5}
    assert load.names["preemptions"] == "vllm:num_preemptions_total"


def test_an_older_vllm_has_another_name_for_its_cache():
    load = read_page(VLLM.replace(b"kv_cache_usage_perc", b"gpu_cache_usage_perc"))
    assert (load.values["kv_cache_usage"], load.names["kv_cache_usage"]) == (0.0625, "vllm:gpu_cache_usage_perc")


def test_the_parts_of_an_engine_are_added_up_and_its_fullest_cache_counts():
    both = VLLM + VLLM.replace(b'engine="0"', b'engine="1"').replace(b"0.0625", b"0.5")
    assert read_page(both).values == {"running": 6, "waiting": 4, "kv_cache_usage": 0.5, "preemptions": 10}


@pytest.mark.parametrize(
    ("page", "source", "values"),
    [
        (b"tgi_batch_current_size 4\ntgi_queue_size 7\n", "tgi", {"running": 4, "waiting": 7}),
        (
            b"sglang:num_running_reqs 8\nsglang:num_queue_reqs 4\nsglang:token_usage 0.52\n",
            "sglang",
            {"running": 8, "waiting": 4, "kv_cache_usage": 0.52},
        ),
        (
            b"llamacpp:requests_processing 1\nllamacpp:requests_deferred 2\n",
            "llama.cpp",
            {"running": 1, "waiting": 2},
        ),
    ],
)
def test_other_engines_tell_what_they_have(page, source, values):
    load = read_page(page)
    assert (load.source, load.values) == (source, values)


@pytest.mark.parametrize("page", [b"", b"<html>", b"\xff\x00", b"python_gc_objects_collected_total 1\n"])
def test_a_page_of_something_else_is_none(page):
    assert read_page(page) is None


def test_what_is_no_number_of_requests_is_not_told():
    page = b"vllm:num_requests_running NaN\nvllm:num_requests_waiting x\nvllm:kv_cache_usage_perc -1\n"
    assert read_page(page) is None


def test_every_field_of_every_engine_is_one_of_those_that_are_kept():
    assert {field for fields in _NAMES.values() for field in fields} == set(FIELDS)


@given(
    st.lists(st.tuples(st.text(max_size=8), st.integers(0, 10**6)), min_size=1, max_size=4, unique_by=lambda at: at[0])
)
def test_it_agrees_with_prometheus_own_parser_whatever_the_labels(engines):
    registry = CollectorRegistry()
    gauge = Gauge("vllm:num_requests_running", "Running.", ["engine"], registry=registry)
    for engine, running in engines:
        gauge.labels(engine).set(running)
    page = generate_latest(registry)
    (family,) = text_string_to_metric_families(page.decode())
    assert read_page(page).values == {"running": sum(sample.value for sample in family.samples)}


def test_a_sum_that_is_no_number_is_not_told():
    page = b'vllm:num_requests_running{engine="0"} 1e308\nvllm:num_requests_running{engine="1"} 1e308\n'
    assert read_page(page) is None
    assert read_page(page + b"vllm:num_requests_waiting 2\n").values == {"waiting": 2}
