"""`profiler export`: a run to a collector, or into a file of another format."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from profiler.cli.report import complete_run
from profiler.errors import BackendUnavailable, DataError, StoreError, UsageError

if TYPE_CHECKING:
    from profiler.exchange.documents import Item
    from profiler.exchange.sending import Account
    from profiler.store.reader import LoadedRun

_PATH = click.Path(path_type=Path)
_BATCH_SPANS = 1_000


@click.command(
    epilog="""\b
Examples:
  profiler export traces/20261123-101500-react-vllm --to http://127.0.0.1:4318
      to Jaeger, or any collector of OpenTelemetry: services agent and vllm
  profiler export traces/20261123-101500-react-vllm --to http://collector:4317 --protocol grpc
  profiler export traces/20261123-101500-react-vllm --format jaeger-json -o run.json
      for the upload in Jaeger's interface
  profiler export traces/20261123-101500-react-vllm --format perfetto -o run.perfetto.json
      for ui.perfetto.dev and speedscope
  profiler export traces/20261123-101500-react-vllm --format otlp -o - | gzip > run.jsonl.gz

\b
A key for the collector goes into OTEL_EXPORTER_OTLP_HEADERS (name=value,name=value)."""
)
@click.argument("path", metavar="RUN", type=_PATH, shell_complete=complete_run)
@click.option(
    "--to",
    "endpoint",
    metavar="URL",
    help="Send the spans to this collector, such as http://127.0.0.1:4318 (HTTP) or http://127.0.0.1:4317 (gRPC).",
)
@click.option(
    "--protocol",
    type=click.Choice(["http/protobuf", "http/json", "grpc"]),
    help="For --to. [default: OTEL_EXPORTER_OTLP_PROTOCOL, else grpc on port 4317 and http/protobuf elsewhere]",
)
@click.option(
    "--jaeger",
    "viewer",
    metavar="URL",
    help="Where a Jaeger shows what is sent, for links in reports. [default: port 16686 beside --to, if one answers]",
)
@click.option("--format", "kind", type=click.Choice(["otlp", "jaeger-json", "perfetto"]), help="Write a file instead.")
@click.option("-o", "--output", "target", metavar="FILE", type=_PATH, help="The file for --format; - is stdout.")
@click.option("--force", is_flag=True, help="Overwrite the file if there is one.")
def export(
    path: Path,
    endpoint: str | None,
    protocol: str | None,
    viewer: str | None,
    kind: str | None,
    target: Path | None,
    *,
    force: bool,
) -> int:
    """Send RUN to a collector, or write it as a file of another format. RUN is a folder or a file of OTLP JSON lines.

    Phases of the engine become spans of a service with the engine's name, and spans that touch are set apart by a
    microsecond, which Jaeger needs: in the copy alone. `profiler import` undoes both.
    """
    from profiler.store.reader import load_run

    if (endpoint is None) == (kind is None):
        raise UsageError("give either --to URL or --format FORMAT", remedy="profiler export --help has examples")
    if kind is None:
        for name, given in (("--output", target), ("--force", force)):
            if given:
                raise UsageError(f"{name} goes with --format", remedy="leave it out, or give --format instead of --to")
        _check_addresses(str(endpoint), viewer)
        return _send(load_run(path), str(endpoint), protocol, viewer)
    for name, value in (("--protocol", protocol), ("--jaeger", viewer)):
        if value is not None:
            raise UsageError(f"{name} goes with --to", remedy="leave it out, or give --to instead of --format")
    if target is None:
        raise UsageError("--format needs a file", remedy="give -o FILE, or -o - for stdout")
    _check_target(target, force=force)
    return _write(load_run(path), kind, target)


def _check_addresses(endpoint: str, viewer: str | None) -> None:
    from profiler.exchange.address import check_variables, protocol_of, viewer_url

    protocol_of(endpoint, option="--to")
    check_variables()
    if viewer is not None:
        viewer_url(viewer)


def _send(run: LoadedRun, endpoint: str, protocol: str | None, viewer: str | None) -> int:
    from profiler.cli.counting import Counting
    from profiler.cli.ending import note
    from profiler.exchange.address import protocol_of, viewer_url
    from profiler.exchange.sending import Sender
    from profiler.exchange.viewer import find_viewer
    from profiler.exchange.writing import batches

    sender = Sender(endpoint, protocol or protocol_of(endpoint, option="--to"))  # type: ignore[arg-type]
    account = sender.account
    try:
        with Counting("chains sent", _chains(run)) as counting:
            for items in _traces(run):
                for document in batches(items, _BATCH_SPANS):
                    sender.send(document)
                if sender.given_up and not account.sent:
                    raise _unavailable(account)
                counting.add()
    finally:
        sender.close()
    shown = viewer_url(viewer) if viewer else find_viewer(endpoint) if account.sent else None
    if account.sent:
        note(f"{account.sent} spans sent to {account.endpoint} ({account.protocol})")
        _remember(run, account, shown)
    if shown and account.sent:
        note(f"look at them: {shown} (service agent); links: profiler report {run.path}")
    if not account.not_sent:
        return 0
    if not account.sent:
        raise _unavailable(account)
    raise BackendUnavailable(
        f"{account.not_sent} of {account.sent + account.not_sent} spans were not taken by {account.endpoint} "
        f"({account.protocol}): {account.reason}",
        remedy="the run itself is as it was; what was sent is sent again harmlessly by the same command",
    )


def _unavailable(account: Account) -> BackendUnavailable:
    return BackendUnavailable(
        f"nothing was sent to {account.endpoint} ({account.protocol}): {account.reason}",
        remedy="is a collector running there? profiler jaeger starts one, or says how",
    )


def _remember(run: LoadedRun, account: Account, viewer: str | None) -> None:
    """Keep in the manifest where the run was sent to, for the links in its reports."""
    from profiler.store.manifest import Export
    from profiler.store.writer import write_manifest

    if run.manifest is None:
        return
    kept = viewer or (run.manifest.export.viewer if run.manifest.export else None)
    export = Export(
        endpoint=account.endpoint,
        protocol=account.protocol,
        sent=account.sent,
        not_sent=account.not_sent,
        error=account.reason,
        viewer=kept,
    )
    with suppress(StoreError):  # a run that one may only read is exported all the same
        write_manifest(run.spans_path.parent, run.manifest.model_copy(update={"export": export}))


def _chains(run: LoadedRun) -> int:
    import pyarrow.compute as pc

    return int(pc.count_distinct(run.index["trace_id"]).as_py())


def _traces(run: LoadedRun) -> Iterator[Sequence[Item]]:
    from profiler.exchange.documents import traces_of

    if not len(run.index):
        raise DataError(f"{run.path} has no spans to export", remedy="; ".join(run.notes) or None)
    return traces_of(run)


def _check_target(target: Path, *, force: bool) -> None:
    if str(target) == "-":
        return
    if target.is_dir():
        raise UsageError(f"{target} is a folder", remedy="name a file")
    if target.is_file() and not force:
        raise UsageError(f"{target} exists already and will not be overwritten", remedy="name another, or add --force")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", remedy="make it, or name another place")


def _write(run: LoadedRun, kind: str, target: Path) -> int:
    from profiler.cli.counting import Counting
    from profiler.cli.ending import note
    from profiler.exchange.writing import FORMATS, perfetto

    starts = run.tables.chains["start_ns"]
    written = partial(perfetto, origin_ns=int(starts.min())) if kind == "perfetto" and len(starts) else FORMATS[kind]
    with Counting("chains written", _chains(run)) as counting, _opened(target) as file:

        def counted() -> Iterator[Sequence[Item]]:
            for items in _traces(run):
                yield items
                counting.add()

        for block in written(counted()):
            file.write(block)
    if str(target) != "-":
        note(f"written to {target}: {_WHERE[kind]}")
    return 0


_WHERE = {
    "otlp": "OTLP JSON lines, for Jaeger's upload, collectors and profiler import",
    "jaeger-json": "for the upload in Jaeger's interface (Search, Upload)",
    "perfetto": "open it at https://ui.perfetto.dev or in speedscope",
}


@contextmanager
def _opened(target: Path) -> Iterator[IO[bytes]]:
    """A file that is there whole or not at all."""
    if str(target) == "-":
        if sys.stdout.isatty():
            raise UsageError("megabytes of JSON would fill the terminal", remedy="give -o FILE, or pipe it")
        yield sys.stdout.buffer
        return
    special = target.exists() and not target.is_file()  # /dev/null, a pipe
    temporary: Any = target if special else target.with_name(f".{target.name}.new")
    try:
        with temporary.open("wb") as file:
            yield file
        if not special:
            temporary.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}", remedy="name another place with -o") from error
    finally:
        if not special:
            with suppress(OSError):
                temporary.unlink()
