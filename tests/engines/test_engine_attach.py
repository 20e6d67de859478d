from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from profiler.engines import EngineOptions, open_engine
from profiler.errors import EngineUnavailable, UsageError

MODELS = {"object": "list", "data": [
    {"id": "alpha", "root": "org/Alpha-7B", "max_model_len": 4096, "owned_by": "vllm"},
    {"id": "beta", "root": "org/Beta", "max_model_len": "many", "owned_by": "vllm"},
]}  # fmt: skip


@contextmanager
def server(**pages):
    """A loopback server that answers with the given pages and otherwise 404."""
    seen = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.update({name.lower(): value for name, value in self.headers.items()})
            status, headers, body = pages.get(self.path.strip("/").replace("/", "_"), (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", seen
        finally:
            running.shutdown()
            thread.join()


def page(value, status=200, kind="application/json", **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {"content-type": kind, **headers}, body


def attach(url, tmp_path, said=None, **options):
    options = {"request_timeout_s": 5, **options}
    said = [] if said is None else said
    with open_engine(EngineOptions(base_url=url, **options), log_path=tmp_path / "log", progress=said.append) as engine:
        engine.check()
        return engine


def refusal(url, tmp_path, **options):
    with pytest.raises(EngineUnavailable) as caught:
        attach(url, tmp_path, **options)
    assert caught.value.remedy
    return caught.value


def test_a_running_server_is_described_by_what_it_says(tmp_path):
    with server(v1_models=page(MODELS), version=page({"version": "0.32.0"}), health=page(b"")) as (url, _):
        engine = attach(url, tmp_path)
    info = engine.info
    assert (info.base_url, info.model, info.models) == (f"{url}/v1", "alpha", ("alpha", "beta"))
    assert (info.version, info.max_model_len, info.managed, info.command) == ("0.32.0", 4096, False, ())
    assert engine.log_tail() == []


def test_the_first_of_several_models_is_used_and_said_so(tmp_path):
    said = []
    with server(v1_models=page(MODELS)) as (url, _):
        attach(url, tmp_path, said)
    assert "alpha" in said[0]
    assert "beta" in said[0]


def test_a_model_is_found_by_its_root_too(tmp_path):
    with server(v1_models=page(MODELS)) as (url, _):
        info = attach(url, tmp_path, model="org/Beta").info
    assert (info.model, info.max_model_len) == ("beta", None)


def test_a_model_that_is_not_served_lists_those_that_are_and_suggests_one(tmp_path):
    with server(v1_models=page(MODELS)) as (url, _):
        error = refusal(url, tmp_path, model="alpah")
    assert "alpha, beta" in error.message
    assert "--model alpha" in error.remedy


def test_the_api_key_is_sent_and_in_no_message(tmp_path):
    with server(v1_models=page(MODELS)) as (url, seen):
        engine = attach(url, tmp_path, api_key="s3cret")
    assert seen["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(engine.info)
    assert "s3cret" not in repr(EngineOptions(api_key="s3cret"))


def test_a_server_that_says_nothing_of_itself_may_be_a_vllm_at_the_users_word(tmp_path):
    said = []
    with server(v1_models=page({"data": [{"id": "m", "owned_by": "gateway"}]})) as (url, _):
        info = attach(url, tmp_path, said).info
        plain = attach(url, tmp_path, backend="openai").info
    assert "does not look like vLLM" in said[-1]
    assert (info.name, info.server) == ("vllm", "vllm")
    assert (plain.name, plain.server, plain.recognised_by) == ("openai", "openai", None)


OLLAMA = {"object": "list", "data": [{"id": "qwen3:latest", "object": "model", "owned_by": "library"}]}
TGI = {"model_id": "org/m", "max_total_tokens": 2048, "version": "3.3.7"}


@pytest.mark.parametrize(
    ("backend", "pages", "words", "remedy"),
    [
        ("vllm", {"v1_models": page(OLLAMA), "api_version": page({"version": "0.9"})}, "is Ollama 0.9", "ollama"),
        ("tgi", {"v1_models": page(MODELS), "version": page({"version": "0.32"})}, "is vLLM 0.32", "--backend vllm"),
        ("ollama", {"v1_models": page({"data": [{"id": "org/m"}]}), "info": page(TGI)}, "is TGI 3.3.7", "tgi"),
        ("ollama", {"v1_models": page({"data": [{"id": "m"}]})}, "does not look like Ollama", "--backend openai"),
        ("tgi", {"v1_models": page({"data": [{"id": "m"}]})}, "does not look like TGI", "--backend openai"),
        ("tgi", {"v1_models": page({"data": [{"id": "m", "owned_by": "sglang"}]})}, "is SGLang", "--backend openai"),
    ],
)
def test_a_server_of_another_kind_is_refused_with_the_backend_that_fits(tmp_path, backend, pages, words, remedy):
    with server(**pages) as (url, _), pytest.raises(UsageError) as caught:
        attach(url, tmp_path, backend=backend)
    assert words in caught.value.message
    assert remedy in caught.value.remedy


def test_a_tgi_without_a_list_of_models_is_attached_to_by_its_info(tmp_path):
    with server(info=page(TGI), health=page(b"")) as (url, _):
        info = attach(url, tmp_path, backend="tgi").info
    assert (info.name, info.server, info.version) == ("tgi", "tgi", "3.3.7")
    assert (info.model, info.max_model_len, info.recognised_by) == ("org/m", 2048, "its /info")


def test_an_ollama_model_is_found_without_its_tag(tmp_path):
    with server(v1_models=page(OLLAMA), api_version=page({"version": "0.9"})) as (url, _):
        info = attach(url, tmp_path, backend="ollama", model="qwen3").info
    assert (info.model, info.version) == ("qwen3:latest", "0.9")


def test_an_ollama_without_any_model_says_how_to_get_one(tmp_path):
    empty = page({"object": "list", "data": None})
    with server(v1_models=empty, api_version=page({"version": "0.9"})) as (url, _):
        error = refusal(url, tmp_path, backend="ollama")
    assert "serves no model" in error.message
    assert "ollama pull" in error.remedy


def test_a_server_that_loads_on_demand_need_not_list_the_model(tmp_path):
    described = {"paths": {"/load_model": {}, "/reset": {}, "/v1/chat/completions": {}}}
    pages = {"v1_models": page({"object": "list", "data": []}), "openapi.json": page(described)}
    with server(**pages) as (url, _):
        info = attach(url, tmp_path, backend="openai", model="./folder").info
    assert (info.model, info.server) == ("./folder", "transformers")


def test_pages_that_never_come_take_no_longer_than_one_request_may(tmp_path):
    def talk(connection, over):
        asked = connection.recv(65536)
        if b"/v1/models" not in asked:
            over.wait(200)  # longer than all of them may take together
            return
        body = b'{"data": [{"id": "m"}]}'
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)

    with raw_server(talk) as port:
        error = refusal(f"http://127.0.0.1:{port}", tmp_path, request_timeout_s=2)
    assert "/health did not answer within 2 s" in error.message


@pytest.mark.parametrize(
    ("models", "options", "words"),
    [
        (page({}, 401), {}, "wants an API key"),
        (page({}, 403), {"api_key": "k"}, "refused the API key"),
        (page({}, 404), {}, "404"),
        (page({}, 500), {}, "HTTP 500"),
        (page({}, 302, location="http://elsewhere.invalid/v1/models"), {}, "redirects to http://elsewhere"),
        (page(b"<!DOCTYPE html><p>hi", kind="text/html"), {}, "HTML"),
        (page(b"hello"), {}, "not JSON"),
        (page({"models": []}), {}, "no list of models"),
        (page([1, 2]), {}, "no list of models"),
        (page(b"[" * 100_000), {}, "not JSON"),
        (page({"data": []}), {}, "serves no model"),
        (page({"data": [{"id": 7}, "x"]}), {}, "serves no model"),
        (page(b"[" + b" " * 5_000_000), {}, "exceeds"),
    ],
)
def test_each_useless_answer_has_its_own_message(tmp_path, models, options, words):
    with server(v1_models=models) as (url, _):
        assert words in refusal(url, tmp_path, **options).message


def test_a_missing_key_names_the_option_for_it(tmp_path):
    with server(v1_models=page({}, 401)) as (url, _):
        assert "--api-key-env" in refusal(url, tmp_path).remedy


def test_a_key_that_no_header_can_carry_is_refused(tmp_path):
    with server(v1_models=page(MODELS)) as (url, _):
        assert "API key" in refusal(url, tmp_path, api_key="schlüssel→").message


def test_an_engine_that_calls_itself_unwell_is_refused(tmp_path):
    with server(v1_models=page(MODELS), health=page(b"", 503)) as (url, _):
        assert "not well" in refusal(url, tmp_path).message


def test_nothing_listening_is_connection_refused(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port meanwhile
        error = refusal(f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path)
    assert "refused" in error.message


def test_an_unknown_host_is_named(tmp_path):
    error = refusal("http://no-such-host.invalid:8000", tmp_path, request_timeout_s=30)
    assert "resolved" in error.message


@contextmanager
def raw_server(talk):
    """A socket server that hands each connection to `talk`."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                talk(connection, over)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_server_that_never_answers_is_a_timeout(tmp_path):
    with raw_server(lambda connection, over: over.wait(200)) as port:
        error = refusal(f"http://127.0.0.1:{port}", tmp_path, request_timeout_s=0.2)
    assert "did not answer within 0.2 s" in error.message


def test_a_server_that_drips_for_ever_is_a_timeout_too(tmp_path):
    def drip(connection, over):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not over.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                return

    with raw_server(drip) as port:
        error = refusal(f"http://127.0.0.1:{port}", tmp_path, request_timeout_s=0.4)
    assert "did not answer" in error.message


def test_what_speaks_no_http_is_told_apart(tmp_path):
    def greet(connection, over):
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

    with raw_server(greet) as port:
        assert "does not speak HTTP" in refusal(f"http://127.0.0.1:{port}", tmp_path).message


def test_tls_to_a_plain_port_says_to_try_http(tmp_path):
    with server(v1_models=page(MODELS)) as (url, _):
        error = refusal(url.replace("http://", "https://"), tmp_path)
    assert "TLS" in error.message
    assert "http://" in error.remedy


def test_only_vllm_is_started_without_an_address(tmp_path):
    options = EngineOptions(backend="ollama")
    with pytest.raises(UsageError, match="ollama"), open_engine(options, log_path=tmp_path / "l", progress=print):
        pass
