"""A small run, written out by hand, whose every figure can be worked out on paper. Times are milliseconds here."""

from build import engine_phase

from profiler import semconv as sc
from profiler.analysis.model import Span, Trace
from profiler.analysis.tree import build_trace

MS = 1_000_000


def chain(trace_id, start, end, spans, attributes=None, *, failed=False) -> Trace:
    """A chain; the times of `spans` are milliseconds after its start."""
    origin = start * MS
    root = Span(
        trace_id,
        "root",
        None,
        "invoke_agent test",
        origin,
        end * MS,
        {sc.OPERATION: sc.OP_INVOKE_AGENT, sc.TASK_ID: "t1", sc.REPEAT: 1, **(attributes or {})},
        failed,
        "it went wrong" if failed else "",
    )
    moved = [
        Span(
            trace_id,
            span.span_id,
            span.parent_id,
            span.name,
            origin + span.start_ns * MS,
            origin + span.end_ns * MS,
            span.attributes,
            span.failed,
        )
        for span in spans
    ]
    built = build_trace([root, *moved])
    assert built is not None
    assert built.repairs == ()
    return built


def _step(name, start, end, node, number):
    attributes = {sc.STEP_NODE: node, sc.STEP_NUMBER: number, sc.STEP_PLACE: node}
    return Span("", name, "root", f"step {node}", start, end, attributes)


def _call(name, start, end, parent, attributes, *, failed=False):
    attributes = {
        sc.OPERATION: sc.OP_CHAT,
        sc.REQUEST_MODEL: "m",
        sc.REQUEST_STREAM: True,
        sc.CALL_PLACE: "model",
        sc.SENT_NS: 0,
        **attributes,
    }
    return Span("", name, parent, "chat m", start, end, attributes, failed)


def with_engine_timing() -> Trace:
    """1000 ms: a call with engine timing, a tool, a call of one token without engine timing.

    0    10                        400      500                  950  1000
    root |---------- model --------|- tools --|------- model -----|----|
    call   20 ------------- 390       405-495   510 --------- 940
    sent     30
    engine     50 q 70 p 130 d 330
    chunks             130 180 330                    710
    """
    return chain(
        "aa",
        0,
        1000,
        [
            _step("s1", 10, 400, "model", 1),
            _call(
                "c1",
                20,
                390,
                "s1",
                {
                    sc.CALL_ORDINAL: 1,
                    sc.CALL_ATTEMPT: 1,
                    sc.SENT_NS: 10 * MS,
                    sc.RESPONSE_MODEL: "m-served",
                    sc.CHUNK_TIMES_US: (100_000, 150_000, 300_000),
                    sc.INPUT_TOKENS: 100,
                    sc.CACHED_TOKENS: 0,
                    sc.OUTPUT_TOKENS: 11,
                    sc.ENGINE_SOURCE: "vllm.metrics",
                    sc.ENGINE_QUEUE_NS: 20 * MS,
                    sc.ENGINE_PREFILL_NS: 60 * MS,
                    sc.ENGINE_DECODE_NS: 200 * MS,
                },
            ),
            engine_phase("queue", 50, 70, "c1"),
            engine_phase("prefill", 70, 130, "c1"),
            engine_phase("decode", 130, 330, "c1"),
            _step("s2", 400, 500, "tools", 2),
            Span("", "x", "s2", "execute_tool", 405, 495, {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: "search"}),
            _step("s3", 500, 950, "model", 3),
            _call(
                "c2",
                510,
                940,
                "s3",
                {
                    sc.CALL_ORDINAL: 2,
                    sc.CALL_ATTEMPT: 1,
                    sc.CHUNK_TIMES_US: (200_000,),
                    sc.INPUT_TOKENS: 160,
                    sc.CACHED_TOKENS: 96,
                    sc.OUTPUT_TOKENS: 1,
                },
            ),
        ],
    )


def with_a_retry() -> Trace:
    """800 ms: a call whose first attempt failed, then one that neither streamed nor counted its tokens.

    0                300                 700   800
    |---- model -----|------ model ------|------|
    0-50x   100 -300  300 ---------- 700
    """
    return chain(
        "bb",
        2000,
        2800,
        [
            _step("s1", 0, 300, "model", 1),
            _call(
                "c1",
                0,
                50,
                "s1",
                {sc.CALL_ORDINAL: 1, sc.CALL_ATTEMPT: 1, sc.ERROR_TYPE: "503"},
                failed=True,
            ),
            _call(
                "c2",
                100,
                300,
                "s1",
                {
                    sc.CALL_ORDINAL: 1,
                    sc.CALL_ATTEMPT: 2,
                    sc.CHUNK_TIMES_US: (50_000, 190_000),
                    sc.INPUT_TOKENS: 100,
                    sc.OUTPUT_TOKENS: 21,
                },
            ),
            _step("s2", 300, 700, "model", 2),
            _call(
                "c3",
                300,
                700,
                "s2",
                {sc.CALL_ORDINAL: 2, sc.CALL_ATTEMPT: 1, sc.REQUEST_STREAM: False, sc.INPUT_TOKENS: 130},
            ),
        ],
        {sc.REPEAT: 2},
    )


def broken_off() -> Trace:
    """6000 ms, failed."""
    return chain(
        "cc",
        3000,
        9000,
        [
            _step("s1", 0, 5000, "model", 1),
            _call("c1", 0, 5000, "s1", {sc.CALL_ORDINAL: 1, sc.INPUT_TOKENS: 9999, sc.OUTPUT_TOKENS: 9999}),
        ],
        {sc.REPEAT: 3, sc.ERROR_TYPE: "GraphRecursionError"},
        failed=True,
    )


def warm_up() -> Trace:
    """7000 ms, for warm-up."""
    return chain(
        "dd",
        10_000,
        17_000,
        [
            _step("s1", 0, 7000, "model", 1),
            _call("c1", 0, 7000, "s1", {sc.CALL_ORDINAL: 1, sc.INPUT_TOKENS: 8888, sc.OUTPUT_TOKENS: 8888}),
        ],
        {sc.WARMUP: True},
    )


def small_run() -> list[Trace]:
    return [with_engine_timing(), with_a_retry(), broken_off(), warm_up()]
