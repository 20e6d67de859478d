"""What tests of all folders share: the real engine."""

from __future__ import annotations

import os

import pytest

from profiler.engines import EngineOptions, open_engine
from profiler.errors import EngineUnavailable


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
