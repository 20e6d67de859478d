"""From a finished chain's spans to measurements."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from profiler import semconv as sc
from profiler.analysis.streaming import tpot
from profiler.metrics import instruments as of
from profiler.metrics.histogram import Example, Histogram
from profiler.metrics.instruments import Instrument

_CALLS = (sc.OP_CHAT, sc.OP_TEXT_COMPLETION)
_OF_CALL = (sc.OPERATION, sc.PROVIDER, sc.REQUEST_MODEL, sc.RESPONSE_MODEL, sc.SERVER_ADDRESS, sc.SERVER_PORT)
_OF_TOOL = (sc.TOOL_NAME, sc.TOOL_TYPE)
_MOST_SERIES = 2000  # per histogram, as in OpenTelemetry's SDK: what comes after shares one
_LONGEST_LABEL = 200  # characters
_OVERFLOW = (("otel.metric.overflow", True),)

Labels = tuple[tuple[str, Any], ...]


class Series(NamedTuple):
    """One histogram of one set of attributes."""

    instrument: Instrument
    labels: Labels
    histogram: Histogram


class Figures:
    """All histograms of a run. One thread puts in, others may read."""

    def __init__(self) -> None:
        self._series: dict[Instrument, dict[Labels, Histogram]] = {each: {} for each in of.ALL}
        self._lock = threading.Lock()

    def take(self, spans: Sequence[ReadableSpan]) -> None:
        """Put in a finished chain; a warm-up chain is in no figure."""
        root = next((span for span in spans if span.parent is None), None)
        if root is None or _of(root).get(sc.WARMUP):
            return
        with self._lock:
            self._chain(root, spans)

    def copy(self) -> list[Series]:
        """Everything, as it is now, in the order of `instruments.ALL`."""
        with self._lock:
            return [
                Series(instrument, labels, histogram.copy())
                for instrument, series in self._series.items()
                for labels, histogram in series.items()
            ]

    def _chain(self, root: ReadableSpan, spans: Sequence[ReadableSpan]) -> None:
        agent = _labels(_of(root), (sc.AGENT_NAME,))
        calls = tools = 0
        for span in spans:
            operation = _of(span).get(sc.OPERATION)
            if operation in _CALLS:
                calls += 1
                self._call(span)
            elif operation == sc.OP_EXECUTE_TOOL:
                tools += 1
                labels = (*_labels(_of(span), _OF_TOOL), *agent, *_error(span))
                self._add(of.TOOL_DURATION, labels, _seconds(span), span)
        self._add(of.AGENT_DURATION, (*agent, *_error(root)), _seconds(root), root)
        self._add(of.AGENT_CALLS, agent, calls, root)
        self._add(of.AGENT_TOOLS, agent, tools, root)

    def _call(self, span: ReadableSpan) -> None:
        attributes = _of(span)
        labels = _labels(attributes, _OF_CALL)
        error = _error(span)
        self._add(of.OPERATION_DURATION, (*labels, *error), _seconds(span), span)
        for kind, name in (("input", sc.INPUT_TOKENS), ("output", sc.OUTPUT_TOKENS)):
            if name in attributes:
                self._add(of.TOKEN_USAGE, (*labels, (sc.TOKEN_TYPE, kind)), attributes[name], span)
        if error:  # times of what went wrong are in no figure: the conventions have no label to keep them apart
            return
        for phase, name in _PHASES:
            if attributes.get(name) is not None:
                self._add(of.ENGINE_PHASE, (*labels, (sc.PHASE, phase)), attributes[name] / 1e9, span)
        self._stream(span, labels)

    def _stream(self, span: ReadableSpan, labels: Labels) -> None:
        attributes = _of(span)
        times_us: Sequence[int] = attributes.get(sc.CHUNK_TIMES_US, ())
        if not times_us:
            return
        self._add(of.FIRST_CHUNK, labels, attributes[sc.RESPONSE_TTFC], span)
        gaps = self._histogram(of.OUTPUT_CHUNK, labels)
        gaps.add_all((after - before) / 1e6 for before, after in pairwise(times_us))
        if sc.REQUEST_CHOICES in attributes:  # several answers at once: there is no pace of one
            return
        unseen = 0 if attributes.get(sc.REASONING_CHUNKS) else attributes.get(sc.REASONING_TOKENS, 0)
        tokens, decode_ns = attributes.get(sc.OUTPUT_TOKENS), attributes.get(sc.ENGINE_DECODE_NS)
        pace = tpot(times_us, tokens, unseen_tokens=unseen, decode_ns=decode_ns)
        if pace is not None:
            self._add(of.OUTPUT_TOKEN, labels, pace.ns / 1e9, span)

    def _add(self, instrument: Instrument, labels: Labels, value: float, span: ReadableSpan) -> None:
        example = Example(value, span.end_time or 0, span.context.trace_id, span.context.span_id)
        self._histogram(instrument, labels).add(value, example)

    def _histogram(self, instrument: Instrument, labels: Labels) -> Histogram:
        series = self._series[instrument]
        if labels not in series and len(series) >= _MOST_SERIES:
            labels = _OVERFLOW
        if labels not in series:
            series[labels] = Histogram(instrument.bounds)
        return series[labels]


_PHASES = (
    ("load", sc.ENGINE_LOAD_NS),
    ("queue", sc.ENGINE_QUEUE_NS),
    ("prefill", sc.ENGINE_PREFILL_NS),
    ("decode", sc.ENGINE_DECODE_NS),
    ("inference", sc.ENGINE_INFERENCE_NS),
)


def _of(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def _labels(attributes: Mapping[str, Any], names: Sequence[str]) -> Labels:
    return tuple((name, _sendable(attributes[name])) for name in names if name in attributes)


def _sendable(value: Any) -> Any:
    """A label: names of models and tools come from outside."""
    return value[:_LONGEST_LABEL].encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _error(span: ReadableSpan) -> Labels:
    return _labels(_of(span), (sc.ERROR_TYPE,))


def _seconds(span: ReadableSpan) -> float:
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9
