"""Whether a collector costs a run anything: one that is well, down, hanging or refusing, against none.

    python benchmarks/collectors.py            eight rounds, some ten minutes
    python benchmarks/collectors.py --check    four rounds; exit code 1 if a run is slower beyond chance

A round is one run of the sample agent without a collector and one with each kind, in an order of its own. What is
compared is the wall time of the run's chains as its manifest has it (`wall_s`) and of the whole command, as ratios to
the run without in the same round; and that every span is on disk. The interval is that of the mean of the ratios'
logarithms.
"""

from __future__ import annotations

import argparse
import json
import math
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from statistics import mean, stdev

from results import circumstances, replace_section, table
from scipy.stats import t

REPOSITORY = Path(__file__).parents[1]
KINDS = ("none", "well", "down", "hanging", "refusing")
TASKS = ("leave-days", "lost-laptop", "mast-in-feet", "return-deadline")
LEEWAY = 1.03  # a run may be so much slower before the check fails
_ENDING_S = 1.5  # at its end a run waits a second for a collector that has taken nothing


@contextmanager
def collector(kind: str) -> Iterator[str | None]:
    """The address of a collector of a kind; None for none."""
    if kind == "none":
        yield None
    elif kind == "down":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{probe.getsockname()[1]}"  # bound and not listening: refused
    else:
        with _server(kind) as address:
            yield address


@contextmanager
def _server(kind: str) -> Iterator[str]:
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if kind == "hanging":
                over.wait(600)
            self.send_response(200 if kind == "well" else 401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def run(kind: str, folder: Path) -> tuple[float, float]:
    """Seconds of a run's chains, and of the whole command."""
    command = [sys.executable, "-m", "profiler", "run", "agents/react.py", "--backend", "sim", "--out", str(folder)]
    command += ["--repeat", "3", *(word for task in TASKS for word in ("--task", task))]
    with collector(kind) as address:
        began = time.perf_counter()
        subprocess.run(
            [*command, *(["--otlp-endpoint", address] if address else [])],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            timeout=600,
        )
        whole_s = time.perf_counter() - began
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if not manifest["spans"]["started"] == manifest["spans"]["written"] > 0:
        raise SystemExit(f"with a collector that is {kind}, spans are missing on disk: {manifest['spans']}")
    export = manifest.get("export") or {}
    if kind not in ("none", "well") and export.get("not_sent") != manifest["spans"]["written"]:
        raise SystemExit(f"with a collector that is {kind}, the run does not tell what was not sent: {export}")
    return float(manifest["wall_s"]), whole_s


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Mean of the ratios and its 95% interval, by their logarithms."""
    logarithms = [math.log(each) for each in ratios]
    half = t.ppf(0.975, len(ratios) - 1) * stdev(logarithms) / math.sqrt(len(ratios))
    middle = mean(logarithms)
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="a short version that writes nothing")
    short = parser.parse_args().check
    random = Random(6)
    seconds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="profiler-collectors-") as scratch:
        for number in range(4 if short else 8):
            for kind in random.sample(KINDS, len(KINDS)):
                seconds[kind].append(run(kind, Path(scratch) / f"{number}-{kind}"))
                print(number, kind, seconds[kind][-1], flush=True)
    rows, failed = [], False
    for kind in KINDS[1:]:
        chains = interval([one[0] / none[0] for one, none in zip(seconds[kind], seconds["none"], strict=True)])
        later = mean(one[1] - none[1] for one, none in zip(seconds[kind], seconds["none"], strict=True))
        failed = failed or chains[1] > LEEWAY
        rows.append([kind, f"{chains[0]:.3f}", f"{chains[1]:.3f} to {chains[2]:.3f}", f"{later:+.2f} s"])
    text = table(["collector", "chains, ratio to none", "95%", "whole command, later by"], rows)
    print(text)
    if short:
        return int(failed)
    told = f"Every span was on disk in every run. At its end a run waits {_ENDING_S:g} s at most for a collector."
    replace_section("collectors", "\n\n".join(["## Collectors", circumstances({}), text, told]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
