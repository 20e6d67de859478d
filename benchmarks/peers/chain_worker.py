"""One way of recording for the overhead benchmark, in a process of its own: no two must meet in one.

    python chain_worker.py VARIANT WORDS        a key of VARIANTS below; words per LLM call, each a chunk

Reads one word per line, answers each with one line of JSON:

    on     recording is switched on, as it is at the start: {}
    off    recording is switched off: chains are bare again, in the same process with the same memory layout: {}
    run    runs a chain: {"wall_ns": how long it took,
                          "busy_ns": CPU time of the process meanwhile, which the machine's other work does not touch,
                          "cpu_ns": CPU time until the spans are delivered, whichever thread does it}
    facts  runs a chain: what was recorded of it, see `_facts`

The end of the input ends it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Otlp = dict[str, Any]
_ABSENT = object()


@dataclass(frozen=True)
class Variant:
    """A way of recording, switched off."""

    on: Callable[[], object]
    off: Callable[[], object]
    around: Callable[[], AbstractContextManager[None]]
    """Surrounds each chain."""
    deliver: Callable[[], object]
    """Delivers what is still held back."""
    delivered: Callable[[], list[Otlp]]
    """The spans of the last chain."""


def profiler(stack: ExitStack, *, capture_content: bool = False) -> Variant:
    """As `profiler run` records: each chain's spans are encoded and written to disk before the next begins."""
    from profiler.record.chain import Chain, RecordingOptions, active_chain
    from profiler.record.graph import spare_models
    from profiler.record.recorder import Recorder
    from profiler.record.threads import carry_context
    from profiler.record.wire import watch_wire
    from profiler.store.writer import RunWriter, create_run_folder

    folder = create_run_folder(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run")
    writer = RunWriter(folder)
    stack.callback(writer.close)
    recorder = stack.enter_context(Recorder(service_name="agent", resource={}, sinks=[writer.write_chain]))
    options = RecordingOptions(agent_name="benchmark", provider="vllm", capture_content=capture_content)
    watching = ExitStack()
    stack.push(watching)

    def begin_call(*request: Any) -> Any:
        chain = active_chain.get()
        return None if chain is None else chain.begin_call(*request)

    def on() -> None:
        watching.enter_context(watch_wire(begin_call))
        watching.enter_context(carry_context())
        watching.enter_context(spare_models())

    ended: list[Chain] = []

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        chain = Chain(recorder, options, task_id="t", repeat=1, warmup=False)
        with chain.active():
            yield
        chain.end(None)
        ended.append(chain)

    def deliver() -> None:
        while ended:
            ended.pop().deliver()

    def delivered() -> list[Otlp]:
        if writer.broken is not None:
            raise writer.broken
        return [json.loads(line) for line in (folder / "spans.jsonl").read_bytes().splitlines()[-1:]]

    return Variant(on, watching.close, around, deliver=deliver, delivered=delivered)


def opentelemetry_genai(_: ExitStack) -> Variant:
    """The OpenTelemetry project's instrumentation of LangChain, as installed."""
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor  # type: ignore[import-not-found, unused-ignore]

    return _instrumented(LangChainInstrumentor())


def openinference(_: ExitStack, *, content: bool = True) -> Variant:
    """Arize's; it records content unless told not to."""
    from openinference.instrumentation import TraceConfig  # type: ignore[import-not-found, unused-ignore]
    from openinference.instrumentation.langchain import LangChainInstrumentor  # type: ignore[import-not-found, unused-ignore]

    config = TraceConfig() if content else TraceConfig(hide_inputs=True, hide_outputs=True, hide_prompts=True)
    return _instrumented(LangChainInstrumentor(), config=config)


def traceloop(_: ExitStack, *, content: bool = True) -> Variant:
    """Traceloop's (OpenLLMetry); it records content unless told not to."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = str(content).lower()
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor  # type: ignore[import-not-found, unused-ignore]

    return _instrumented(LangchainInstrumentor())


VARIANTS: dict[str, Callable[[ExitStack], Variant]] = {
    "profiler": profiler,
    "profiler+content": lambda stack: profiler(stack, capture_content=True),
    "opentelemetry-genai": opentelemetry_genai,
    "openinference": openinference,
    "openinference-content": lambda stack: openinference(stack, content=False),
    "traceloop": traceloop,
    "traceloop-content": lambda stack: traceloop(stack, content=False),
}


def _instrumented(instrumentor: Any, **settings: Any) -> Variant:
    """With the SDK's batch processor, as their documentation sets them up, and an exporter that encodes and drops."""
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped, unused-ignore]
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    messages: list[Any] = []

    class Encode(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            message = encode_spans(spans)
            message.SerializeToString()
            messages.append(message)
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    processor = BatchSpanProcessor(Encode())
    provider.add_span_processor(processor)

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        messages.clear()
        yield

    patches = Patches(lambda: instrumentor.instrument(tracer_provider=provider, **settings))
    return Variant(
        on=patches.put_in,
        off=patches.take_out,
        around=around,
        deliver=processor.force_flush,
        delivered=lambda: [MessageToDict(message) for message in messages],
    )


class Patches:
    """What an instrumentor puts in place by wrapt, to be taken out and put back.

    Its own undoing will not do: Traceloop's leaves its patches where they are, and a second instrumentation then
    wraps the first.
    """

    def __init__(self, instrument: Callable[[], None]) -> None:
        self._instrument = instrument
        self._made: list[tuple[Any, str, Any, Any]] = []

    def put_in(self) -> None:
        """Instrument; from the second time on, just put the patches back."""
        if not self._made:
            return self._first_time()
        for owner, name, _, patch in self._made:
            setattr(owner, name, patch)
        return None

    def take_out(self) -> None:
        """Everything as it was before."""
        for owner, name, before, _ in reversed(self._made):
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _first_time(self) -> None:
        import wrapt.patches as wrapt_patches  # type: ignore[import-not-found, unused-ignore]

        apply = wrapt_patches.apply_patch

        def note(owner: Any, name: str, patch: Any) -> None:
            self._made.append((owner, name, vars(owner).get(name, _ABSENT), patch))
            apply(owner, name, patch)

        wrapt_patches.apply_patch = note
        try:
            self._instrument()
        finally:
            wrapt_patches.apply_patch = apply


class Worker:
    """A variant, the chain, and whether the one records the other."""

    def __init__(self, variant: Variant, words: int) -> None:
        self._variant = variant
        self._variant.on()
        from mock_chain import InstantEngine, make_chain  # after the patching, as instrumentors ask for

        self._engine = InstantEngine(words)
        self._chain = make_chain(self._engine)
        self._recording = True
        gc.collect()
        gc.freeze()  # for all alike: a collection that walks all libraries takes as long as a chain

    def answer(self, word: str) -> dict[str, Any]:
        """Do what is asked."""
        match word:
            case "run":
                return self._run()
            case "facts":
                return self._facts()
        if (word == "on") != self._recording:
            (self._variant.on if word == "on" else self._variant.off)()
            self._recording = word == "on"
        return {}

    def _run(self) -> dict[str, int]:
        around = self._variant.around if self._recording else nullcontext
        began_ns, busy_ns = time.perf_counter_ns(), time.process_time_ns()
        with around():
            self._chain()
        ended_ns, idle_ns = time.perf_counter_ns(), time.process_time_ns()
        if self._recording:
            self._variant.deliver()
        return {
            "wall_ns": ended_ns - began_ns,
            "busy_ns": idle_ns - busy_ns,
            "cpu_ns": time.process_time_ns() - busy_ns,
        }

    def _facts(self) -> dict[str, Any]:
        from mock_chain import CALLS, PROMPT

        requests, traceparents = self._engine.requests, self._engine.traceparents
        self._run()
        delivered = self._variant.delivered()
        spans = [
            span
            for message in delivered
            for resource in message["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        attributes = [each for span in spans for each in span.get("attributes", [])]
        return {
            "spans": len(spans),
            "names": sorted(span["name"] for span in spans),
            "keys": sorted({each["key"] for each in attributes}),
            # a node's span is called after it: `step model`, `model`, `model.task`
            "steps": any("model" in span["name"].replace(".", " ").split() for span in spans if _is_internal(span)),
            "first_chunk": any("first" in each["key"] or "chunk.times" in each["key"] for each in attributes),
            # per call: a chunk for each word, and the one that ends it
            "chunk_times": sum(len(_array(each)) > self._engine.words for each in attributes) == CALLS,
            "traceparent": self._engine.traceparents - traceparents == self._engine.requests - requests,
            "content": PROMPT in json.dumps(delivered),
        }


def _is_internal(span: Otlp) -> bool:
    return span.get("kind", 1) in {1, "SPAN_KIND_INTERNAL"}


def _array(attribute: Otlp) -> list[Any]:
    return list(attribute["value"].get("arrayValue", {}).get("values", []))


def main() -> None:
    """Serve until the input ends."""
    with ExitStack() as stack:
        worker = Worker(VARIANTS[sys.argv[1]](stack), int(sys.argv[2]))
        for line in sys.stdin:
            print(json.dumps(worker.answer(line.strip())), flush=True)


if __name__ == "__main__":
    main()
