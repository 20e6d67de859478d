import json

from sending import LATENCIES, NOW_NS, request

from profiler.receive.content import PROTOBUF, request_of
from profiler.receive.intake import MOST_HELD_BYTES, MOST_LOADING, Answered, Intake

OURS, ELSEWHERE = 7, 8
SECOND = 1_000_000_000
LOADING = {"attributes": {}, "trace_id": 99}


class Run:
    """An intake with a run that began at NOW_NS."""

    def __init__(self, *, begun=True, writes=True):
        self.lines = []
        self.intake = Intake(lambda: NOW_NS)
        if begun:
            self.begin(writes=writes)

    def begin(self, *, writes=True):
        self.intake.begin({OURS}.__contains__, lambda line: self.lines.append(line) or writes)

    def take(self, *spans, protocol="http"):
        self.intake.take(request(*spans), protocol)

    @property
    def written(self):
        return [
            span["spanId"]
            for line in self.lines
            for resource_spans in json.loads(line)["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for span in scope_spans["spans"]
        ]

    def facts(self):
        return self.intake.facts("http://here", 0.0)


def test_spans_are_held_until_their_chain_is_written():
    run = Run()
    run.take({"trace_id": OURS, "span_id": 1, "parent": 11})
    assert run.lines == []
    run.intake.answered(Answered(OURS, [11]))
    assert run.written == [f"{1:016x}"]
    run.take({"trace_id": OURS, "span_id": 2, "parent": 12})
    assert run.written == [f"{1:016x}", f"{2:016x}"]
    assert run.facts().kept == 2


def test_spans_of_a_foreign_trace_are_counted_and_not_kept():
    run = Run()
    run.take({"trace_id": OURS}, {"trace_id": ELSEWHERE}, {"trace_id": ELSEWHERE})
    run.intake.answered(Answered(OURS, []))
    facts = run.facts()
    assert (facts.received, facts.kept, facts.other) == (3, 1, 2)
    assert len(run.written) == 1


def test_a_call_is_joined_whether_its_span_comes_before_its_chain_or_after():
    run = Run()
    run.take({"trace_id": OURS, "parent": 11})
    run.intake.answered(Answered(OURS, [11, 12]))
    assert not run.intake.complete.is_set()
    assert (run.facts().calls, run.facts().joined) == (2, 1)
    run.take({"trace_id": OURS, "parent": 12})
    assert run.intake.complete.is_set()
    assert run.facts().joined == 2


def test_a_span_that_comes_twice_joins_one_call_only():
    run = Run()
    run.intake.answered(Answered(OURS, [11, 12]))
    for _ in range(3):
        run.take({"trace_id": OURS, "parent": 11})
    assert run.facts().joined == 1
    assert not run.intake.complete.is_set()


def test_spans_that_would_make_the_file_unreadable_are_counted_as_malformed():
    run = Run()
    run.intake.answered(Answered(OURS, []))
    message = request(*[{"trace_id": OURS, "span_id": number} for number in range(1, 6)])
    spans = message.resource_spans[0].scope_spans[0].spans
    spans[0].span_id = b"short"
    spans[1].start_time_unix_nano = 0
    spans[2].end_time_unix_nano = spans[2].start_time_unix_nano - 1
    spans[3].end_time_unix_nano = 1 << 63
    run.intake.take(message, "http")
    assert run.facts().malformed == 4
    assert run.written == [f"{5:016x}"]


def test_chains_that_never_end_leave_no_spans_behind():
    run = Run()
    run.take({"trace_id": OURS, "span_id": 1}, {"trace_id": OURS, "span_id": 2})
    assert run.lines == []
    assert run.facts().dropped == 2


def test_what_cannot_be_written_is_counted_as_dropped():
    run = Run(writes=False)
    run.intake.answered(Answered(OURS, []))
    run.take({"trace_id": OURS})
    assert (run.facts().kept, run.facts().dropped) == (0, 1)


def test_what_is_held_is_bounded():
    run = Run()
    large = request({"trace_id": OURS, "attributes": {}})
    pair = large.resource_spans[0].scope_spans[0].spans[0].attributes.add()
    pair.key, pair.value.string_value = "text", "x" * (3 << 20)
    message = request_of(large.SerializeToString(), kind=PROTOBUF)
    for _ in range(MOST_HELD_BYTES // (3 << 20) + 5):
        run.intake.take(message, "grpc")
    run.intake.answered(Answered(OURS, []))
    assert sum(map(len, run.lines)) <= MOST_HELD_BYTES
    assert run.facts().dropped > 0


# --- the engine's start ------------------------------------------------------------------------------------


def test_the_start_of_the_engine_is_told_by_time_with_what_is_in_what():
    run = Run(begun=False)
    start = NOW_NS - 30 * SECOND
    run.take(
        {**LOADING, "name": "Load model", "span_id": 2, "parent": 1, "start": start + SECOND, "end": start + 3 * SECOND}
    )
    run.take({**LOADING, "name": "Worker init", "span_id": 1, "start": start, "end": start + 5 * SECOND})
    run.begin()
    told = [(part.name, part.start_s, part.seconds, part.depth, part.process) for part in run.intake.loading()]
    assert told == [("Worker init", 0.0, 5.0, 0, "vllm"), ("Load model", 1.0, 2.0, 1, "vllm")]
    assert run.facts().other == 0


def test_what_ended_before_the_run_and_comes_late_is_of_the_start_too():
    run = Run()
    run.take({**LOADING, "start": NOW_NS - 2 * SECOND, "end": NOW_NS - SECOND})
    run.take({**LOADING, "start": NOW_NS - 2 * SECOND, "end": NOW_NS + SECOND})
    assert len(run.intake.loading()) == 1
    assert run.facts().other == 1


def test_requests_before_the_run_are_not_part_of_the_start():
    run = Run(begun=False)
    run.take({"trace_id": 99, "attributes": LATENCIES})
    assert run.intake.loading() == []
    assert run.facts().other == 1


def test_spans_that_are_in_each_other_do_not_hang_the_account():
    run = Run(begun=False)
    run.take({**LOADING, "span_id": 1, "parent": 2}, {**LOADING, "span_id": 2, "parent": 1})
    assert [part.depth for part in run.intake.loading()] == [2, 2]


def test_no_more_than_so_many_parts_of_a_start_are_kept():
    run = Run(begun=False)
    run.take(*[{**LOADING, "span_id": number} for number in range(1, MOST_LOADING + 11)])
    assert len(run.intake.loading()) == MOST_LOADING
    assert run.facts().other == 10
