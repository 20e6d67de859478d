import socket

import pytest

from profiler.cli.engine_spans import check_value, receiving, show
from profiler.engines import EngineOptions
from profiler.errors import EngineUnavailable, UsageError
from profiler.receive.receiver import USUAL_PORT
from profiler.store.manifest import EngineSpans

ATTACHED = EngineOptions(base_url="http://127.0.0.1:8000/v1")
REMOTE = EngineOptions(base_url="http://192.0.2.7:8000/v1")


@pytest.mark.parametrize("value", ["auto", "on", "off", "4317", "0.0.0.0:4317", "localhost:1", "[::1]:65535"])
def test_these_are_values(value):
    assert check_value(value) == value


@pytest.mark.parametrize(
    "value", ["yes", "", "0", "65536", "-1", "4317x", "a:b:4317", "http://127.0.0.1:4317", "::1:5"]
)
def test_anything_else_is_refused_with_what_may_be_said(value):
    with pytest.raises(UsageError, match="neither auto, on, off nor a port") as refused:
        check_value(value)
    assert "4317" in refused.value.remedy


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("off", EngineOptions(backend="vllm")),
        ("auto", EngineOptions(backend="sim")),
        ("auto", ATTACHED),
    ],
)
def test_nothing_listens_where_no_spans_are_wanted(value, options):
    with receiving(value, options) as (receiver, same):
        assert receiver is None
        assert same is options


def test_a_vllm_that_is_started_is_pointed_at_the_receiver_by_itself():
    with receiving("auto", EngineOptions(backend="vllm")) as (receiver, options):
        assert options.spans_endpoint == receiver.endpoint
        assert receiver.host == "127.0.0.1"


def test_the_embedded_engine_is_if_asked_for():
    with receiving("on", EngineOptions(backend="sim")) as (receiver, options):
        assert options.sim.otlp_traces_endpoint == receiver.endpoint


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_for_an_attached_engine_the_flags_to_set_are_told(capsys):
    port = free_port()
    with receiving(str(port), ATTACHED) as (receiver, options):
        assert receiver.port == port
        assert options is ATTACHED
    said = capsys.readouterr().err
    assert f"--otlp-traces-endpoint http://127.0.0.1:{port}/v1/traces" in said
    assert f"--otlp-endpoint http://127.0.0.1:{port}" in said
    assert "cannot be reached" not in said


def test_an_engine_elsewhere_cannot_reach_loopback_and_the_user_is_told(capsys):
    port = free_port()
    with receiving(str(port), REMOTE):
        pass
    assert f"from 192.0.2.7 that cannot be reached: --engine-spans 0.0.0.0:{port}" in capsys.readouterr().err


def test_listening_to_all_names_an_address_that_is_one(capsys):
    with receiving(f"0.0.0.0:{free_port()}", REMOTE):
        pass
    said = capsys.readouterr().err
    assert "http://0.0.0.0" not in said
    assert "cannot be reached" not in said


def test_a_named_port_that_is_taken_is_an_error_before_anything_starts():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineUnavailable, match=f"127.0.0.1:{port}"), receiving(str(port), ATTACHED):
            pass


def test_the_usual_port_taken_means_another_one_and_it_is_told(capsys):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", USUAL_PORT))
            taken.listen()
        except OSError:
            pass  # somebody has it already, which is as good
        with receiving("on", ATTACHED) as (receiver, _):
            assert receiver.port != USUAL_PORT
    said = capsys.readouterr().err
    assert "taking another port" in said


def test_what_went_wrong_is_told_and_nothing_else(capsys):
    show(None)
    show(EngineSpans(endpoint="http://here", received=4, kept=4, calls=4, joined=4))
    assert capsys.readouterr().err == ""
    show(
        EngineSpans(
            endpoint="http://here", received=9, kept=3, other=5, malformed=1, calls=4, joined=3, waited_s=6.5,
            refused={"too large": 2, "TLS": 1},
        )
    )  # fmt: skip
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "the engine sent no span for 1 of 4 calls within 6.5 s of the last chain's end (9 spans came at http://here)",
        "5 spans of the engine are of other traces: not kept",
        "1 spans of the engine could not be kept (broken, or of no finished chain)",
        "requests at http://here that were not taken: TLS 1, too large 2",
    ]
