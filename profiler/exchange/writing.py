"""A run as a file of another format, chain by chain: no more than one is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from profiler.exchange import jaeger_json
from profiler.exchange.documents import Item, document, encoded, line_of
from profiler.exchange.perfetto import events_of
from profiler.exchange.present import presented

Traces = Iterable[Sequence[Item]]


def otlp(traces: Traces) -> Iterator[bytes]:
    """OTLP JSON, a line per chain: what collectors read, and Jaeger's upload."""
    for items in traces:
        yield line_of(presented(items))


def jaeger(traces: Traces) -> Iterator[bytes]:
    """One document of Jaeger's JSON."""
    yield b'{"data":['
    for number, items in enumerate(traces):
        yield (b",\n" if number else b"\n") + encoded(jaeger_json.trace_of(presented(items)))
    yield b'\n],"total":0,"limit":0,"offset":0,"errors":null}\n'


def perfetto(traces: Traces, origin_ns: int | None = None) -> Iterator[bytes]:
    """One document of Chrome's trace events.

    Args:
        traces: chain by chain, in any order.
        origin_ns: from when times count: the run's first start; None is the first of these chains'.
    """
    yield b'{"displayTimeUnit":"ms","traceEvents":['
    separator = b"\n"
    for number, items in enumerate(traces, start=1):
        shown = presented(items)
        if origin_ns is None:
            origin_ns = min(item.start_ns for item in shown)
        for event in events_of(shown, number, origin_ns):
            yield separator + encoded(event)
            separator = b",\n"
    yield b"\n]}\n"


FORMATS: Final[dict[str, Callable[[Traces], Iterator[bytes]]]] = {
    "otlp": otlp,
    "jaeger-json": jaeger,
    "perfetto": perfetto,
}


def batches(items: Sequence[Item], most: int) -> Iterator[dict[str, Any]]:
    """A trace as documents of at most so many spans, for sending."""
    shown = presented(items)
    for at in range(0, len(shown), most):
        yield document(shown[at : at + most])
