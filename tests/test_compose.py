"""compose.yaml, as far as it can be judged without docker: services, profiles, health checks, addresses."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from profiler.cli.jaeger_process import IMAGE, Ports, docker_command

PATH = Path(__file__).parents[1] / "compose.yaml"
COMPOSE = yaml.safe_load(PATH.read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]


def test_jaeger_comes_always_and_engines_by_their_profile():
    assert {name: service.get("profiles") for name, service in SERVICES.items()} == {
        "jaeger": None,
        "vllm": ["vllm"],
        "tgi": ["tgi"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_is_reachable_from_this_machine_alone(name):
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert "http://127.0.0.1:" in " ".join(check["test"])
    assert {"interval", "timeout", "retries"} <= check.keys()
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", ["vllm", "tgi"])
def test_engines_wait_for_jaeger_and_send_their_spans_to_its_port_for_grpc(name):
    assert SERVICES[name]["depends_on"] == {"jaeger": {"condition": "service_healthy"}}
    assert any(word.endswith("=http://jaeger:4317") for word in SERVICES[name]["command"])
    assert SERVICES[name]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    volumes = {volume.partition(":")[0] for volume in SERVICES[name]["volumes"]}
    assert volumes <= COMPOSE["volumes"].keys()


def test_it_is_the_jaeger_that_the_command_starts_at_the_same_ports():
    assert SERVICES["jaeger"]["image"] == IMAGE
    command = docker_command(Ports(), IMAGE)
    assert sorted(command[at + 1] for at, word in enumerate(command) if word == "-p") == sorted(
        SERVICES["jaeger"]["ports"]
    )


def test_docker_itself_takes_it():
    done = None
    if shutil.which("docker"):
        done = subprocess.run(
            ["docker", "compose", "--profile", "*", "-f", PATH, "config", "-q"],
            capture_output=True,
            check=False,
            timeout=300,
        )
    if done is None or b"is not a docker command" in done.stderr or b"unknown" in done.stderr:
        pytest.skip("docker compose is not installed")
    assert done.returncode == 0, done.stderr
