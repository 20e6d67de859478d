"""Which server answers, from what each kind says of itself by its own documentation."""

from __future__ import annotations

import pytest

from profiler.engines.recognise import TITLES, recognise
from profiler.record.servers import server_of

TGI_INFO = {
    "model_id": "org/model",
    "max_concurrent_requests": 128,
    "max_total_tokens": 4096,
    "router": "text-generation-router",
    "version": "3.3.7",
}
PROPS = {
    "default_generation_settings": {"n_ctx": 8192},
    "total_slots": 4,
    "model_alias": "tiny",
    "build_info": "b6970-7f09a680",
}
SGLANG = {"model_path": "org/model", "served_model_name": "org/model", "version": "0.5.4"}
OPENAPI = {"paths": {"/v1/chat/completions": {}, "/load_model": {}, "/reset": {}, "/health": {}}}


def seen(owners=(), headers=None, *, lengths=False, **pages):
    asked = []

    def page(path):
        asked.append(path)
        return pages.get(path.strip("/").replace("/", "_").replace(".", "_"))

    return recognise(owners, headers or {}, page, tells_lengths=lengths), asked


@pytest.mark.parametrize(
    ("pages", "server", "version", "model", "length"),
    [
        ({"info": TGI_INFO}, "tgi", "3.3.7", "org/model", 4096),
        ({"api_version": {"version": "0.9.1"}}, "ollama", "0.9.1", None, None),
        ({"props": PROPS}, "llama.cpp", "b6970-7f09a680", "tiny", 8192),
        ({"get_server_info": SGLANG}, "sglang", "0.5.4", "org/model", None),
        ({"api_v0_models": {"object": "list", "data": []}}, "lmstudio", None, None, None),
        ({"openapi_json": OPENAPI}, "transformers", None, None, None),
        ({"openapi_json": {"paths": {"/v1/chat/completions": {}}}}, "openai", None, None, None),
        ({"version": {"version": "0.32.0"}}, "openai", "0.32.0", None, None),
        ({}, "openai", None, None, None),
    ],
)
def test_a_server_is_known_by_the_page_that_only_its_kind_has(pages, server, version, model, length):
    found, _ = seen(**pages)
    assert (found.server, found.version, found.model, found.max_model_len) == (server, version, model, length)
    assert (found.by is None) == (server == "openai")


@pytest.mark.parametrize(
    ("owner", "server"),
    [
        ("vllm", "vllm"),
        ("sglang", "sglang"),
        ("llamacpp", "llama.cpp"),
        ("library", "ollama"),
        ("organization_owner", "lmstudio"),
    ],
)
def test_the_owner_of_its_models_tells_first_and_asks_for_no_other_kinds_page(owner, server):
    found, asked = seen([owner])
    assert found.server == server
    assert len(asked) <= 1


def test_a_header_tells_llama_cpp_and_its_page_the_rest():
    found, asked = seen(headers={"server": "llama.cpp"}, props=PROPS)
    assert (found.server, found.version, asked) == ("llama.cpp", "b6970-7f09a680", ["/props"])


def test_a_version_page_alone_is_no_vllm_but_with_the_length_of_models_it_is():
    assert seen(version={"version": "0.32.0"}, lengths=True)[0].server == "vllm"
    assert seen(version={"version": "0.32.0"})[0].server == "openai"


@pytest.mark.parametrize("value", [None, [], "x", 7, {"version": 7}, {"model_id": "m"}, {"paths": []}, {"data": {}}])
def test_pages_of_any_other_shape_tell_nothing(value):
    names = ("info", "api_version", "props", "get_server_info", "version", "api_v0_models", "openapi_json")
    assert seen(**dict.fromkeys(names, value))[0].server == "openai"


@pytest.mark.parametrize("name", TITLES)
def test_every_kind_that_is_recognised_is_one_whose_requests_are_known(name):
    assert server_of(name).name == name
