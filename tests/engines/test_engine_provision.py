"""Provisioning with a small package in place of vLLM: real environments, real pip, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from profiler.engines.builds import BUILDS, CPU_BUILD, CUDA_BUILD, Build, build_for
from profiler.engines.environments import (
    MARKER,
    Environment,
    environment_path,
    list_environments,
    locked,
    read_environment,
    remove_environment,
    write_marker,
)
from profiler.engines.pip import Installer, activity
from profiler.engines.provision import provision, provisioned_python
from profiler.errors import EngineUnavailable, UsageError

# The environment that most of these tests look at takes ten seconds to build: one worker builds it.
pytestmark = pytest.mark.xdist_group("provision")

TINY = Build(
    package="tiny-engine",
    version="1.0",
    device="cpu",
    origin="made by a test",
    download_gib=0.0,
    disk_gib=0.0,
    installed_gib=0.0,
    min_python=(3, 11),
    max_python=(3, 99),
    left_out=("harmful",),
    unfolded=("folded",),
    verify="import tiny_engine, useful, folded, wanted_by_folded",
)


def wheel(folder, name, version="1.0", requires=()):
    """A wheel of one empty module."""
    stem, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    with zipfile.ZipFile(folder / f"{stem}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.py", f"__version__ = {version!r}\n")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    wheel(
        folder, "tiny-engine", requires=["useful>=1", "harmful", "folded==1.0", 'never ; extra == "more"',
                                         'elsewhere ; python_version < "3"'],
    )  # fmt: skip
    wheel(folder, "useful")
    wheel(folder, "harmful")
    wheel(folder, "folded", requires=["harmful", "wanted-by-folded"])
    wheel(folder, "wanted-by-folded")
    return folder


@dataclass
class Built:
    """An environment whose first installation was killed and whose second was not."""

    cache: Path
    half: Environment
    survivors: list[psutil.Process]
    environment: Environment
    said: list[str]


@pytest.fixture(scope="module")
def built(wheels, tmp_path_factory):
    """Provisioned once for all tests that only look at it."""
    cache, said = tmp_path_factory.mktemp("cache"), []
    with pytest.MonkeyPatch.context() as patch:
        offline(patch, cache, wheels)
        survivors = kill_an_installation()
        half = read_environment(environment_path(TINY.name))
        environment = provision(TINY, said.append)
    return Built(cache, half, survivors, environment, said)


def kill_an_installation():
    """SIGKILL a profiler as soon as the folder appears; returns those of its descendants that still run."""
    program = """if True:
        from profiler.engines.provision import provision
        from test_engine_provision import TINY
        provision(TINY, print)
        """
    path = os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path}
    ) as started:
        children = []
        while not (environment_path(TINY.name).is_dir() and children):
            assert started.poll() is None
            time.sleep(0.02)
            children = psutil.Process(started.pid).children(recursive=True)
        started.kill()
    assert children
    return psutil.wait_procs(children, timeout=300)[1]


def offline(patch, cache, wheels):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        patch.delenv(name)
    patch.setenv("PROFILER_CACHE_DIR", str(cache))
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(wheels))


@pytest.fixture
def cache(tmp_path, monkeypatch, wheels):
    offline(monkeypatch, tmp_path, wheels)
    return tmp_path


def installed(environment):
    program = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    result = subprocess.run([environment.python, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_a_provisioned_environment_is_complete_and_leaves_out_what_does_harm(built):
    environment = built.environment
    assert environment.complete
    assert installed(environment) - {"pip", "setuptools"} == {
        "tiny-engine",
        "useful",
        "folded",
        "wanted-by-folded",
    }


def test_before_installing_it_is_said_what_from_whom_and_where_to(built):
    assert "tiny-engine 1.0" in built.said[1]
    assert "made by a test" in built.said[1]
    assert str(built.environment.path) in built.said[2]


def test_the_marker_says_what_is_installed(built):
    environment = built.environment
    marker = json.loads((environment.path / MARKER).read_text())
    assert (marker["package"], marker["version"], marker["format"]) == ("tiny-engine", "1.0", 1)
    assert marker["size_mib"] > 0


def test_a_complete_environment_is_used_as_it_is(built, monkeypatch):
    environment = built.environment
    monkeypatch.setenv("PROFILER_CACHE_DIR", str(built.cache))
    said = []
    assert provision(TINY, said.append) == environment
    assert said == []


def test_the_whole_log_of_pip_is_kept(built):
    environment = built.environment
    assert "Successfully installed" in environment.path.with_name(environment.name + ".pip.log").read_text()


def test_what_fails_shows_the_end_of_pips_output_and_where_the_rest_is(built, tmp_path):
    environment = built.environment
    log = tmp_path / "log"
    log.touch()
    installer = Installer(environment.path, log, lambda line: None)
    with pytest.raises(EngineUnavailable) as caught:
        installer.run([str(environment.python), "-c", "print('the cause'); raise SystemExit(1)"], "a step")
    assert "a step" in caught.value.message
    assert "the cause" in caught.value.details
    assert str(log) in caught.value.remedy


def test_what_the_configured_indexes_lack_is_looked_for_in_the_builds_own(built, tmp_path, monkeypatch, wheels):
    environment = built.environment
    index = tmp_path / "simple" / "rare-thing"
    index.mkdir(parents=True)
    wheel(index, "rare-thing")
    (index / "index.html").write_text('<a href="rare_thing-1.0-py3-none-any.whl">x</a>')
    offline(monkeypatch, tmp_path, wheels)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "empty").as_uri())
    (tmp_path / "log").touch()
    said = []
    installer = Installer(environment.path, tmp_path / "log", said.append)
    build = replace(TINY, extra_index=(tmp_path / "simple").as_uri())
    target = str(tmp_path / "target")
    installer.pip(["install", "--target", target, "rare-thing"], build)
    assert (tmp_path / "target" / "rare_thing.py").exists()
    assert any(build.extra_index in line for line in said)


def test_an_installation_that_is_killed_leaves_no_process(built):
    assert built.survivors == []


def test_a_half_built_environment_is_recognised_and_built_again(built):
    assert built.half.path == built.environment.path
    assert not built.half.complete
    assert "half-built" in built.said[0]


def test_a_half_built_environment_is_not_used_when_installing_is_ruled_out(cache):
    environment_path(CPU_BUILD.name).mkdir(parents=True)
    with pytest.raises(EngineUnavailable, match="half-built"):
        provisioned_python(gpu=False, allowed=False, progress=print)


def test_an_environment_whose_python_is_gone_is_not_complete(built, tmp_path):
    marker = built.environment.marker
    write_marker(tmp_path, marker)
    found = read_environment(tmp_path)
    assert found.marker == marker
    assert not found.complete


@pytest.mark.parametrize("text", ["", "{", "[]", '{"package": 1}'])
def test_an_unreadable_marker_is_no_marker(tmp_path, text):
    (tmp_path / MARKER).write_text(text)
    assert not read_environment(tmp_path).complete


def test_a_second_process_waits_for_the_first_and_says_so(cache):
    entered, leave, said = threading.Event(), threading.Event(), []

    def first():
        with locked("x", print):
            entered.set()
            leave.wait(200)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(200)

    def waiting(line):
        said.append(line)
        leave.set()

    with locked("x", waiting):
        pass
    thread.join()
    assert "waiting" in said[0]


def test_an_environment_can_be_removed_once(cache):
    path = environment_path("old-1.0")
    path.mkdir(parents=True)
    (path / "file").write_text("x")
    assert [each.name for each in list_environments()] == ["old-1.0"]
    remove_environment("old-1.0", print)
    assert not path.exists()
    assert list_environments() == []
    with pytest.raises(UsageError, match="no engine"):
        remove_environment("old-1.0", print)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b", ".hidden"])
def test_nothing_outside_the_cache_can_be_named(cache, name):
    with pytest.raises(UsageError):
        environment_path(name)


def test_a_full_disk_is_told_before_anything_is_downloaded(cache):
    with pytest.raises(EngineUnavailable, match="GiB free"):
        provision(replace(TINY, disk_gib=1e9), print)
    assert not environment_path(TINY.name).exists()


def test_a_python_without_wheels_is_told_before_anything_is_downloaded(cache):
    with pytest.raises(EngineUnavailable, match="no wheel for Python"):
        provision(replace(TINY, min_python=(3, 98)), print)


def test_without_permission_nothing_is_installed(cache):
    with pytest.raises(EngineUnavailable, match="not installed") as caught:
        provisioned_python(gpu=False, allowed=False, progress=print)
    assert "profiler engine install" in caught.value.remedy


def test_the_gpu_decides_which_build_is_installed():
    assert build_for(gpu=True) is CUDA_BUILD
    assert build_for(gpu=False) is CPU_BUILD
    assert len({build.name for build in BUILDS}) == len(BUILDS)
    assert all(build.origin for build in BUILDS)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["Collecting torch==2.13.0+cpu"], "resolving torch"),
        (
            ["Collecting x", "  Downloading torch-2.13.0%2Bcpu-cp311.whl (191.8 MB)"],
            "downloading torch (191.8 MB)",
        ),
        (["Processing /w/einops-0.8.2-py3-none-any.whl (from -r r.txt (line 1))"], "reading einops"),
        (["Installing collected packages: a, b, c"], "unpacking 3 packages"),
        (["something else"], None),
        ([], None),
    ],
)
def test_pips_lines_become_a_phrase(lines, words):
    assert activity(lines) == words


STEP = "import time; time.sleep(600)"


def test_interrupting_an_installation_stops_pip_and_leaves_nothing(cache, built, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    environment = built.environment
    (tmp_path / "log").touch()
    seen = []

    def interrupt(line):
        seen.extend(each for each in psutil.Process().children(recursive=True) if STEP in each.cmdline())
        raise KeyboardInterrupt

    installer = Installer(environment.path, tmp_path / "log", interrupt)
    with pytest.raises(KeyboardInterrupt):
        installer.run([str(environment.python), "-c", STEP], "a step")
    assert seen
    assert psutil.wait_procs(seen, timeout=300)[1] == []
    assert list(temporary.iterdir()) == []


def test_an_environment_that_runs_is_not_removed(cache):
    path = environment_path("busy-1.0")
    (path / "bin").mkdir(parents=True)
    program = path / "bin" / "sleeper"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as running:
        try:
            with pytest.raises(EngineUnavailable, match=f"in use by process {running.pid}"):
                remove_environment("busy-1.0", print)
        finally:
            running.kill()
    remove_environment("busy-1.0", print)
    assert not path.exists()
