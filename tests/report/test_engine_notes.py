"""What a report says of the server, when and only when there is a reason."""

from __future__ import annotations

import pytest
from report_inputs import chain, manifest, summary_of

from profiler import semconv as sc
from profiler.analysis.model import Span
from profiler.report.engine_notes import engine_notes


def call(name, *, failed=False, **attributes):
    known = {sc.OPERATION: sc.OP_CHAT, sc.CALL_PLACE: "", sc.CALL_ORDINAL: 1, **attributes}
    return Span("", name, "root", "chat", 0, 10, known, failed)


def notes(*calls, server="tgi"):
    spans = list(calls) or [call("c")]
    run = manifest()
    run.engine["server"] = server
    return list(engine_notes(summary_of([chain("aa", 0, 10, spans, {})]), run))


def test_a_server_that_takes_and_tells_everything_has_no_notes():
    changed = {sc.CALL_ADAPTED: ("cache_salt", "seed")}
    assert notes(call("c", **changed), server="vllm") == []
    assert list(engine_notes(summary_of([chain("aa", 0, 10, [call("c")], {})]), None)) == []


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("tgi", "does not tell cached tokens"),
        ("ollama", "by /api/chat it does"),
        ("llama.cpp", "waited for a slot"),
        ("openai", "nothing is known but its protocol"),
        ("transformers", "nothing of its own time"),
    ],
)
def test_each_server_has_its_limits(server, words):
    (limits,) = notes(server=server)
    assert words in limits


def test_each_field_that_was_sent_otherwise_is_listed_with_its_number_of_calls():
    one = call("a", **{sc.CALL_ADAPTED: ("model", "top_p"), sc.CALL_ORDINAL: 1})
    two = call("b", **{sc.CALL_ADAPTED: ("model",), sc.CALL_ORDINAL: 2})
    assert notes(one, two)[1].endswith("otherwise than the agent asked: model in all calls; top_p in 1 call")


def test_tools_that_tgi_leaves_out_of_a_scripts_prompts_are_said():
    assert any("leaves the tools out" in note for note in notes(call("c", **{sc.CALL_ADAPTED: ("tool_choice",)})))
    assert not any("leaves the tools out" in note for note in notes(call("c", **{sc.CALL_ADAPTED: ("seed",)})))


def test_a_hidden_generation_is_counted():
    found = notes(call("a", **{sc.CALL_HIDDEN: True}), call("b", **{sc.CALL_ORDINAL: 2}))
    assert any(note.startswith("in 1 of 2 calls TGI generated twice") for note in found)


def test_the_precision_of_headers_is_said_where_they_are_used():
    assert any("whole milliseconds" in note for note in notes(call("c", **{sc.ENGINE_SOURCE: "tgi.headers"})))
    assert not any("whole milliseconds" in note for note in notes(call("c", **{sc.ENGINE_SOURCE: "tgi.spans"})))


def test_overload_is_counted_also_where_the_call_was_repeated_with_success():
    refused = call("a", failed=True, **{sc.ERROR_TYPE: "429"})
    answered = call("b", **{sc.CALL_ATTEMPT: 2})
    assert any(note.startswith("1 attempt was turned away") for note in notes(refused, answered, server="vllm"))
    broken = call("a", failed=True, **{sc.ERROR_TYPE: "500"})
    assert notes(broken, answered, server="vllm") == []
