"""The pages for Prometheus."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from profiler.engines.sim.gauges import TgiGauges, VllmGauges
from profiler.engines.sim.profile import load_profile
from profiler.engines.sim.scheduler import Scheduler, Work
from profiler.truth import Truth

MS = 1_000_000


def truth(**fields):
    return Truth(
        number=1, id="a", span_id=None, path="/", arrival_ns=0, queued_ns=0, scheduled_ns=2 * MS, first_token_ns=5 * MS,
        last_token_ns=45 * MS, queue_ns=2 * MS, prefill_ns=3 * MS, decode_ns=40 * MS, prompt_tokens=7, output_tokens=5,
        **fields,
    )  # fmt: skip


def scheduler():
    return Scheduler(load_profile("fast"), seed=0)


def values(page):
    return {
        (sample.name, sample.labels.get("finished_reason")): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_durations_are_the_truths_in_seconds():
    gauges = VllmGauges("m")
    gauges.finished(truth(), "stop")
    found = values(gauges.page(scheduler()))
    assert found["vllm:request_queue_time_seconds_sum", None] == pytest.approx(0.002)
    assert found["vllm:request_prefill_time_seconds_sum", None] == pytest.approx(0.003)
    assert found["vllm:request_decode_time_seconds_sum", None] == pytest.approx(0.040)
    assert found["vllm:time_to_first_token_seconds_sum", None] == pytest.approx(0.005)
    assert found["vllm:e2e_request_latency_seconds_sum", None] == pytest.approx(0.045)
    assert found["vllm:request_time_per_output_token_seconds_sum", None] == pytest.approx(0.010)
    assert found["vllm:prompt_tokens_total", None] == 7
    assert found["vllm:generation_tokens_total", None] == 5


@pytest.mark.parametrize(("finish", "reason"), [("stop", "stop"), ("tool_calls", "stop"), ("length", "length")])
def test_vllm_tells_only_its_engines_own_reasons(finish, reason):
    gauges = VllmGauges("m")
    gauges.finished(truth(), finish)
    assert values(gauges.page(scheduler()))["vllm:request_success_total", reason] == 1


def test_the_prefix_cache_is_counted_once_however_often_it_is_scraped():
    gauges, model = VllmGauges("m"), scheduler()
    prompt = tuple(range(64))
    for name in ("a", "b"):
        model.add(Work(name, prompt, 1, key=1), at_ns=0)
        while (due_ns := model.next_ns()) is not None:
            model.advance(due_ns)
        gauges.page(model)
    found = values(gauges.page(model))
    assert found["vllm:prefix_cache_queries_total", None] == 128
    assert found["vllm:prefix_cache_hits_total", None] == model.prefix_hits == 48


def test_what_runs_and_waits_is_the_schedulers():
    model = scheduler()
    model.add(Work("a", (1,) * 100, 5, key=1), at_ns=0)
    model.advance(0)
    model.add(Work("b", (1,), 5, key=1), at_ns=10)
    vllm, tgi = values(VllmGauges("m").page(model)), values(TgiGauges().page(model))
    assert vllm["vllm:num_requests_running", None] == tgi["tgi_batch_current_size", None] == 1
    assert vllm["vllm:num_requests_waiting", None] == tgi["tgi_queue_size", None] == 1
    assert 0 < vllm["vllm:kv_cache_usage_perc", None] == model.kv_usage < 1


def test_tgis_durations_are_the_truths_in_seconds():
    gauges = TgiGauges()
    gauges.finished(truth(), "stop")
    found = values(gauges.page(scheduler()))
    assert found["tgi_request_count", None] == found["tgi_request_success", None] == 1
    assert found["tgi_request_queue_duration_sum", None] == pytest.approx(0.002)
    assert found["tgi_request_inference_duration_sum", None] == pytest.approx(0.043)
    assert found["tgi_request_mean_time_per_token_duration_sum", None] == pytest.approx(0.0086)


def test_a_request_that_was_not_answered_is_in_neither():
    for gauges in (VllmGauges("m"), TgiGauges()):
        gauges.finished(Truth(1, "a", None, "/", 0), "stop")
        assert not any(name.endswith(("_count", "success_total")) and value for (name, _), value in
                       values(gauges.page(scheduler())).items())  # fmt: skip


def test_vllm_tells_only_the_metrics_that_are_asked_for_by_name():
    page = VllmGauges("m").page(scheduler(), ["vllm:num_requests_running", "vllm:num_preemptions_total", "unknown"])
    assert set(values(page)) == {("vllm:num_requests_running", None), ("vllm:num_preemptions_total", None)}


def test_tgi_tells_everything_whatever_is_asked_for():
    gauges, model = TgiGauges(), scheduler()
    assert gauges.page(model, ["tgi_queue_size"]).count(b"# TYPE") == gauges.page(model).count(b"# TYPE") > 2
