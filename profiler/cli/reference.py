"""docs/cli.md, made from the commands' own help: `python -m profiler.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from profiler.cli import cli

WIDTH = 100


def markdown() -> str:
    """The whole reference."""
    head = "# Command line\n\nMade from `--help` by `python -m profiler.cli.reference`; do not edit.\n"
    return "\n".join([head, *_sections("profiler", cli, None)])


def _sections(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH, "help_option_names": ["-h", "--help"]}
    context = click.Context(command, parent, info_name=name, **settings)  # type: ignore[arg-type]
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            child = command.get_command(context, each)
            if child is not None:
                yield from _sections(each, child, context)


if __name__ == "__main__":
    click.echo(markdown(), nl=False)
