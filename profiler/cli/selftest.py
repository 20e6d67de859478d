"""`profiler selftest`: what the profiler's own measurements are worth, on this machine."""

from __future__ import annotations

import click

from profiler.errors import EXIT_OK, EXIT_REGRESSION


def complete_cell(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Names of the cells."""
    from profiler.selftest.grid import cells

    found = cells(quick=bool(ctx.params.get("quick")))
    return [cell.name for cell in found if cell.name.startswith(incomplete)]


@click.command(
    epilog="""\b
Examples:
  profiler selftest              the whole grid: some minutes
  profiler selftest --quick      a cell of each sort: under a minute
  profiler selftest --only "64 streams" --json
  profiler selftest --only ollama"""
)
@click.option("--quick", is_flag=True, help="A cell of each sort, with few calls.")
@click.option(
    "--only", metavar="TEXT", shell_complete=complete_cell, help="Only cells whose name contains this. [default: all]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--seed", metavar="N", type=int, default=0, show_default=True, help="Seed of the engine's time model.")
def selftest(*, quick: bool, only: str | None, as_json: bool, seed: int) -> int:
    """Measure the error of the profiler's own figures against an engine that knows the truth.

    The recorder runs against the embedded engine, which logs when it received each request and when it wrote each
    token: one, 16 and 64 streams, streaming or not, with each habit of servers on the wire, in each dialect that it
    speaks (vLLM, TGI, Ollama, OpenAI, llama.cpp). The table shows absolute errors and the bias. Exit code 1 if an
    error exceeds the limits that docs/accuracy.md publishes.
    """
    from profiler.errors import UsageError
    from profiler.record import facts
    from profiler.report.accuracy import Measured, render_json, render_table
    from profiler.selftest.grid import cells
    from profiler.selftest.measure import measure

    chosen = [cell for cell in cells(quick=quick) if only is None or only in cell.name]
    if not chosen:
        names = ", ".join(cell.name for cell in cells(quick=quick))
        raise UsageError(f"no cell's name contains {only!r}", remedy=f"there are: {names}")
    results = []
    for number, cell in enumerate(chosen, start=1):
        click.echo(f"[{number}/{len(chosen)}] {cell.name}", err=True)
        results.append(measure(cell, seed=seed))
    shown = [Measured(each.cell.name, each.calls, each.errors, each.beyond) for each in results]
    click.echo(render_json(shown, facts.host()) if as_json else render_table(shown), nl=False)
    too_large = [line for each in results for line in each.beyond]
    for line in too_large:
        click.echo(f"beyond the limit: {line}", err=True)
    if not as_json:
        click.echo("\nall errors are within the published limits" if not too_large else "")
    return EXIT_REGRESSION if too_large else EXIT_OK
