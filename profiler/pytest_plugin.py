"""For pytest: an agent profiled in a test, and assertions on what came out.

    def test_latency(profile):
        run = profile("agents/react.py", tasks=["leave-days"], repeat=5)
        run.assert_no_failed_chains()
        run.assert_p95_chain(max_s=4)

Loaded by itself where the profiler is installed; without the fixture it costs an import of nothing but this file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from profiler.testing import Profile


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which engine, and what to compare with."""
    group = parser.getgroup("profiler", "agent-chain latency profiler")
    group.addoption(
        "--profiler-backend",
        metavar="NAME",
        default=None,
        help="Engine of `profile` in tests: sim, vllm, tgi, ollama, openai. [default: as `profiler run` chooses]",
    )
    group.addoption("--profiler-base-url", metavar="URL", default=None, help="Engine that runs already.")
    group.addoption(
        "--profiler-baseline",
        metavar="DIR",
        default=None,
        help="Run, or folder of runs by test, that `assert_not_slower` compares with.",
    )
    group.addoption(
        "--profiler-out", metavar="DIR", default=None, help="Where runs are kept. [default: pytest's temporary folder]"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to write runs over those that they are to be compared with."""
    out, baseline = (config.getoption(f"--profiler-{each}") for each in ("out", "baseline"))
    if out and baseline and Path(out).resolve() == Path(baseline).resolve():
        msg = f"--profiler-out and --profiler-baseline are both {out}: runs would replace what they are compared with"
        raise pytest.UsageError(msg)


@pytest.fixture
def profile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """Profile an agent: `profile(agent, tasks=…, repeat=…)` gives its run, with assertions."""
    from profiler.testing import Profile

    option = request.config.getoption
    out = option("--profiler-out")
    name = _file_name(request.node.nodeid)
    folder = Path(out) / name if out else tmp_path_factory.mktemp("profile")
    baseline = option("--profiler-baseline")
    chosen: Sequence[tuple[str, str | None]] = (
        ("--backend", option("--profiler-backend")),
        ("--base-url", option("--profiler-base-url")),
    )
    arguments = [part for flag, value in chosen if value for part in (flag, value)]
    return Profile(folder, name, arguments, Path(baseline) if baseline else None, request.config.rootpath)


def _file_name(node_id: str) -> str:
    """A test's name as a folder's, with what tells it from others that read alike there."""
    words = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in node_id).strip("-.")[-120:]
    return f"{words}-{hashlib.sha256(node_id.encode()).hexdigest()[:8]}"
