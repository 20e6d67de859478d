"""Spans to collectors: all arrive as they are, or it is told which did not and why."""

import sys
import threading
from pathlib import Path

import grpc
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from span_collectors import answering, free_port, grpc_collector, http_collector, raw_server

from profiler.exchange import sending
from profiler.exchange.documents import document
from profiler.exchange.sending import Sender, halves
from profiler.exchange.transports import Answer, spoken_at
from traces import chain, item


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("HEADERS", "PROTOCOL", "COMPRESSION", "ENDPOINT", "CERTIFICATE"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_TRACES_{name}", raising=False)


def send(endpoint, protocol="http/protobuf", items=None, **options):
    options = {"timeout_s": 60.0, "patience_s": 0.0, **options}
    sender = Sender(endpoint, protocol, **options)
    try:
        sender.send(document(chain() if items is None else items))
    finally:
        sender.close()
    return sender


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_all_that_is_sent_over_http_arrives_as_it_is(protocol):
    with http_collector() as (endpoint, collector):
        account = send(endpoint, protocol).account
    assert (account.sent, account.not_sent, account.reason) == (6, 0, None)
    assert [(each.resource, each.span) for each in collector.items] == [(each.resource, each.span) for each in chain()]
    assert collector.requests[0]["path"] == "/v1/traces"


def test_all_that_is_sent_over_grpc_arrives_as_it_is():
    with grpc_collector() as (endpoint, collector):
        account = send(endpoint, "grpc").account
    assert (account.sent, account.not_sent) == (6, 0)
    assert [each.span for each in collector.items] == [each.span for each in chain()]


def test_headers_compression_and_path_are_those_of_the_standard_variables(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key, x-team=a")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with http_collector() as (endpoint, collector):
        assert send(f"{endpoint}/otel/spans").account.sent == 6
    request = collector.requests[0]
    assert (request["authorization"], request["x-team"]) == ("Bearer key", "a")
    assert (request["content-encoding"], request["path"]) == ("gzip", "/otel/spans")
    with grpc_collector() as (endpoint, collector):
        assert send(endpoint, "grpc").account.sent == 6
    assert collector.requests[0]["authorization"] == "Bearer key"


def test_a_busy_collector_is_asked_again_and_when_it_wants():
    with http_collector() as (endpoint, collector):
        collector.answers = [(503, b"", {"retry-after": "0.01"}), (429, b"", {"retry-after": "0.01"})]
        assert send(endpoint, patience_s=5.0).account.sent == 6
    assert len(collector.requests) == 3


@pytest.mark.parametrize(
    ("status", "says", "gives_up"),
    [
        (401, "OTEL_EXPORTER_OTLP_HEADERS", True),
        (404, "is /v1/traces its path", True),
        (503, "it answered 503: on purpose", True),
        (400, "it answered 400: on purpose", False),
        (500, "it answered 500", False),
    ],
)
def test_a_refusal_is_told_with_its_answer(status, says, gives_up):
    with http_collector() as (endpoint, collector):
        collector.answers = [(status, b"on purpose", {})]
        sender = send(endpoint)
    assert (sender.account.sent, sender.account.not_sent, sender.given_up) == (0, 6, gives_up)
    assert says in sender.account.reason


def test_one_document_that_is_refused_does_not_keep_others_back_but_all_are_refused_only_a_few_times():
    with http_collector() as (endpoint, collector):
        collector.answers = [(400, b"", {})] * 10
        sender = Sender(endpoint, "http/protobuf", patience_s=0.0)
        for _ in range(6):
            sender.send(document(chain()))
        sender.close()
    assert len(collector.requests) == sending.MOST_REFUSALS
    assert (sender.account.sent, sender.account.not_sent) == (0, 36)


def test_rejected_spans_of_a_document_that_was_taken_are_told():
    with http_collector() as (endpoint, collector):
        collector.rejected = 2
        account = send(endpoint).account
    assert (account.sent, account.not_sent, account.reason) == (4, 2, "rejected: no room")


def test_a_document_that_is_too_large_is_halved_until_it_fits():
    items = [item("root", 0, 10_000), *(item(f"c{number}", number, number + 5, "root") for number in range(20))]
    with http_collector() as (endpoint, collector):
        collector.most_bytes = 500
        account = send(endpoint, items=items).account
    assert (account.sent, account.not_sent) == (21, 0)
    assert sorted(collector.names) == sorted(each.span["name"] for each in items)
    assert all(halves(document(items)))


def test_a_collector_that_hangs_is_left_after_the_stated_time():
    with http_collector() as (endpoint, collector):
        collector.hold = threading.Event()
        account = send(endpoint, timeout_s=0.1).account
        collector.hold.set()
    assert account.reason == "no answer within 0.1 s"


def test_nobody_there_is_told():
    assert "it cannot be reached" in send(f"http://127.0.0.1:{free_port()}").account.reason
    assert "it cannot be reached" in send(f"http://127.0.0.1:{free_port()}", "grpc").account.reason


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort"])
def test_garbage_is_told_as_such(answer):
    with raw_server(answer) as endpoint:
        account = send(endpoint).account
    assert account.sent == 0
    assert account.reason


def test_a_web_page_that_says_200_is_no_collector():
    with http_collector() as (endpoint, collector):
        collector.answers = [(200, b"<html>Welcome</html>", {"content-type": "text/html"})]
        sender = send(endpoint)
    assert "not as a collector does" in sender.account.reason
    assert sender.given_up


def test_an_address_of_grpc_that_is_given_for_http_is_told_with_the_remedy():
    with grpc_collector() as (endpoint, _):
        sender = send(endpoint, "http/protobuf")
        assert spoken_at(endpoint) == "grpc"
    assert "it speaks gRPC, not HTTP/1.1: give --protocol grpc" in sender.account.reason
    assert sender.given_up


def test_an_address_of_http_that_is_given_for_grpc_is_told_with_the_remedy():
    with http_collector() as (endpoint, _):
        sender = send(endpoint, "grpc")
        assert spoken_at(endpoint) == "http"
    assert "it speaks HTTP/1.1, not gRPC: give --protocol http/protobuf" in sender.account.reason
    assert sender.given_up


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "OTEL_EXPORTER_OTLP_HEADERS"),
        (grpc.StatusCode.UNIMPLEMENTED, "takes no traces"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT: on purpose"),
    ],
)
def test_a_refusal_over_grpc_is_told(code, says):
    with grpc_collector(code) as (endpoint, _):
        assert says in send(endpoint, "grpc").account.reason


class Flaky:
    """A way to nowhere that answers what it is told to."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def send(self, document, timeout_s):
        return self.answers.pop(0)

    def close(self):
        pass


def test_patience_has_an_end_and_then_nothing_more_is_tried():
    clock = iter(range(0, 1000, 10))
    busy = Answer(taken=False, again=True, wait_s=0.0, reason="busy")
    way = Flaky(*[busy] * 20)
    sender = Sender("http://x:1", "grpc", way=way, patience_s=30.0, clock=lambda: next(clock))
    sender.send(document(chain()))
    sender.send(document(chain()))
    assert len(way.answers) == 17
    assert (sender.given_up, sender.account.not_sent, sender.account.reason) == (True, 12, "busy")


def test_a_run_that_ends_interrupts_the_pauses():
    stop = threading.Event()
    stop.set()
    sender = Sender("http://x:1", "grpc", way=Flaky(Answer(taken=True)), stop=stop)
    sender.send(document(chain()))
    assert sender.account.not_sent == 6


def test_what_keeps_a_document_waiting_is_known_before_patience_has_ended():
    class Stopping(threading.Event):
        def wait(self, timeout=None):
            known.append(sender.account.trouble)
            return True

    known = []
    way = Flaky(Answer(taken=False, again=True, reason="connection refused"))
    sender = Sender("http://x:1", "grpc", way=way, stop=Stopping(), patience_s=30.0)
    sender.send(document(chain()))
    assert known == ["connection refused"]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (b'{"partialSuccess":5}', 0),
        (b"[" * 200_000, 0),
        (b'{"partialSuccess":{"rejectedSpans":Infinity}}', 0),
        (b'{"partialSuccess":{"rejectedSpans":-5}}', 6),
        (b'{"partialSuccess":{"rejectedSpans":900}}', 0),
    ],
    ids=["a number", "deep", "infinitely many", "fewer than none", "more than all"],
)
def test_an_odd_account_of_what_was_taken_is_no_error_of_ours(said, sent):
    with http_collector() as (endpoint, collector):
        collector.answers = [(200, said, {"content-type": "application/json"})]
        account = send(endpoint).account
    assert (account.sent, account.not_sent) == (sent, 6 - sent)


def test_a_collector_that_wants_the_next_try_at_once_is_not_hammered():
    with http_collector() as (endpoint, collector):
        collector.answers = [(503, b"", {"retry-after": "0"})] * 1000
        assert send(endpoint, patience_s=1.0).account.sent == 0
    assert len(collector.requests) == 2


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "body"])
def test_an_answer_that_drips_is_cut_off_after_the_stated_time(begin):
    with answering([begin, b" "], pause_s=0.05) as port:
        account = send(f"http://127.0.0.1:{port}", timeout_s=0.5).account
    assert account.reason == "no answer within 0.5 s"
