"""`profiler engine conformance` against the embedded engine in every dialect, and against what is no such server."""

from __future__ import annotations

import contextlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from profiler.cli import main
from profiler.conformance.protocols import PROTOCOLS
from profiler.conformance.suite import CHECKS, NATIVE, NEEDED
from profiler.engines import EngineOptions, SimOptions, open_engine
from profiler.engines.model import SIM_DIALECTS

# What each does not do, or cannot be found out; all else it does.
LACKING = {
    "vllm": {"role chunk": "no", "tool deltas": "no"},
    "tgi": {
        "client defaults": "no",
        "exact length": "no",
        "ignore_eos": "no",
        "cached tokens": "no",
        "request id": "no",
        "stream error": "no",
    },
    "ollama": {
        "exact length": "no",
        "ignore_eos": "no",
        "tool_choice none": "no",
        "tool_choice required": "no",
        "tool deltas": "no",
        "cached tokens": "no",
        "request id": "no",
        "bad value": "no",
        "too long": "no",
    },
    "openai": {
        "role chunk": "no",
        "unknown fields": "no",
        "exact length": "no",
        "ignore_eos": "no",
        "timing": "no",
        "request id": "no",
        "too long": "unknown",
    },
    "llama.cpp": {
        "role chunk": "no",
        "request id": "no",
        "bad JSON": "no",
        "unknown model": "no",
        "bad value": "no",
    },
}


@contextlib.contextmanager
def serving(folder, dialect="vllm", **options):
    sim = SimOptions(profile="cpu-tiny", dialect=dialect, **options)
    engine = EngineOptions(backend="sim", sim=sim)
    with open_engine(engine, log_path=folder / "engine.log", progress=lambda _: None) as opened:
        yield opened.info.base_url


def examined(capsys, *arguments):
    code = main(["engine", "conformance", "--format", "json", *arguments])
    out = capsys.readouterr()
    return code, json.loads(out.out) if out.out else None, out.err


def test_every_dialect_of_the_embedded_engine_is_a_protocol():
    assert set(PROTOCOLS) == set(SIM_DIALECTS) == set(LACKING)


@pytest.mark.parametrize("dialect", SIM_DIALECTS)
def test_each_dialect_is_recognised_and_does_what_its_protocol_promises(tmp_path, capsys, dialect):
    with serving(tmp_path, dialect) as base_url:
        for _ in range(8):  # a busy machine reads in one go what came in many: that may be, and not each time
            code, document, progress = examined(capsys, "--base-url", base_url)
            states = {check["check"]: check["state"] for check in document["checks"]}
            if states["spread"] == "yes":
                break
    assert (code, document["usable"], document["protocol"]) == (0, True, dialect)
    assert "embedded engine" in document["server"]
    names = ["models", *(name for name, *_ in CHECKS)]
    names += [name for name, *_ in NATIVE] if dialect in ("tgi", "ollama") else []
    assert list(states) == names
    assert {name: state for name, state in states.items() if state != "yes"} == LACKING[dialect]
    for check in document["checks"]:
        assert bool(check["means"]) is (check["state"] == "no"), check
    assert "a streamed chat comes as events" in progress


def test_what_another_protocol_promises_is_told_as_a_deviation_with_what_it_means(tmp_path, capsys):
    with serving(tmp_path, "llama.cpp") as base_url:
        code = main(["engine", "conformance", "--base-url", base_url, "--protocol", "openai"])
    text = capsys.readouterr().out
    assert code == 0
    assert "Deviations from its protocol" in text
    assert "another model's name is refused: answers to any name. A misspelt --model goes unnoticed" in " ".join(
        text.split()
    )
    assert "Usable, with 3 deviations from its protocol." in text


def test_a_server_that_answers_no_chat_is_of_no_use(tmp_path, capsys):
    with serving(tmp_path, faults=("error-500=1",)) as base_url:
        code, document, _ = examined(capsys, "--base-url", base_url)
    assert (code, document["usable"]) == (3, False)
    states = {check["check"]: check["state"] for check in document["checks"]}
    assert (states["models"], states["chat"]) == ("yes", "deviates")
    assert {state for name, state in states.items() if name not in ("models", "chat")} == {"unknown"}


def test_a_stream_that_is_held_back_until_its_end_is_seen(tmp_path, capsys):
    with serving(tmp_path, traits=("join=999",)) as base_url:
        code, document, _ = examined(capsys, "--base-url", base_url)
    spread = next(check for check in document["checks"] if check["check"] == "spread")
    assert (code, spread["state"]) == (0, "deviates")
    assert "proxy" in spread["means"]


def test_a_model_that_is_named_need_not_be_listed(capsys):
    """As with `transformers serve`: its list may be empty, and it answers all the same."""
    with answering(200, b'{"object": "list", "data": []}') as base_url:
        code, document, _ = examined(capsys, "--base-url", base_url, "--model", "mine")
    models, chat = document["checks"][:2]
    assert (models["state"], models["needed"], document["model"]) == ("deviates", False, "mine")
    assert (code, chat["state"]) == (3, "deviates"), "this one does not answer"


def test_several_tokens_a_chunk_are_seen(tmp_path, capsys):
    with serving(tmp_path, traits=("tokens-per-chunk=4",)) as base_url:
        _, document, _ = examined(capsys, "--base-url", base_url)
    found = next(check for check in document["checks"] if check["check"] == "one token")
    assert (found["state"], "tokens in" in found["found"]) == ("no", True)


# --- no server of this kind -------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(status, body, kind="application/json"):
    """Something that answers the same to everything."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"{}", "wants an API key"),
        (200, b"<html>", "not an LLM server"),
        (200, b'{"data": []}', "names no model"),
        (404, b"not here", "names no model"),
    ],
)
def test_what_is_no_such_server_is_told_with_exit_code_4(capsys, status, body, said):
    with answering(status, body) as base_url:
        code, document, err = examined(capsys, "--base-url", base_url)
    assert (code, document) == (4, None)
    assert said in err


def test_nothing_there_is_exit_code_4(capsys):
    code, _, err = examined(capsys, "--base-url", "http://127.0.0.1:9/v1")
    assert code == 4
    assert "connection refused" in err


def test_a_server_that_lists_models_and_answers_garbage_is_of_no_use(capsys):
    with answering(200, b'{"data": [{"id": "m"}], "choices": "no"}') as base_url:
        code, document, _ = examined(capsys, "--base-url", base_url)
    assert (code, document["usable"]) == (3, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--base-url"),
        (["--base-url", "ftp://x/v1"], "http"),
        (["--base-url", "http://127.0.0.1:9/v1", "--api-key-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        (["--base-url", "http://127.0.0.1:9/v1", "--protocol", "grpc"], "grpc"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_exit_code_2(capsys, arguments, said):
    assert main(["engine", "conformance", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_model_that_is_not_served_is_told_with_those_that_are(tmp_path, capsys):
    with serving(tmp_path) as base_url:
        code, _, err = examined(capsys, "--base-url", base_url, "--model", "cpu-tinny")
    assert code == 4
    assert "Did you mean --model cpu-tiny?" in err


def test_what_is_needed_is_little():
    assert set(NEEDED) < {"models", *(name for name, *_ in CHECKS)}
