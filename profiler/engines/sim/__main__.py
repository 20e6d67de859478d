"""The process of the embedded engine: python -m profiler.engines.sim --port 8000."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
from functools import partial
from pathlib import Path

from profiler.engines.sim.clockwork import new_loop
from profiler.engines.sim.dialects import DIALECTS
from profiler.engines.sim.door import Door
from profiler.engines.sim.faults import FaultPlan, parse_faults
from profiler.engines.sim.profile import load_profile
from profiler.engines.sim.server import ServerOptions, SimServer
from profiler.engines.sim.traits import parse_traits
from profiler.errors import EXIT_ENGINE, ProfilerError
from profiler.kernel_time import kernel_stamping

HOST = "127.0.0.1"


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    arguments = _arguments()
    try:
        options = _options(arguments)
    except ProfilerError as error:
        sys.stderr.write(f"error: {error.message}\n  {error.remedy or ''}\n")
        return error.exit_code
    try:
        door = Door(HOST, arguments.port)
        with asyncio.Runner(loop_factory=partial(new_loop, spin=arguments.spin)) as runner:
            runner.run(_serve(options, door))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"error: cannot serve on port {arguments.port} of {HOST}: {error}\n")
        return EXIT_ENGINE
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m profiler.engines.sim", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--model", help="the name it serves; default: the profile's")
    parser.add_argument("--profile", default="cpu-tiny")
    parser.add_argument("--dialect", choices=DIALECTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trait", action="append", default=[])
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--otlp-traces-endpoint")
    parser.add_argument("--spin", action="store_true", help="take a whole core, to be exact")
    return parser.parse_args()


def _options(arguments: argparse.Namespace) -> ServerOptions:
    profile = load_profile(arguments.profile)
    return ServerOptions(
        profile=profile,
        model=arguments.model or profile.name,
        dialect=arguments.dialect or profile.dialect,
        seed=arguments.seed,
        traits=parse_traits(arguments.trait),
        faults=FaultPlan(parse_faults(arguments.fault)),
        truth=arguments.truth,
        otlp_traces_endpoint=arguments.otlp_traces_endpoint,
        api_key=os.environ.get("PROFILER_SIM_API_KEY"),
    )


async def _serve(options: ServerOptions, door: Door) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = SimServer(options, door.shut_for)
    await door.open(server)
    gc.collect()
    gc.freeze()  # a collection in the middle of an answer would make every stream late
    sys.stdout.write(f"serving {options.model} on http://{HOST}:{door.port}/v1\n")
    sys.stdout.flush()
    with kernel_stamping():
        await ended.wait()
    door.close()
    with contextlib.suppress(asyncio.TimeoutError):
        await server.shutdown(0.5)
    server.close_log()


if __name__ == "__main__":
    sys.exit(main())
