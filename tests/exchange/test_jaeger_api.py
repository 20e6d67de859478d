"""Traces out of Jaeger: every one once, window after window, whatever Jaeger does."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from jaeger_server import jaeger_server
from span_collectors import answering, raw_server

from profiler.errors import BackendUnavailable, DataError
from profiler.exchange import jaeger_api
from profiler.exchange.jaeger_api import JaegerApi, check_service
from traces import BASE, item

MS = 1_000_000
S = 10**9


@pytest.fixture
def server():
    with jaeger_server() as (address, store):
        yield address, store


OPEN = []


@pytest.fixture(autouse=True)
def closed():
    yield
    while OPEN:
        OPEN.pop().close()


def api(address, **options):
    OPEN.append(JaegerApi(address, pause=lambda seconds: None, **options))
    return OPEN[-1]


def fill(store, starts, service="agent"):
    for number, start in enumerate(starts):
        trace = f"{number:032x}"
        store.add([item("root", start, start + 5 * MS, trace=trace, service=service)])
        store.add([item("child", start + 1, start + 4 * MS, "root", trace=trace, service="vllm")])


def imported(found):
    spans = [each for window in found for each in window.items]
    return sorted(each.trace_id for each in spans if each.span["name"] == "root")


@pytest.mark.parametrize("page", [3, 7, 100])
def test_all_traces_come_whatever_the_page(server, page):
    address, store = server
    fill(store, [number * 37 * MS for number in range(40)] + [3600 * S, 3601 * S])
    windows = list(api(address, page=page).windows("agent", BASE, BASE + 2 * 3600 * S))
    assert imported(windows) == [f"{number:032x}" for number in range(42)]
    assert not any(window.full for window in windows)
    assert windows[0].start_ns == BASE
    assert windows[-1].end_ns == BASE + 2 * 3600 * S
    assert all(one.end_ns == other.start_ns for one, other in pairwise(windows))


def test_windows_grow_where_there_is_little_and_shrink_where_there_is_much(server):
    address, store = server
    fill(store, [number * MS for number in range(50)])
    list(api(address, page=10).windows("agent", BASE, BASE + 30 * 24 * 3600 * S))
    assert len(store.queries) < 60


def test_a_moment_with_more_than_a_page_is_told(server):
    address, store = server
    fill(store, [0] * 5)
    windows = list(api(address, page=3).windows("agent", BASE, BASE + S))
    assert [window.full for window in windows if window.items] == [True]


def test_both_spellings_of_the_parameters_are_sent(server):
    address, store = server
    list(api(address).windows("agent", BASE, BASE + S))
    query = store.queries[0]
    assert query["query.serviceName"] == query["query.service_name"] == "agent"
    assert query["query.startTimeMin"] == query["query.start_time_min"]
    assert query["query.searchDepth"] == query["query.num_traces"] == "100"


def test_results_that_are_streamed_one_by_one_are_read(server):
    address, store = server
    store.streamed = True
    fill(store, [0, MS, 2 * MS])
    assert len(imported(api(address).windows("agent", BASE, BASE + S))) == 3


def test_a_busy_jaeger_is_asked_again(server):
    address, store = server
    fill(store, [0])
    store.fail = [(503, b"busy"), (429, b"")]
    assert len(imported(api(address).windows("agent", BASE, BASE + S))) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((400, b'{"error":{"httpCode":400,"message":"malformed parameter"}}'), "malformed parameter"),
        ((404, b"404 page not found"), "does not answer as Jaeger's API"),
        ((200, b"<html>hello</html>"), "cannot be read as traces"),
        ((200, b'{"result": 5}'), "cannot be read as traces"),
        ((200, b'{"error":{"message":"disk is full"}}'), "disk is full"),
        ((403, b"go away"), "403: go away"),
    ],
)
def test_wrong_answers_are_told_in_words(server, answer, says):
    address, store = server
    store.fail = [answer]
    with pytest.raises(BackendUnavailable, match=address) as caught:
        list(api(address).windows("agent", BASE, BASE + S))
    assert says in caught.value.message


def test_an_answer_that_is_too_large_is_asked_for_in_parts(server, monkeypatch):
    address, store = server
    fill(store, [number * 10 * MS for number in range(20)])
    monkeypatch.setattr(jaeger_api, "MOST_BYTES", 6_000)
    assert len(imported(api(address).windows("agent", BASE, BASE + S))) == 20


def test_a_token_is_sent_and_a_missing_one_told(server):
    address, store = server
    store.token = "secret"
    fill(store, [0])
    assert api(address, token="secret").services() == ["agent", "vllm"]
    with pytest.raises(BackendUnavailable) as caught:
        api(address).services()
    assert "--token-env" in caught.value.remedy


def test_nobody_there_is_told():
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        api("http://127.0.0.1:9").services()


@pytest.mark.parametrize(
    ("services", "wanted", "says"),
    [([], None, "no traces yet"), (["a", "b"], None, "several services: a, b"), (["a"], "x", "no service x; it has a")],
)
def test_which_service_is_asked_for_or_told(services, wanted, says):
    with pytest.raises(DataError, match=says):
        check_service(services, wanted, "http://j")


def test_the_only_service_needs_no_name():
    assert check_service(["agent"], None, "http://j") == "agent"


def answered(body):
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def test_an_answer_that_is_nested_without_end_is_told():
    with raw_server(answered(b"[" * 200_000)) as address, pytest.raises(BackendUnavailable, match="does not answer as"):
        api(address).services()


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "body"])
def test_an_answer_that_drips_is_cut_off(monkeypatch, begin):
    monkeypatch.setattr(jaeger_api, "_TRIES", 1)
    with (
        answering([begin, b" "], pause_s=0.05) as port,
        pytest.raises(BackendUnavailable, match="its answer was not over after 2 s"),
    ):
        api(f"http://127.0.0.1:{port}", timeout_s=0.5).services()
