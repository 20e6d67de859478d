"""What tests of all folders share: the real engine, and which of them run whole programs."""

from __future__ import annotations

import compileall
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from profiler.engines import EngineOptions, open_engine
from profiler.errors import EngineUnavailable

pytest_plugins = ["pytester"]


# No clock and no luck decides a property test: a loaded machine is slow, and the same examples are tried every time.
# `pytest --hypothesis-profile search` looks for others, and for more where a test does not say how many.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, max_examples=30
)
settings.register_profile("search", settings.get_profile("suite"), derandomize=False, max_examples=500)
settings.load_profile("suite")

# They start processes and servers and wait for them: seconds each, where the rest takes milliseconds.
LIVE = (
    "test_ab",
    "test_backend",
    "test_check_agent",
    "test_comparison_in_browser",
    "test_conformance_live",
    "test_engine_command",
    "test_engine_process",
    "test_engine_provision",
    "test_engine_simulated",
    "test_engine_tgi",
    "test_exchanges_live",
    "test_exchange",
    "test_explained",
    "test_jaeger_api",
    "test_jaeger_process",
    "test_pytest_plugin",
    "test_react_agent",
    "test_react_dialects",
    "test_receiver",
    "test_report_in_browser",
    "test_report_command",
    "test_run",
    "test_run_metrics",
    "test_run_on_dialects",
    "test_run_with_faults",
    "test_run_with_spans",
    "test_selftest",
    "test_sending",
    "test_sim_server",
    "test_sim_server_clients",
    "test_sim_server_delays",
    "test_sim_server_dialects",
    "test_sim_server_faults",
    "test_sim_server_tgi",
    "test_sim_server_traits",
    "test_workers",
)
# Of these, what compares clocks: alone on the machine, one after the other.
TIMED = ("test_explained", "test_selftest")


def pytest_configure(config):
    """Where bytecode is not written, each of hundreds of programs would compile the whole profiler again."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(__file__).parents[1] / "profiler", quiet=2)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Likewise each worker all tests. What tests themselves import is left as it is."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = before


def pytest_collection_modifyitems(items):
    """Mark them by their module."""
    for item in items:
        if item.path.stem in LIVE:
            item.add_marker(pytest.mark.live)
        if item.path.stem in TIMED:
            item.add_marker(pytest.mark.timed)


@pytest.fixture(scope="session")
def vllm_python():
    """The Python of a vLLM for this machine, provisioned on first use."""
    from profiler.engines.provision import provisioned_python

    try:
        return provisioned_python(gpu=False, allowed=True, progress=print)
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"NO REAL ENGINE, its tests are skipped: {error.message}")


@pytest.fixture(scope="session")
def vllm_engine(vllm_python, tmp_path_factory):
    """One engine with the tiny model, for all tests that leave it as it is."""
    options = EngineOptions(vllm_python=vllm_python, model="tiny-random")
    log_path = tmp_path_factory.mktemp("engine") / "engine.log"
    with open_engine(options, log_path=log_path, progress=print) as engine:
        yield engine
