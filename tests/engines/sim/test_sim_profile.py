"""Profiles: those that come with the program hold, and what is wrong in a file is named."""

from pathlib import Path

import pytest

from profiler.engines.sim import profile as profile_module
from profiler.engines.sim.profile import DEFAULT_PROFILE, Profile, load_profile, profile_names
from profiler.engines.sim.scheduler import Scheduler, Work
from profiler.errors import UsageError

SMALL = """\
title = "small"
source = "made up"
dialect = "vllm"
max_model_tokens = 64
max_running = 4
max_step_tokens = 16
chunked_prefill = true
prefix_caching = true
block_tokens = 4
blocks = 16
step_us = 10
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(path):
    with pytest.raises(UsageError) as refused:
        load_profile(path)
    return refused.value


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_that_comes_with_the_program_says_what_it_is_and_where_its_numbers_come_from(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.title
    assert profile.source.endswith(".")
    assert "\n" not in profile.source


def test_the_profiles_are_those_that_the_documentation_names():
    assert profile_names() == ["cpu-tiny", "fast", "gpu-8b-tgi", "gpu-8b-vllm", "paced"]
    assert DEFAULT_PROFILE in profile_names()


def test_the_default_explains_every_field():
    text = (Path(profile_module.__file__).parent / "profiles" / "cpu-tiny.toml").read_text(encoding="utf-8")
    unexplained = [field for field in Profile.model_fields if f"\n{field} =" not in f"\n{text}"]
    assert unexplained == ["name", "mode", "max_concurrent"]  # it has no use for these


def test_paced_gives_the_first_token_after_100_ms_and_then_one_every_10():
    steady = load_profile("paced").model_copy(update={"step_cv": 0.0})
    scheduler = Scheduler(steady, 0)
    for n in range(3):
        scheduler.add(Work(str(n), tuple(range(1 + 500 * n)), 3, n), n * 1_000_000)
    tokens = scheduler.advance(10**9)
    for n in range(3):
        at_ms = [token.at_ns / 1e6 - n for token in tokens if token.id == str(n)]
        assert at_ms == [100, 110, 120]


def test_a_first_run_with_the_default_takes_seconds():
    # 39 chains one after the other, four calls of 30 tokens each, 300 prompt tokens of each computed
    scheduler = Scheduler(load_profile(DEFAULT_PROFILE), 0)
    now_ns = 0
    for call in range(39 * 4):
        scheduler.add(Work("call", tuple(range(call * 1000, call * 1000 + 300)), 30, call), now_ns)
        now_ns = scheduler.advance(now_ns + 10**10)[-1].at_ns
    assert 3e9 < now_ns < 9e9


def test_a_file_of_ones_own_is_a_profile(write):
    profile = load_profile(write(SMALL))
    assert (profile.name, profile.step_us, profile.step_cv) == ("mine", 10, 0)
    assert load_profile(str(write(SMALL))) == profile


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "stepcv = 0.1\n", "stepcv: there is no such field (did you mean step_cv?)"),
        (SMALL + 'name = "other"\n', "name: it is the file's own name"),
        (SMALL.replace("step_us = 10\n", ""), "step_us: it is missing"),
        (SMALL.replace("step_us = 10", "step_us = 0"), "step_us: Input should be greater than or equal to 1"),
        (SMALL.replace("step_us = 10", "step_us = nan"), "step_us: "),
        (SMALL.replace("step_us = 10", "step_us = inf"), "step_us: "),
        (SMALL.replace("step_us = 10", 'step_us = "10"'), "step_us: Input should be a valid number"),
        (SMALL.replace("blocks = 16", "blocks = 16.5"), "blocks: Input should be a valid integer"),
        (SMALL.replace("blocks = 16", "blocks = true"), "blocks: Input should be a valid integer"),
        (SMALL.replace("blocks = 16", "blocks = 15"), "a request could never fit"),
        (SMALL.replace("max_step_tokens = 16", "max_step_tokens = 3"), "max_step_tokens is below max_running"),
        (SMALL.replace('"vllm"', '"sglang"'), "dialect: Input should be 'vllm', 'tgi', "),
        (SMALL + "tail_probability = 1.5\n", "tail_probability: Input should be less than or equal to 1"),
        (SMALL + "step_us = 11\n", "is not TOML"),
        ("{", "is not TOML"),
        ("", "title: it is missing"),
    ],
)
def test_a_refusal_names_the_file_and_the_field(write, text, said):
    path = write(text)
    error = refusal(path)
    assert str(path) in error.message
    assert said in error.message


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refusal(path).message


def test_a_file_that_is_not_there_is_refused(tmp_path):
    error = refusal(str(tmp_path / "none.toml"))
    assert "No such file" in error.message
    assert "cpu-tiny" in error.remedy


@pytest.mark.parametrize(("name", "hint"), [("cpu-tny", "did you mean cpu-tiny?"), ("", "ends in .toml")])
def test_an_unknown_name_is_answered_with_those_there_are(name, hint):
    error = refusal(name)
    assert repr(name) in error.message
    assert "gpu-8b-vllm" in error.remedy
    assert hint in error.remedy
