"""What an engine's command line says of its prefix cache."""

from __future__ import annotations

import pytest
from made import call, gap, only, tables

from profiler.analysis.explain import explain
from profiler.analysis.facts import Facts, facts_of

VLLM = ["python", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], Facts()),
        (["--block-size", "32"], Facts(block_tokens=32)),
        (["--block-size=128", "--enable-prefix-caching"], Facts(block_tokens=128, prefix_caching=True)),
        (["--enable-prefix-caching", "--no-enable-prefix-caching"], Facts(prefix_caching=False)),
        (["--block-size"], Facts()),
        (["--block-size", "auto"], Facts()),
        (["--block-size", "0"], Facts()),
    ],
)
def test_flags_of_vllm_are_read(flags, told):
    assert facts_of({"command": [*VLLM, *flags]}) == told


@pytest.mark.parametrize("engine", [{}, {"command": None}, {"command": []}, {"name": "tgi", "command": [1, None]}])
def test_an_engine_that_was_not_started_by_us_tells_nothing(engine):
    assert facts_of(engine) == Facts()


def chains(**columns):
    return [
        [
            part
            for turn in range(4)
            for part in (
                call(prefill=5 + 0.5 * (320 + 160 * turn), decode=90, input_tokens=320 + 160 * turn, **columns),
                gap(1 + number % 3),
            )
        ]
        for number in range(8)
    ]


def test_a_cache_that_is_off_is_known_to_find_nothing_though_the_engine_does_not_say_so():
    silent = tables(*chains(output_tokens=10))
    assert not explain(silent).context.cached_known
    found = only(explain(silent, facts=Facts(prefix_caching=False)).findings, "prefix-cache")
    assert found.title.startswith("The prefix cache is off:")


def test_a_cache_that_is_on_and_finds_nothing_is_not_to_be_turned_on():
    cold = tables(*chains(output_tokens=10, cached_tokens=0))
    found = only(explain(cold, facts=Facts(prefix_caching=True)).findings, "prefix-cache")
    assert found.title.startswith("The prefix cache is never hit:")
    assert "turning it on" not in found.title
    assert "--no-enable-prefix-caching" not in found.remedy
