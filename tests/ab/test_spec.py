"""A side as it is written on the command line."""

import pytest

from profiler.ab.spec import Spec, parse_spec
from profiler.errors import UsageError


def test_options_are_kept_and_ours_taken_out():
    spec = parse_spec("--a", "--backend vllm --rev HEAD~1 --engine-arg='--max-num-seqs 8' --agent=agents/new.py")
    assert spec == Spec(
        ("--backend", "vllm", "--engine-arg=--max-num-seqs 8"), agent="agents/new.py", revision="HEAD~1"
    )


def test_nothing_is_the_command_as_it_is():
    assert parse_spec("--b", "") == Spec(())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--task 'open", "is no list of options"),
        ("--out there", "--out cannot be given"),
        ("--repeat=3", "--repeat cannot be given"),
        ("--concurrency 4", "--concurrency cannot be given"),
        ("--rev", "--rev in --a needs a value"),
        ("--agent=", "--agent in --a needs a value"),
    ],
)
def test_what_cannot_be_said_of_one_side_is_refused(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_spec("--a", text)
    assert caught.value.remedy
