"""The real vLLM under `profiler engine conformance`."""

from __future__ import annotations

import json

import pytest

from profiler.cli import main

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_vllm_does_what_its_protocol_promises(vllm_engine, capsys):
    code = main(["engine", "conformance", "--base-url", vllm_engine.info.base_url, "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (document["protocol"], document["usable"], document["context_tokens"]) == ("vllm", True, 8192)
    assert document["server"] == f"vLLM {vllm_engine.info.version}"
    states = {check["check"]: check["state"] for check in document["checks"]}
    assert [name for name, state in states.items() if state == "deviates"] == []
    for name in ("chat", "stream", "spread", "stream usage", "max_tokens", "timing", "cached tokens", "request id"):
        assert states[name] == "yes", name
    for name in ("bad JSON", "unknown model", "bad value", "too long", "stream error", "client defaults"):
        assert states[name] == "yes", name
