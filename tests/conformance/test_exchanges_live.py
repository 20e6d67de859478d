"""The embedded engine answers each exchange as its specification has it."""

from __future__ import annotations

import contextlib
import json

import httpx
import pytest
from exchange_docs import MODELS, exchanges, header_kind, stream_unlike, unlike

from profiler.engines import EngineOptions, SimOptions, open_engine
from profiler.engines.model import SIM_DIALECTS
from profiler.record.sse import Decoder


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """The address of the embedded engine in a dialect, started when it is asked for."""
    with contextlib.ExitStack() as stack:
        running = {}

        def address(dialect):
            if dialect not in running:
                options = EngineOptions(
                    backend="sim", model=MODELS[dialect], sim=SimOptions(profile="cpu-tiny", dialect=dialect)
                )
                log_path = tmp_path_factory.mktemp(dialect) / "engine.log"
                engine = stack.enter_context(open_engine(options, log_path=log_path, progress=lambda _: None))
                running[dialect] = engine.info.base_url.removesuffix("/v1")
            return running[dialect]

        yield address


def test_every_dialect_has_exchanges():
    assert {exchange.dialect for exchange in exchanges()} == set(SIM_DIALECTS)


@pytest.mark.parametrize("exchange", exchanges(), ids=lambda each: f"{each.dialect}-{each.name}")
def test_the_embedded_engine_answers_as_specified(engines, exchange):
    spec, exact = exchange.response, exchange.exact
    with httpx.Client(base_url=engines(exchange.dialect), timeout=300, trust_env=False) as client:
        if "before" in exchange.data:
            assert client.post(exchange.data["before"]["path"], json=exchange.data["before"]["body"]).status_code == 200
        headers = {"Content-Type": "application/json"}
        answer = client.request(
            exchange.request["method"], exchange.request["path"], content=exchange.content, headers=headers
        )
    assert answer.status_code == spec["status"], answer.text
    assert answer.headers["content-type"].partition(";")[0] == spec["content_type"].partition(";")[0]
    for name, value in spec.get("headers", {}).items():
        assert header_kind(answer.headers[name]) == header_kind(value), f"{name}: {answer.headers[name]}"
    if "text" in spec:
        assert answer.text.partition(":")[0] == spec["text"].partition(":")[0]
    elif "stream" in spec:
        assert stream_unlike(spec["stream"], events_of(answer, spec["content_type"]), exact) == []
    else:
        assert unlike(spec["body"], answer.json(), exact) == []


def events_of(answer, content_type):
    if content_type == "application/x-ndjson":
        return [json.loads(line) for line in answer.content.splitlines()]
    found = Decoder().feed(answer.content)
    return [event.data.decode() if event.data == b"[DONE]" else json.loads(event.data) for event in found]
