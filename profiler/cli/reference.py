"""docs/cli.md, made from the commands' own help: `python -m profiler.cli.reference > docs/cli.md`."""

from __future__ import annotations

import click

from profiler.cli import cli

WIDTH = 100


def markdown() -> str:
    """The whole reference."""
    sections = ["# Command line\n\nMade from `--help` by `python -m profiler.cli.reference`; do not edit.\n"]
    waiting: list[tuple[str, click.Command]] = [("profiler", cli)]
    while waiting:
        name, command = waiting.pop(0)
        context = click.Context(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
        sections.append(f"## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
        if isinstance(command, click.Group):
            found = [(each, command.get_command(context, each)) for each in command.list_commands(context)]
            waiting = [(f"{name} {each}", child) for each, child in found if child is not None] + waiting
    return "\n".join(sections)


if __name__ == "__main__":
    click.echo(markdown(), nl=False)
