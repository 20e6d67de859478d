"""`--engine-spans`: where a run takes the engine's own spans, and what the user is told of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from profiler.cli.ending import note
from profiler.errors import EngineUnavailable, UsageError

if TYPE_CHECKING:
    from profiler.engines import Engine, EngineOptions
    from profiler.receive.receiver import SpanReceiver
    from profiler.record.live import LiveExport
    from profiler.record.recorder import Recorder
    from profiler.store.manifest import EngineSpans, Manifest
    from profiler.store.writer import RunWriter

AUTO, ON, OFF = "auto", "on", "off"
LAST_SPANS_S: Final = 3.0  # of an engine that sends them soon
LAST_SPANS_ATTACHED_S: Final = 6.5  # OpenTelemetry's default is to send every 5 s
LAST_SPANS_BROKEN_OFF_S: Final = 0.5

_HERE: Final = "127.0.0.1"
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - only where the user asks for it
_PLACE: Final = re.compile(r"(?:(?P<host>[^:\[\]]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>\d{1,5})")


def check_value(value: str) -> str:
    """A value of the option.

    Raises:
        UsageError: it is none.
    """
    if value not in (AUTO, ON, OFF):
        _place(value)
    return value


def _place(value: str) -> tuple[str, int]:
    match = _PLACE.fullmatch(value)
    port = int(match["port"]) if match else 0
    if match is None or not 0 < port < 2**16:
        raise UsageError(
            f"--engine-spans {value!r} is neither auto, on, off nor a port", remedy="such as 4317, or 0.0.0.0:4317"
        )
    return (match["host"] or _HERE).strip("[]"), port


@contextmanager
def receiving(value: str, options: EngineOptions) -> Iterator[tuple[SpanReceiver | None, EngineOptions]]:
    """A receiver for the length of a with block, if one is wanted, and the options of an engine that sends to it.

    Raises:
        EngineUnavailable: the port that was named cannot be had.
    """
    attached = options.base_url is not None
    if value == OFF or (value == AUTO and (attached or options.backend != "vllm")):
        yield None, options
        return
    with _open(value, attached=attached) as receiver:
        if attached:
            note(_what_to_set(receiver, options.base_url or ""))
            yield receiver, options
        elif options.backend == "sim":
            yield receiver, replace(options, sim=replace(options.sim, otlp_traces_endpoint=receiver.endpoint))
        else:
            yield receiver, replace(options, spans_endpoint=receiver.endpoint)


def _open(value: str, *, attached: bool) -> SpanReceiver:
    from profiler.receive.receiver import USUAL_PORT, SpanReceiver

    if value not in (AUTO, ON):
        return SpanReceiver(*_place(value))
    if attached:
        try:
            return SpanReceiver(_HERE, USUAL_PORT)
        except EngineUnavailable as error:
            note(f"{error.message}: taking another port")
    return SpanReceiver()


def _what_to_set(receiver: SpanReceiver, base_url: str) -> str:
    """For an engine that somebody else starts: how it is told to send its spans here."""
    engine = urlsplit(base_url).hostname or ""
    host = _address_towards(engine) if receiver.host in _EVERYWHERE else receiver.host
    address = f"http://[{host}]:{receiver.port}" if ":" in host else f"http://{host}:{receiver.port}"
    said = (
        f"taking the engine's spans at {address}, over gRPC and HTTP. To send them, vLLM is started with "
        f"--otlp-traces-endpoint {address}/v1/traces, TGI with --otlp-endpoint {address}"
    )
    if receiver.host == _HERE and engine not in ("127.0.0.1", "localhost", "::1"):
        said += f"\n  (from {engine} that cannot be reached: --engine-spans 0.0.0.0:{receiver.port} listens to all)"
    return said


def _address_towards(host: str) -> str:
    """This machine's address in the network of another; nothing is sent."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


def begin(receiver: SpanReceiver | None, recorder: Recorder, writer: RunWriter, live: LiveExport | None) -> None:
    """Keep what belongs to the run's traces, if there is a receiver, and hand it to the live export with its chain."""
    if receiver is not None:
        receiver.begin(recorder.traces.__contains__, writer.write_line, live.offer if live is not None else None)


def limit_s(engine: Engine, *, broken_off: bool) -> float:
    """For how long the engine's last spans are worth waiting."""
    if broken_off:
        return LAST_SPANS_BROKEN_OFF_S
    if engine.info.managed:
        return LAST_SPANS_S if engine.info.sends_spans else 0.0
    return LAST_SPANS_ATTACHED_S


def settle(receiver: SpanReceiver | None, engine: Engine, manifest: Manifest, limit_s: float) -> None:
    """Wait for the last spans, no longer than that, and write the account into the manifest."""
    if receiver is None:
        return
    if limit_s > 0 and not engine.info.managed:
        note(f"waiting up to {limit_s:g} s for the engine's last spans")
    receiver.wait(limit_s)
    manifest.engine_spans = receiver.facts()
    manifest.loading = receiver.loading()


def show(spans: EngineSpans | None) -> None:
    """Tell what did not come, or was not taken; nothing if all is as it should be."""
    if spans is None:
        return
    if spans.joined < spans.calls:
        came = f"{spans.received} spans came" if spans.received else "none came at all"
        note(
            f"the engine sent no span for {spans.calls - spans.joined} of {spans.calls} calls within {spans.waited_s:g}"
            f" s of the last chain's end ({came} at {spans.endpoint})"
        )
    if spans.other:
        note(f"{spans.other} spans of the engine are of other traces: not kept")
    if spans.malformed or spans.dropped:
        note(
            f"{spans.malformed + spans.dropped} spans of the engine could not be kept (broken, or of no finished chain)"
        )
    if spans.refused:
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(spans.refused.items()))
        note(f"requests at {spans.endpoint} that were not taken: {reasons}")
