"""Findings about the prefix cache and broken prefixes."""

from __future__ import annotations

import pytest
from made import MS, call, gap, kinds, only, tables

from profiler.analysis.explain import explain
from profiler.analysis.facts import Facts

PRICE_MS = 0.5  # per prompt token
TURNS = 4


def chain(*, hit=0.0, number=0, **columns):
    """Prompts of 320, 480, 640, 800 tokens, of which `hit` of the previous one is found in the cache."""
    parts = []
    for turn in range(TURNS):
        prompt, before = 320 + 160 * turn, 320 + 160 * (turn - 1) if turn else 0
        cached = int(hit * before) // 16 * 16
        prefill = 5 + PRICE_MS * (prompt - cached)
        parts.append(
            call(
                prefill=prefill,
                decode=90,
                input_tokens=prompt,
                cached_tokens=cached,
                output_tokens=10,
                **{name: values[turn] for name, values in columns.items()},
            )
        )
        parts.append(gap(1 + number % 3))
    return parts


def test_a_cache_that_is_off_is_the_first_finding_and_its_gain_is_what_chains_with_it_take_less():
    off = explain(tables(*[chain(number=number) for number in range(8)]))
    on = explain(tables(*[chain(hit=1.0, number=number) for number in range(8)]))
    found = off.findings[0]
    assert (found.kind, found.phase, found.where) == ("prefix-cache", "prefill", "")
    saved = (off.summary.total_ns - on.summary.total_ns) / 8
    assert found.gain_ns == pytest.approx(saved, rel=1e-6)
    assert saved == (320 + 480 + 640) * PRICE_MS * MS
    assert "off or never hit" in found.title


def test_a_cache_that_finds_everything_is_no_finding():
    assert "prefix-cache" not in kinds(explain(tables(*[chain(hit=1.0)] * 8)).findings)


def test_a_cache_that_finds_half_is_said_to_find_half():
    found = only(explain(tables(*[chain(hit=0.5)] * 8)).findings, "prefix-cache")
    assert "finds 50% of what it could" in found.title


def test_without_cached_tokens_nothing_is_claimed_about_the_cache():
    parts = [chain() for _ in range(8)]
    for each in parts:
        for part in each:
            part.columns.pop("cached_tokens", None)
    explanation = explain(tables(*parts))
    assert explanation.context is not None
    assert (explanation.context.cached_known, explanation.context.saved_ns) == (False, None)
    assert "prefix-cache" not in kinds(explanation.findings)


def test_the_evidence_names_the_calls_that_read_most_again():
    found = only(explain(tables(*[chain()] * 8)).findings, "prefix-cache")
    assert len(found.evidence) == 5
    assert len({each.trace_id for each in found.evidence}) == 5
    assert found.evidence[0].span_id == "c0003"


def broken():
    """From the third call on the history is rewritten after its first message."""
    kept = {"kept_messages": [None, 2, 1, 6], "previous_messages": [None, 2, 4, 6], "messages": [2, 4, 6, 8]}
    parts = chain(hit=1.0, **kept, tools_changed=[None, False, False, False], broken_at_chars=[None, None, 120, None])
    third = parts[4]
    third.columns["cached_tokens"] = 32
    third.phases["prefill"] = 5 + PRICE_MS * (640 - 32)
    return parts


def test_a_rewritten_history_is_named_where_it_happens_with_what_it_costs():
    explanation = explain(tables(*[broken()] * 8))
    found = only(explanation.findings, "prefix-break")
    assert found.where == "step 3 (model)"
    assert found.gain_ns == pytest.approx((480 - 32) * PRICE_MS * MS, rel=0.01)
    assert found.evidence[0].note == "448 tokens read again"
    assert "prefix-cache" not in kinds(explanation.findings)
    (place,) = explanation.context.breaks
    assert (place.position, place.kept_messages, place.previous_messages, place.at_chars) == (3, 1, 4, 120)
    assert place.chains == 8


def test_another_conversation_is_no_break():
    """An agent that asks one thing after another, each in a prompt of its own."""
    one = {
        "kept_messages": [None, 0, 0, 0],
        "previous_messages": [None, 1, 1, 1],
        "tools_changed": [None, *[False] * 3],
    }
    explanation = explain(tables(*[chain(**one)] * 8))
    assert explanation.context.breaks == ()
    assert kinds(explanation.findings)[:1] != ["prefix-cache"]


def test_an_opening_that_other_chains_had_is_cacheable_in_the_first_call_too():
    """Of 320 tokens the first message has 200: 640 characters of 1,024."""
    sizes = {"opening_digest": [7] * TURNS, "opening_chars": [640] * TURNS}
    sizes["prompt_chars"] = [1024, 1536, 2048, 2560]
    chains = [{"parts": chain(**sizes), "start_ns": number * 10_000 * MS} for number in range(8)]
    found = only(explain(tables(*chains)).findings, "prefix-cache")
    later = (320 + 480 + 640) * PRICE_MS
    assert found.gain_ns == pytest.approx((later + 7 / 8 * 192 * PRICE_MS) * MS, rel=0.01)


def test_the_block_is_the_engines_or_seen_or_assumed():
    assert explain(tables(*[chain()] * 8)).context.block_source == "assumed"
    seen = explain(tables(*[chain(hit=1.0)] * 8)).context
    assert (seen.block_tokens, seen.block_source) == (32, "inferred")
    told = explain(tables(*[chain()] * 8), facts=Facts(block_tokens=128)).context
    assert (told.block_tokens, told.block_source) == (128, "engine")
    assert told.cacheable_tokens == 256 + 384 + 640
