"""Command line: the only part that prints and exits."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from profiler import __version__
from profiler.errors import EXIT_INTERRUPTED, EXIT_USAGE, ProfilerError

# Set by a run whose agent left blocking work behind: waiting for its threads could take for ever.
leave_at_once = False

# command -> (module, attribute, one line for the overview): modules are imported when their command is used.
_COMMANDS = {
    "run": ("profiler.cli.run", "run", "Run an agent's chains on an engine, record them, report."),
    "report": ("profiler.cli.report", "report", "Print the report of a recorded run again."),
    "compare": ("profiler.cli.compare", "compare", "Compare runs: how much slower, and where that comes from."),
    "check": ("profiler.cli.check", "check", "Hold a run to limits and to a baseline: the gate for CI."),
    "baseline": ("profiler.cli.baseline", "baseline", "Keep runs as baselines, small enough to commit."),
    "ab": ("profiler.cli.ab", "ab", "Measure two engines, flags, agents or revisions interleaved."),
    "trend": ("profiler.cli.trend", "trend", "Find the run and the commits where a history's level changed."),
    "export": ("profiler.cli.export", "export", "Send a run to Jaeger or a collector, or write it in another format."),
    "import": ("profiler.cli.import_", "import_", "Make a run of traces from Jaeger or from a file."),
    "jaeger": ("profiler.cli.jaeger", "jaeger", "Start a Jaeger to look at traces in."),
    "selftest": ("profiler.cli.selftest", "selftest", "Measure the error of the profiler's own figures."),
    "engine": ("profiler.cli.engine", "engine", "Install, inspect and serve local engines."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, in the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The overview, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in _COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  profiler run agents/react.py
  profiler run agents/react.py --backend vllm
  profiler run my_agent.py:graph --base-url http://127.0.0.1:8000/v1 --input "Why is the sky blue?"
  profiler report traces/20261123-101500-react-vllm
  profiler compare traces/main traces/branch
  profiler engine doctor

\b
Completion: eval "$(_PROFILER_COMPLETE=bash_source profiler)"   (or zsh_source, fish_source)""",
)
@click.version_option(__version__, prog_name="profiler")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:  # noqa: FBT001 - read by main
    """Find out where the time of an agent's chain of model calls goes, and how per-call delays add up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        code = cli.main(given, prog_name="profiler", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except ProfilerError as error:
        if debug:
            raise
        show_error(error)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = None
        return 0
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"profiler: internal error: {type(error).__name__}: {error}\n"
            "  this is a defect: run again with --debug and report what it prints",
            err=True,
        )
        return EXIT_USAGE
    return code if isinstance(code, int) else 0


def show_error(error: ProfilerError) -> None:
    """An error as the user sees it: what is wrong, the evidence, what to do."""
    from profiler.report.text import safe

    click.echo(f"{click.style('error', fg='red')}: {safe(error.message, 1000)}", err=True)
    for line in (error.details or "").splitlines():
        click.echo(f"  | {safe(line, 300)}", err=True)
    if error.remedy:
        click.echo(f"  {safe(error.remedy, 1000)}", err=True)


def entry() -> None:
    """The console script."""
    code = main()
    if leave_at_once:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    gc.freeze()  # what the interpreter does at its end would walk all objects once more: half a second of nothing
    sys.exit(code)
