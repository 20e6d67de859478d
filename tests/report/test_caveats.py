"""Each caveat is there when, and only when, there is a reason for it."""

import pytest
from report_inputs import chain, manifest, small_run, summary_of

from profiler import semconv as sc
from profiler.analysis.model import Span
from profiler.analysis.reconcile import Reconciled
from profiler.report.caveats import caveats

MS = 1_000_000


def call(name="c", *, failed=False, **changes):
    attributes = {
        sc.OPERATION: sc.OP_CHAT,
        sc.REQUEST_STREAM: True,
        sc.CALL_PLACE: "",
        sc.CALL_ORDINAL: 1,
        sc.ENGINE_SOURCE: "vllm.metrics",
        **changes,
    }
    attributes = {name: value for name, value in attributes.items() if value is not None}
    return Span("", name, "root", "chat", 0, 10, attributes, failed)


def good_chain(*spans, **attributes):
    return chain("aa", 0, 10, list(spans) or [call()], attributes)


def found(traces=None, run=None, notes=()):
    return caveats(summary_of([good_chain()] if traces is None else traces), run or manifest(), list(notes))


def test_a_good_run_has_no_caveats():
    assert found() == []


def test_spans_without_a_manifest_are_said_to_be():
    assert caveats(summary_of([good_chain()]), None, []) == [
        "there is no run.json beside the spans: engine, script and machine are unknown"
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"status": "running"},
            "the run was not ended properly (killed?): these are the chains that had finished",
        ),
        (
            {"status": "interrupted", "chains": {"planned": 9, "finished": 4}},
            "the run was interrupted: 4 of 9 chains had ended",
        ),
        ({"status": "failed", "error": "the engine died"}, "the run broke off: the engine died"),
        ({"status": "failed"}, "the run broke off: unknown"),
        (
            {"timings_not_believed": 2},
            "the engine's own durations are longer than the call in 2 calls and were left out there (cached answers?)",
        ),
        ({"spans": {"started": 10, "written": 8}}, "10 spans were started and 8 written"),
        (
            {"engine": {"random_weights": True}},
            "the model has random weights: its timing is real, its text is not (its words are random)",
        ),
        (
            {"engine": {"random_weights": True}, "script": {"file": "x"}},
            "the model has random weights: its timing is real, its text is not (its words are the script's)",
        ),
        ({"calls_outside_chains": 1}, "1 LLM call came from outside any chain and could not be recorded"),
        ({"calls_outside_chains": 3}, "3 LLM calls came from outside any chain and could not be recorded"),
    ],
)
def test_a_reason_in_the_run_makes_its_caveat_and_no_other(changes, sentence):
    assert found(run=manifest(**changes)) == [sentence]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "finished", "error": None},
        {"spans": {"started": 10, "written": 10}},
        {"engine": {"random_weights": False}},
        {"script": {"file": "x"}},
        {"chains": {"planned": 9, "finished": 9}},
    ],
)
def test_without_a_reason_in_the_run_there_is_no_caveat(changes):
    assert found(run=manifest(**changes)) == []


def test_spans_of_a_run_that_still_goes_on_are_not_counted_against_it():
    assert len(found(run=manifest(status="running", spans={"started": 10, "written": 8}))) == 1


def test_failed_chains_are_counted_by_their_errors():
    failed = [
        chain(f"f{number}", 0, 10, [], {sc.ERROR_TYPE: error}, failed=True)
        for number, error in enumerate(["A", "B", "A"])
    ]
    assert found([good_chain(), *failed]) == ["3 chains failed (A 2, B 1) and are in no figure"]


def test_one_failed_chain_is_singular():
    one = chain("f", 0, 10, [], {sc.ERROR_TYPE: "A"}, failed=True)
    assert found([good_chain(), one]) == ["1 chain failed (A 1) and is in no figure"]


def test_calls_that_failed_inside_good_chains_are_counted():
    assert found([good_chain(call(), call("d", failed=True))]) == ["1 call failed inside chains that ended well"]


def test_calls_that_did_not_stream_are_counted():
    sentences = found([good_chain(call(), call("d", **{sc.REQUEST_STREAM: False}))])
    assert len(sentences) == 1
    assert sentences[0].startswith("1 of 2 calls did not stream")
    assert "--stream" in sentences[0]


def test_calls_without_engine_timing_are_counted():
    assert found([good_chain(call(), call("d", **{sc.ENGINE_SOURCE: None}))]) == [
        "engine timing is known for 1 of 2 calls: the waiting in the others is unaccounted"
    ]


def untimed():
    """A streamed call of 10 ms: sent after 1, first token 3 after that, the last one 5 later."""
    attributes = {sc.ENGINE_SOURCE: None, sc.SENT_NS: MS, sc.CHUNK_TIMES_US: (3000, 8000), sc.RESPONSE_TTFC: 0.003}
    return call(**attributes)


@pytest.mark.parametrize(
    ("server", "what_to_do"),
    [
        ("vllm", "; start vLLM, 0.25 or newer, with --enable-per-request-metrics, or take its own spans"),
        ("tgi", "; take its own spans (--engine-spans on)"),
        ("ollama", ""),
    ],
)
def test_without_any_engine_timing_it_is_said_what_to_do(server, what_to_do):
    run = manifest(engine={"name": server, "server": server})
    sentence = found([good_chain(call(**{sc.ENGINE_SOURCE: None}))], run)[0]
    start = f"engine timing is known for 0 of 1 call: the waiting in them is unaccounted{what_to_do}"
    assert sentence.startswith(start)
    assert what_to_do or sentence == start


def test_the_unaccounted_time_of_streams_is_split_at_first_and_last_tokens():
    (sentence,) = found([chain("aa", 0, 10, [untimed()], {})])
    assert "unaccounted (of 9.00 ms per chain 3.00 ms until first tokens, 5.00 ms from first to last ones)" in sentence


def test_calls_of_failed_and_warm_up_chains_make_no_caveat():
    bad = call("d", failed=True), call("e", **{sc.ENGINE_SOURCE: None, sc.REQUEST_STREAM: False})
    assert found([good_chain(), chain("w", 0, 10, list(bad), {sc.WARMUP: True})]) == []


def test_unused_scripted_calls_are_counted():
    assert found([good_chain(**{sc.UNUSED_SCRIPT_CALLS: 2})]) == [
        "chains ended with 2 scripted calls unused: the agent has changed since the script was made"
    ]


def test_five_remarks_on_the_file_are_shown_and_the_others_counted():
    notes = [f"note {number}" for number in range(7)]
    assert found(notes=notes[:5]) == notes[:5]
    assert found(notes=notes) == [*notes[:5], "2 more such remarks on the trace file"]


def test_remarks_have_no_escape_sequences():
    run = manifest(status="failed", error="\x1b[31mdied")
    assert found(run=run, notes=["\x1b]0;x\x07"]) == ["the run broke off:  [31mdied", " ]0;x "]


def test_what_concerns_the_whole_run_comes_first():
    run = manifest(status="interrupted", calls_outside_chains=1)
    sentences = found(small_run(), run, ["a note"])
    assert [sentence.split(":")[0] for sentence in sentences[:1]] == ["the run was interrupted"]
    assert sentences[-1] == "a note"
    assert len(sentences) == 7


@pytest.mark.parametrize(("ttft_us", "told"), [(110_000, False), (112_000, True)])
def test_a_first_chunk_long_after_what_the_engine_explains_is_told(ttft_us, told):
    late = call(
        **{
            sc.CHUNK_TIMES_US: (ttft_us,),
            sc.ENGINE_QUEUE_NS: 1_000_000,
            sc.ENGINE_PREFILL_NS: 10_000_000,
            sc.ENGINE_DECODE_NS: 0,
        }
    )
    assert (
        any("1 of 1 call the first chunk came over 100 ms later" in each for each in found([good_chain(late)])) == told
    )


def test_times_taken_on_a_late_loop_are_said_to_be_inexact():
    reason = "the event loop was late by 30 ms at p99 (limit 10 ms)"
    assert found(run=manifest(suspect=[reason])) == [f"the times may be inexact: {reason}"]


def test_scripted_lengths_that_the_engine_did_not_keep_are_told_with_both_numbers():
    def scripted(name, actual, wanted=20, **changes):
        more = {sc.CALL_SCRIPTED: True, sc.REQUEST_MAX_TOKENS: wanted, sc.OUTPUT_TOKENS: actual, **changes}
        return call(name, **more)

    kept, short = scripted("a", 20), scripted("b", 7)
    free, left = (
        call("c", **{sc.REQUEST_MAX_TOKENS: 9, sc.OUTPUT_TOKENS: 8}),
        scripted("d", 3, **{sc.CALL_TRUNCATED: True}),
    )
    assert (
        "the engine did not keep to the script's lengths in 1 of 2 scripted calls: 27 tokens instead of 40 (TGI and "
        "Ollama cannot be forced): runs are not comparable token by token"
    ) in found([good_chain(kept, short, free, left)])
    assert found([good_chain(kept)]) == []


@pytest.mark.parametrize(
    ("counts", "sentences"),
    [
        ({}, []),
        ({"requests": 10}, ["2 of 10 requests in the engine's log are in no finished chain"]),
        ({"lost": 1}, ["1 call that ended well cannot be found in the engine's log"]),
        ({"lost": 3}, ["3 calls that ended well cannot be found in the engine's log"]),
        ({"unseen_failures": 2}, ["2 calls that the engine spoilt or refused ended well in the trace"]),
        ({"unreached": 4}, []),
    ],
)
def test_what_the_engines_log_and_the_trace_disagree_on_is_told(counts, sentences):
    joined = Reconciled(**{"requests": 8, "recorded": 8, "unseen_failures": 0, "unreached": 0, "lost": 0, **counts})
    found = caveats(summary_of([good_chain()]), manifest(), [], joined)
    assert [each for each in found if "engine's log" in each or "the engine spoilt" in each] == sentences
