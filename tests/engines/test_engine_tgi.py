"""TGI's container, with a `docker` that starts the embedded engine, in TGI's dialect, in place of TGI."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from profiler.engines import EngineOptions, expected_model, open_engine
from profiler.engines.tgi import CPU_IMAGE, IMAGE, build_command
from profiler.errors import EngineDied, EngineUnavailable, UsageError

ROOT = Path(__file__).parents[2]
DOCKER = """#!{python}
import os, sys
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
if sys.argv[1] == "info":
    {info}
elif sys.argv[1] == "run":
    if {dies}:
        sys.exit("Error: the model cannot be found")
    port = sys.argv[sys.argv.index("-p") + 1].split(":")[1]
    model = sys.argv[sys.argv.index("--model-id") + 1]
    os.environ["PYTHONPATH"] = {root!r}
    os.execv(sys.executable, [sys.executable, "-m", "profiler.engines.sim", "--port", port, "--model", model,
                              "--profile", "fast", "--dialect", "tgi"])
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Puts such a `docker` first on the path; gives what it was asked for."""
    log = tmp_path / "docker.log"

    def put(info='print("28.0")', *, dies=False):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "docker"
        text = DOCKER.format(python=sys.executable, log=str(log), info=info, dies=dies, root=str(ROOT))
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("PROFILER_CACHE_DIR", str(tmp_path / "cache"))
        return lambda: log.read_text().splitlines()

    return put


def opened(tmp_path, said=None, **options):
    options = EngineOptions(backend="tgi", **{"model": "org/m", "startup_timeout_s": 60, **options})
    return open_engine(options, log_path=tmp_path / "log", progress=[].append if said is None else said.append)


def test_the_container_is_shown_awaited_described_and_removed(tmp_path, docker):
    asked, said = docker(), []
    with opened(tmp_path, said) as engine:
        info, pid = engine.info, engine.pid
        assert (info.name, info.server, info.model, info.managed) == ("sim", "tgi", "org/m", True)
        assert info.package in (IMAGE, CPU_IMAGE)
        assert info.version == "3.3.7"
        engine.check()
    assert IMAGE in said[0]
    assert "--model-id org/m" in said[0]
    assert not psutil.pid_exists(pid)
    name = next(line for line in asked() if line.startswith("run")).split("--name ")[1].split()[0]
    assert asked()[-1] == f"rm --force {name}"


def test_a_container_that_ends_while_starting_is_told_with_its_last_words(tmp_path, docker):
    docker(dies=True)
    with pytest.raises(EngineDied) as caught, opened(tmp_path):
        pass
    assert "exited with code 1 while starting" in caught.value.message
    assert "the model cannot be found" in caught.value.details


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ('sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")', "Cannot connect"),
        ("pass", "it tells no version"),
    ],
)
def test_a_docker_without_a_daemon_says_what_to_do_and_the_agent_is_not_imported(tmp_path, docker, info, words):
    docker(info)
    options = EngineOptions(backend="tgi", model="org/m")
    meanwhile = lambda: pytest.fail("imported")  # noqa: E731
    with (
        pytest.raises(EngineUnavailable) as caught,
        open_engine(options, log_path=tmp_path / "log", progress=print, meanwhile=meanwhile),
    ):
        pass
    assert words in caught.value.message
    assert "--base-url" in caught.value.remedy


def test_no_docker_at_all_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="there is no docker here"), opened(tmp_path):
        pass


def command(model="org/m", *, gpu=False, environ=None, **options):
    options = EngineOptions(backend="tgi", model=model, **options)
    return build_command("docker", options, port=8080, name="n", cache=Path("/c"), gpu=gpu, environ=environ or {})


def test_the_command_binds_to_loopback_and_keeps_models():
    built = command()
    assert built[built.index("-p") + 1] == "127.0.0.1:8080:80"
    assert built[built.index("-v") + 1] == "/c:/data"
    assert built[-3:] == [CPU_IMAGE, "--model-id", "org/m"]
    assert "--gpus" not in built
    assert command(gpu=True)[-3] == IMAGE
    assert "--gpus" in command(gpu=True)


def test_a_token_is_passed_by_name_and_more_arguments_reach_tgi():
    built = command(environ={"HF_TOKEN": "s3cret"}, extra_args=("--max-total-tokens", "4096"))
    assert built[built.index("-e") + 1] == "HF_TOKEN"
    assert "s3cret" not in " ".join(built)
    assert built[-2:] == ["--max-total-tokens", "4096"]


def test_a_folder_is_mounted_and_one_that_is_not_there_is_refused(tmp_path):
    built = command(str(tmp_path))
    assert f"{tmp_path}:/model:ro" in built
    assert built[-1] == "/model"
    with pytest.raises(UsageError, match="there is no folder"):
        command("./nowhere")


def test_the_model_is_known_before_it_is_started():
    assert expected_model(EngineOptions(backend="tgi", model="org/m")) == "org/m"
