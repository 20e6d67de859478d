"""`profiler engine conformance`: what a server supports, and where it deviates from its protocol."""

from __future__ import annotations

import os

import click

from profiler.errors import EXIT_DATA, EXIT_OK, UsageError

PROTOCOLS = ("auto", "vllm", "tgi", "ollama", "openai", "llama.cpp")


@click.command(
    epilog="""\b
Examples:
  profiler engine conformance --base-url http://127.0.0.1:8000/v1
  profiler engine conformance --base-url http://127.0.0.1:11434/v1 --model llama3.2
  profiler engine conformance --base-url https://api.example.com/v1 --api-key-env API_KEY --format json"""
)
@click.option(
    "--base-url", metavar="URL", required=True, help="Address of the server, such as http://127.0.0.1:8000/v1."
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default="auto",
    show_default=True,
    help="What it is held to. auto: what its pages say that it is, else OpenAI's protocol.",
)
@click.option("--model", metavar="MODEL", help="Model to ask. [default: the first that it lists]")
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the API key. [default: no key]")
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0.1, max=3600),
    default=60.0,
    show_default=True,
    help="Seconds that a request may take.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text, or JSON for programs.",
)
def conformance(
    *, base_url: str, protocol: str, model: str | None, api_key_env: str | None, timeout: float, format_: str
) -> int:
    """Find out what a server supports of its protocol, and what that means for profiling.

    Some forty small requests are sent, one after the other: chats, streams, tools, forced lengths, and requests that
    are wrong on purpose. The table shows each check; a sentence explains what is missing.

    Exit code 0 if the server is usable, 3 if it lacks something that the profiler needs, 4 if it does not answer.
    """
    from profiler.conformance.suite import examine
    from profiler.conformance.wire import Wire
    from profiler.engines.url import normalise
    from profiler.report.conformance import Examined, Line, render_conformance, render_json

    key = os.environ.get(api_key_env) if api_key_env else None
    if api_key_env and not key:
        raise UsageError(
            f"the environment variable {api_key_env} is empty or not set",
            remedy=f"export {api_key_env}=…, or drop --api-key-env",
        )
    with Wire(normalise(base_url), api_key=key, timeout_s=timeout) as wire:
        result = examine(
            wire,
            protocol=None if protocol == "auto" else protocol,
            model=model,
            progress=lambda title: click.echo(f"  {title}", err=True),
        )
    lines = [Line(each.check, each.title, each.state, each.found, each.means, each.needed) for each in result.findings]
    shown = Examined(
        result.base_url, result.server, result.protocol, result.model, result.context_tokens, result.usable, lines
    )
    click.echo(render_json(shown) if format_ == "json" else render_conformance(shown), nl=False)
    return EXIT_OK if result.usable else EXIT_DATA
