"""`profiler run`: run an agent's chains on an engine, record them, report."""

from __future__ import annotations

import os
from pathlib import Path

import click

from profiler.cli.report import format_option
from profiler.cli.sim_options import sim_options


def complete_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Task ids of the agent's tasks file."""
    from profiler.cli.session import tasks_file
    from profiler.errors import ProfilerError
    from profiler.tasks import load_tasks

    try:
        # An option that still lacks its value keeps click from telling arguments: the agent is among what is left.
        agents = [ctx.params.get("agent") or "", *ctx.args]
        path = ctx.params.get("tasks_path") or next(filter(None, map(tasks_file, agents)), None)
        return [task.id for task in load_tasks(path) if task.id.startswith(incomplete)] if path else []
    except ProfilerError:
        return []


_PATH = click.Path(path_type=Path)


@click.command(
    epilog="""\b
Examples:
  profiler run agents/react.py
      all tasks on pinned trajectories against the embedded engine: seconds, simulated times
  profiler run agents/react.py --backend vllm
      the same on a local vLLM (provisioned on first use)
  profiler run agents/react.py --base-url http://gpu-box:8000/v1 --api-key-env VLLM_KEY --concurrency 8
      measures a vLLM that somebody runs
  profiler run agents/react.py --backend vllm --engine-arg=--no-enable-prefix-caching
      with a flag of vLLM's own
  profiler run agents/react.py --backend tgi --base-url http://gpu-box:8080
      the same agent, unchanged, on a TGI; without --base-url its container is started (docker, --model)
  profiler run agents/react.py --backend ollama --model qwen3:8b
      on the Ollama of this machine
  profiler run my_agent.py --backend openai --base-url https://api.example.com/v1 --api-key-env EXAMPLE_KEY --model m
      a hosted API, SGLang, llama.cpp, LM Studio …: which it is is found out and said
  profiler run my_agent.py:graph --input "What did we ship last week?" --repeat 10 --no-script
      an agent of your own, free running
  profiler run my_agent.py --tasks tasks.json --record-script my_agent.script.json
      keeps what the model said, to be replayed by later runs with --script
  profiler run agents/react.py --repeat 100 --prometheus 9464
      while it runs, http://127.0.0.1:9464/metrics tells latencies per call, chunk and token"""
)
@click.argument("agent", metavar="AGENT[:NAME]", type=click.Path())
@click.option(
    "--backend",
    type=click.Choice(["auto", "sim", "vllm", "tgi", "ollama", "openai"]),
    default="auto",
    show_default=True,
    help="Serving engine. openai: any server of that protocol, recognised by what it answers. auto: what --base-url or "
    "OPENAI_BASE_URL names, else the embedded one (sim).",
)
@click.option(
    "--base-url",
    metavar="URL",
    help="Attach to a running engine, such as http://127.0.0.1:8000/v1, and start none. [default: OPENAI_BASE_URL]",
)
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="Environment variable that holds the API key for --base-url. [default: OPENAI_API_KEY with OPENAI_BASE_URL]",
)
@click.option(
    "--model", metavar="MODEL", help="Hugging Face id, local folder, or tiny-random (the default without a GPU)."
)
@sim_options
@click.option(
    "--vllm-python",
    metavar="PATH",
    type=_PATH,
    help="Python whose vLLM is started. [default: the one that `profiler engine install` made]",
)
@click.option("--no-provision", is_flag=True, help="Never install a vLLM; fail if there is none.")
@click.option("--engine-arg", "engine_args", metavar="ARG", multiple=True, help="Passed on to the vLLM; repeatable.")
@click.option(
    "--tasks", "tasks_path", metavar="FILE", type=_PATH, help="Tasks. [default: AGENT.tasks.json beside the agent]"
)
@click.option(
    "--task",
    "task_ids",
    metavar="ID",
    multiple=True,
    shell_complete=complete_task,
    help="Only this task; repeatable. [default: all]",
)
@click.option("--input", "inputs", metavar="TEXT", multiple=True, help="Ask this instead of a tasks file; repeatable.")
@click.option(
    "--repeat", metavar="N", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Chains per task."
)
@click.option(
    "--warmup",
    metavar="N",
    type=click.IntRange(0, 10_000),
    default=1,
    show_default=True,
    help="Chains before, never in the figures.",
)
@click.option(
    "--concurrency",
    metavar="C",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Whole chains at once.",
)
@click.option(
    "--script",
    "script_path",
    metavar="FILE",
    type=_PATH,
    help="Replay these trajectories. [default: AGENT.script.json if there is one]",
)
@click.option("--no-script", is_flag=True, help="Let the model decide what happens.")
@click.option("--record-script", metavar="FILE", type=_PATH, help="Run free and keep what the model said as a script.")
@click.option(
    "--stream",
    "force_stream",
    is_flag=True,
    help="Stream calls on behalf of an agent that does not, to see first tokens.",
)
@click.option("--shared-cache", is_flag=True, help="Let repetitions find each other's prompts in the prefix cache.")
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0.1),
    default=300.0,
    show_default=True,
    help="Seconds that a chain may take.",
)
@click.option("--out", metavar="DIR", type=_PATH, help="Folder of the run. [default: traces/<time>-<agent>-<backend>]")
@click.option(
    "--otlp-endpoint",
    metavar="URL",
    help="Send the spans, and figures as metrics, here too while running, such as http://127.0.0.1:4318. "
    "[default: OTEL_EXPORTER_OTLP_ENDPOINT]",
)
@click.option(
    "--prometheus",
    metavar="PORT",
    type=click.IntRange(0, 65_535),
    help="Serve the figures for Prometheus on 127.0.0.1:PORT/metrics while running; 0 takes a free port.",
)
@click.option(
    "--engine-metrics",
    metavar="S",
    type=click.FloatRange(0, 3600),
    default=0.25,
    show_default=True,
    help="Seconds between looks at the engine's own /metrics (requests running and waiting, cache); 0 for none.",
)
@click.option(
    "--engine-spans",
    metavar="WHERE",
    default="auto",
    show_default=True,
    help="Take the engine's own spans over OTLP and keep them with the chains'. auto: of a vLLM that is started; "
    "on: of the embedded engine too, and of an attached one (port 4317); off; or a port (or host:port) to listen on.",
)
@click.option(
    "--capture-content",
    is_flag=True,
    help="Record prompts and answers. [default: OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT]",
)
@click.option(
    "--seed",
    metavar="N",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the engine's weights and of sampling (plus one for each repetition).",
)
@click.option("--paced", type=(int, int), hidden=True, help="Two pipes of `profiler ab`: leave for chains, their ends.")
@format_option
def run(**options: object) -> int:
    """Run the chains of AGENT on an engine, record every call, and report where the time goes.

    AGENT is a Python file that holds a compiled LangGraph graph, a zero-argument factory of one, or a function
    task -> answer; with several candidates, name one after a colon. The engine's address reaches it through
    OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL.
    """
    from profiler.cli.session import Options, run_session

    return run_session(Options(**options), os.environ)  # type: ignore[arg-type]
