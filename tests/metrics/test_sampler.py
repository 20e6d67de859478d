"""An engine is asked for its load again and again, whatever it answers."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest
from metric_collectors import served

from profiler.metrics.sampler import EngineSampler
from profiler.record.clock import Clock
from profiler.store.engine_metrics import ENGINE_METRICS_FILE, read_samples

NAMES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:num_preemptions_total")


class Engine:
    """What it says; a test changes it as it goes."""

    def __init__(self):
        self.values = dict.fromkeys(NAMES, 0)
        self.asked = []
        self.authorized = []
        self.statuses = []
        self.ignores_names = False
        self.knows_no_names = False
        self.path = "/metrics"  # where it can choose
        self.location = None
        self.body = None
        self.hold = None

    def page(self, only):
        if self.body is not None:
            return self.body
        if self.knows_no_names and only:
            return b""
        chosen = bool(only) and not self.ignores_names
        wanted = [name for name in NAMES if not chosen or name in only]
        page = "".join(f'{name}{{engine="0"}} {self.values[name]}\n' for name in wanted)
        return (page if chosen else f"# HELP much else\n{page}").encode()


@contextmanager
def engine():
    does = Engine()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            only = parse_qs(parts.query).get("name[]", [])
            does.asked.append((parts.path, only))
            does.authorized.append(self.headers.get("authorization"))
            if does.hold is not None:
                does.hold.wait(300)
            page = does.page(only if parts.path == does.path else [])
            self.send_response(does.statuses.pop(0) if does.statuses else 200)
            if does.location:
                self.send_header("location", does.location)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args):
            pass

    with served(Handler) as address:
        yield does, f"{address}/v1"


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lines(folder):
    return [json.loads(line) for line in (folder / ENGINE_METRICS_FILE).read_text().splitlines()]


def test_what_it_says_is_kept_with_the_time_on_the_spans_clock(tmp_path):
    clock = Clock()
    with engine() as (does, url):
        before_ns = clock.now_ns()
        sampler = EngineSampler(url, tmp_path, clock.now_ns, period_s=0.01)
        wait_until(lambda: len(does.asked) > 3)
        does.values["vllm:num_requests_waiting"] = 5
        told = sampler.close()
        after_ns = clock.now_ns()
    head, *rows = lines(tmp_path)
    assert (head["source"], head["address"]) == ("vllm", url.removesuffix("/v1") + "/metrics")
    assert head["names"] == {"running": NAMES[0], "waiting": NAMES[1], "preemptions": NAMES[2]}
    times = [row["time_ns"] for row in rows]
    assert times == sorted(times)
    assert before_ns < times[0] <= times[-1] < after_ns
    assert (rows[0]["waiting"], rows[-1]["waiting"]) == (0, 5), "the last one is taken at the end"
    assert (told.samples, told.failed, told.error, told.source) == (len(rows), 0, None, "vllm")
    assert told.took_ms > 0
    assert read_samples(tmp_path).values["waiting"][-1] == 5


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
def test_only_the_first_time_all_of_the_page_is_asked_for(tmp_path, path):
    with engine() as (does, url):
        does.path = path
        sampler = EngineSampler(url, tmp_path, time.time_ns, period_s=0.01)
        wait_until(lambda: len(does.asked) > 6)
        sampler.close()
    assert does.asked[0] == ("/metrics", [])
    assert all(asked == (path, list(NAMES)) for asked in does.asked[3:])


@pytest.mark.parametrize("habit", ["ignores_names", "knows_no_names"])
def test_a_server_that_cannot_choose_is_read_all_the_same(tmp_path, habit):
    with engine() as (does, url):
        setattr(does, habit, True)
        sampler = EngineSampler(url, tmp_path, time.time_ns, period_s=0.01)
        wait_until(lambda: len(does.asked) > 4)
        told = sampler.close()
    assert told.failed == 0
    assert all("waiting" in row for row in lines(tmp_path)[1:])
    assert all(asked == ("/metrics", []) for asked in does.asked[3:])


def test_the_engine_gets_no_key_and_is_not_left_for_another_address(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with engine() as (elsewhere, there), engine() as (does, url):
        does.statuses, does.location = [302], there
        told = EngineSampler(url, tmp_path, time.time_ns, period_s=60)
        wait_until(lambda: does.asked)
        found = told.close()
    assert found.error == "it answered 302"
    assert elsewhere.asked == []
    assert does.authorized == [None]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b"{}", "it answered 404"),
        (401, b"", "it answered 401"),
        (200, b"<html>no metrics</html>", "it tells nothing under the names of vLLM, TGI, SGLang or llama.cpp"),
        (200, b"x" * (9 << 20), "its page of metrics does not end"),
    ],
)
def test_an_engine_without_metrics_is_asked_once_and_leaves_no_file(tmp_path, status, body, expected):
    with engine() as (does, url):
        does.statuses, does.body = [status], body
        sampler = EngineSampler(url, tmp_path, time.time_ns, period_s=0.01)
        wait_until(lambda: sampler.close().error)
        told = sampler.close()
    assert (told.samples, told.error) == (0, expected)
    assert len(does.asked) == 1
    assert not (tmp_path / ENGINE_METRICS_FILE).exists()


def test_an_engine_that_fails_for_a_while_is_asked_again(tmp_path):
    with engine() as (does, url):
        does.statuses = [200, 200, 200, 503, 503]
        sampler = EngineSampler(url, tmp_path, time.time_ns, period_s=0.01)
        wait_until(lambda: len(does.asked) > 7)
        told = sampler.close()
    assert (told.failed, told.error) == (2, "it answered 503")
    assert told.samples >= 3


def test_a_dead_engine_is_told(tmp_path):
    with engine() as (_, url):
        pass
    sampler = EngineSampler(url, tmp_path, time.time_ns)
    wait_until(lambda: sampler.close().error)
    assert "refused" in sampler.close().error


def test_an_engine_that_hangs_costs_only_a_bounded_wait(tmp_path):
    with engine() as (does, url):
        does.hold = threading.Event()
        sampler = EngineSampler(url, tmp_path, time.time_ns)
        wait_until(lambda: does.asked)
        began = time.monotonic()
        told = sampler.close()
        assert time.monotonic() - began < 120
        does.hold.set()
    assert told.samples == 0


def test_asking_takes_a_fiftieth_of_the_time_at_most(tmp_path):
    """By a clock of its own, on which each answer takes 3 s: after the second, no question for a long time."""
    ticks = iter(range(0, 10**15, 3 * 10**9))
    with engine() as (does, url):
        sampler = EngineSampler(url, tmp_path, lambda: next(ticks), period_s=0.001)
        wait_until(lambda: len(sampler._spent_ns) == 2)
        before = len(does.asked)
        time.sleep(0.2)
        assert len(does.asked) == before
        sampler.close()


def test_a_file_that_cannot_be_written_ends_it_and_nothing_else(tmp_path):
    with engine() as (_, url):
        (tmp_path / ENGINE_METRICS_FILE).mkdir()
        sampler = EngineSampler(url, tmp_path, time.time_ns, period_s=0.01)
        wait_until(lambda: sampler.close().error)
        told = sampler.close()
    assert "cannot write" in told.error
