"""`profiler jaeger`: a Jaeger to look at traces in, in the foreground."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  profiler jaeger
      and in another terminal: profiler run agents/react.py --otlp-endpoint http://127.0.0.1:4318
  profiler jaeger --ui-port 26686 --http-port 24318 --grpc-port 24317
      beside another that has the usual ports"""
)
@click.option("--ui-port", metavar="PORT", type=click.IntRange(1, 65535), default=16686, show_default=True)
@click.option("--http-port", metavar="PORT", type=click.IntRange(1, 65535), default=4318, show_default=True)
@click.option("--grpc-port", metavar="PORT", type=click.IntRange(1, 65535), default=4317, show_default=True)
@click.option("--image", metavar="NAME", help="The container's image, where docker runs it.")
def jaeger(ui_port: int, http_port: int, grpc_port: int, image: str | None) -> int:
    """Start a Jaeger on this machine, with docker or a `jaeger` on the path, until Ctrl-C.

    It keeps traces in memory: what it has is gone with it, and `profiler export` sends a run again. It listens on
    the loopback interface alone.
    """
    from profiler.cli.jaeger_process import IMAGE, Ports, run_jaeger

    return run_jaeger(Ports(ui_port, http_port, grpc_port), image or IMAGE)
