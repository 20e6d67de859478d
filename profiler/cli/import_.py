"""`profiler import`: traces from Jaeger or from a file become a run."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from profiler.errors import DataError, Interrupted, ProfilerError, UsageError

if TYPE_CHECKING:
    from profiler.exchange.documents import Item
    from profiler.exchange.intake import Intake
    from profiler.exchange.jaeger_api import JaegerApi

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_S: Final = 10**9


@click.command(
    "import",
    epilog="""\b
Examples:
  profiler import http://127.0.0.1:16686 --service agent --since 1h
      what a Jaeger has: traces of anyone's instrumentation
  profiler import http://jaeger:16686 --service shop --since 2026-11-24T08:00:00Z --until 2026-11-24T09:00:00Z
  profiler import trace.json
      saved by Jaeger's interface, OTLP JSON, Phoenix, MLflow; docs/import.md lists them
  profiler import spans.jsonl.gz --out traces/production
An import from Jaeger that is broken off goes on if the same command is given again with --out.""",
)
@click.argument("source", metavar="URL|FILE")
@click.option("--service", metavar="NAME", help="Traces in which this service has a span. [default: the only one]")
@click.option(
    "--since",
    metavar="TIME",
    default=None,
    help="How long ago (30m, 1h, 2d), or a time in ISO 8601. [default: 1h]",
)
@click.option("--until", metavar="TIME", default=None, help="Likewise. [default: now]")
@click.option(
    "--page", metavar="N", type=click.IntRange(10, 1500), default=None, help="Traces asked for at once. [default: 100]"
)
@click.option("--token-env", metavar="NAME", help="Environment variable that holds a bearer token for the Jaeger.")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the run. [default: traces/<time>-<source>]"
)
def import_(
    source: str,
    service: str | None,
    since: str | None,
    until: str | None,
    page: int | None,
    token_env: str | None,
    out: Path | None,
) -> int:
    """Make a run of traces that were recorded elsewhere: from a Jaeger's URL, or a file of spans.

    The same span twice is one span. What the spans do not tell is missing in the reports, never estimated.
    """
    if source.startswith(("http://", "https://")):
        return _from_jaeger(source, service, since, until, page, token_env, out)
    given = {"--service": service, "--since": since, "--until": until, "--page": page, "--token-env": token_env}
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name} goes with the address of a Jaeger, and {source} is a file", remedy="leave it out")
    if "://" in source:
        raise UsageError(f"{source} is neither an http or https address nor a file")
    return _from_file(Path(source), out)


def _from_file(path: Path, out: Path | None) -> int:
    from profiler.exchange.intake import Intake
    from profiler.exchange.reading import items_in_file

    if path.is_dir():
        raise UsageError(f"{path} is a folder", remedy=f"profiler report {path} reads runs; import takes a file")
    documents = items_in_file(path)
    first = next(documents, [])  # what is no file of spans leaves no folder behind
    folder = out or _default_folder(path.name.partition(".")[0] or "file")
    asked = {"file": str(path.absolute()), "bytes": path.stat().st_size}
    with Intake(folder, asked) as intake:
        try:
            _take(intake, _chained(first, documents))
            return _finish(intake, str(path))
        except BaseException:
            intake.abandon()  # a file can be read again
            raise


def _chained(first: list[Item], rest: Iterable[list[Item]]) -> Iterator[list[Item]]:
    yield first
    yield from rest


def _take(intake: Intake, documents: Iterable[list[Item]]) -> None:
    from profiler.cli.counting import Counting

    with Counting("traces read") as counting:
        for items in documents:
            counting.add(intake.add(items))


def _from_jaeger(
    base: str,
    service: str | None,
    since: str | None,
    until: str | None,
    page: int | None,
    token_env: str | None,
    out: Path | None,
) -> int:
    from profiler.cli.ending import note
    from profiler.exchange.address import viewer_url
    from profiler.exchange.intake import Intake
    from profiler.exchange.jaeger_api import PAGE, JaegerApi, check_service

    base = viewer_url(base, "the address")
    now_ns = time.time_ns()
    asked = {"url": base, "service": service, "since": since or "1h", "until": until or "now"}
    bounds = [moment(since or "1h", now_ns, "--since"), now_ns if until is None else moment(until, now_ns, "--until")]
    if bounds[0] >= bounds[1]:
        raise UsageError("--since is not before --until", remedy="swap them, or leave --until out")
    api = JaegerApi(base, token=_token(token_env), page=page or PAGE)
    try:
        found = check_service(api.services(), service, base)
        folder = out or _default_folder(re.sub(r"[^A-Za-z0-9._-]+", "-", found)[:40])
        with Intake(folder, asked) as intake:
            progress = intake.progress or {"at": bounds[0], "until": bounds[1]}
            if intake.resumed:
                note(f"going on with {intake.traces} traces that were imported before")
            try:
                _all_windows(intake, api, found, progress)
            except (ProfilerError, KeyboardInterrupt) as error:
                _kept(intake, folder, out)
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted("the import was interrupted") from error
                raise
            return _finish(intake, f"{base} (service {found})")
    finally:
        api.close()


def _all_windows(intake: Intake, api: JaegerApi, service: str, progress: dict[str, int]) -> None:
    from profiler.cli.counting import Counting
    from profiler.cli.ending import note

    full = 0
    until = progress["until"]
    with Counting("traces imported") as counting:
        for window in api.windows(service, progress["at"], until):
            counting.add(intake.add(window.items))
            full += window.full
            intake.reached({"at": window.end_ns, "until": until})
    if full:
        note(f"! {full} moments had more traces than Jaeger gives at once: some are missing; a larger --page gets more")


def _kept(intake: Intake, folder: Path, out: Path | None) -> None:
    from profiler.cli.ending import note

    if not intake.traces:
        intake.abandon()
        return
    again = "" if out else f" with --out {folder}"
    note(f"{intake.traces} traces are kept in {folder}: the same command{again} goes on from there")


def _finish(intake: Intake, source: str) -> int:
    from profiler.cli.counting import Counting
    from profiler.cli.ending import note

    try:
        with Counting("traces put together", intake.traces) as counting:
            manifest = intake.finish(source, counting.add)
    except DataError:
        intake.abandon()
        raise
    twice = manifest.imported.duplicates if manifest.imported else 0
    more = f" ({twice} copies of spans that were there already are left out)" if twice else ""
    note(f"{manifest.spans.written} spans of {manifest.chains.finished} traces imported{more} into {intake.folder}")
    note(f"the report: profiler report {intake.folder}")
    return 0


def _default_folder(name: str) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folders = (Path("traces") / f"{stamp}-{name}{number}" for number in ("", *(f"-{each}" for each in range(2, 100))))
    return next(folder for folder in folders if not folder.exists())


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable)
    if not token:
        raise UsageError(f"--token-env names {variable}, which is not set", remedy="set it, or leave the option out")
    return token


def moment(text: str, now_ns: int, option: str) -> int:
    """Epoch nanoseconds of a time that is told as how long ago, or in ISO 8601.

    Raises:
        UsageError: it is neither.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        with suppress(OverflowError):
            return max(0, now_ns - int(float(ago[1]) * _UNITS[ago[2]] * _S))
        return 0
    with suppress(ValueError, OverflowError):
        return int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * _S)
    raise UsageError(f"{option} {text} is no time", remedy="write it like 30m, 1h, 2d or 2026-11-24T08:00:00Z")
