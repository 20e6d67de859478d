"""What each kind of server is sent: no field that it refuses, none that it would ignore unseen."""

from __future__ import annotations

import json

import pytest

from profiler.record.openai import OpenAiChat
from profiler.record.replay import Terms
from profiler.record.servers import server_of
from profiler.script import ScriptedCall

ASKED = {
    "model": "org/m",
    "messages": [{"role": "user", "content": "hi"}],
    "top_p": 1.0,
    "stream": False,
    "stream_options": None,
    "max_completion_tokens": 256,
    "tools": [{"type": "function"}],
}
SCRIPTED = ScriptedCall(content="words", output_tokens=9)


def adapted(server, body=ASKED, scripted=None, **terms):
    given = json.dumps(body)
    found = OpenAiChat().adapt(body, scripted, Terms(server_of(server), "org/m", "salt", 7, **terms))
    assert json.dumps(body) == given, "the agent's request is not changed"
    differ = {name for name in {*body, *found.body} if body.get(name, "-") != found.body.get(name, "-")}
    assert differ <= {*found.changed}, "each field that differs is named"
    return found


def test_tgi_is_sent_nothing_that_it_refuses_and_each_change_is_named():
    found = adapted("tgi")
    assert found.changed == ("max_completion_tokens", "max_tokens", "model", "seed", "stream_options", "top_p")
    assert found.body == {
        "model": "tgi",
        "messages": ASKED["messages"],
        "stream": False,
        "max_tokens": 256,
        "tools": ASKED["tools"],
        "seed": 7,
    }


def test_a_top_p_below_one_and_another_models_name_reach_tgi_as_they_are():
    found = adapted("tgi", {**ASKED, "top_p": 0.9, "model": "my-adapter"})
    assert (found.body["top_p"], found.body["model"]) == (0.9, "my-adapter")


@pytest.mark.parametrize(
    ("body", "scripted", "hidden"),
    [
        (ASKED, None, True),
        ({**ASKED, "tool_choice": "auto"}, None, True),
        ({**ASKED, "tool_choice": "required"}, None, False),
        ({**ASKED, "tools": None}, None, False),
        (ASKED, SCRIPTED, False),
    ],
)
def test_tgi_may_throw_a_first_answer_away_where_the_choice_of_tools_is_its_own(body, scripted, hidden):
    assert adapted("tgi", body, scripted).may_hide is hidden
    assert adapted("vllm", body, scripted).may_hide is False


@pytest.mark.parametrize(
    ("server", "forced"),
    [
        ("vllm", {"max_tokens": 9, "min_tokens": 9, "ignore_eos": True, "tool_choice": "none", "cache_salt": "salt"}),
        ("sglang", {"max_tokens": 9, "min_tokens": 9, "ignore_eos": True, "tool_choice": "none", "cache_salt": "salt"}),
        ("llama.cpp", {"max_tokens": 9, "ignore_eos": True, "tool_choice": "none"}),
        ("tgi", {"max_tokens": 9, "tool_choice": "none"}),
        ("ollama", {"max_tokens": 9}),
        ("lmstudio", {"max_tokens": 9, "tool_choice": "none"}),
        ("openai", {"max_completion_tokens": 9, "tool_choice": "none"}),
        ("somebody's own", {"max_completion_tokens": 9, "tool_choice": "none"}),
    ],
)
def test_a_scripts_length_is_forced_where_that_can_be_and_else_a_limit(server, forced):
    sent = adapted(server, scripted=SCRIPTED).body
    names = ("max_tokens", "max_completion_tokens", "min_tokens", "ignore_eos", "tool_choice", "cache_salt")
    assert {name: sent[name] for name in names if name in sent} == forced


def test_transformers_is_told_a_length_by_a_configuration_of_its_own():
    sent = adapted("transformers", scripted=SCRIPTED).body
    assert json.loads(sent["generation_config"]) == {"min_new_tokens": 9, "max_new_tokens": 9}


def test_a_server_of_which_nothing_is_known_gets_the_limit_under_the_name_that_the_agent_used():
    plain = {name: value for name, value in ASKED.items() if name != "max_completion_tokens"}
    assert adapted("openai", {**plain, "max_tokens": 5}, SCRIPTED).body["max_tokens"] == 9
    assert "max_completion_tokens" not in adapted("openai", {**plain, "max_tokens": 5}, SCRIPTED).body


def test_a_free_run_on_vllm_keeps_both_names_of_the_limit():
    assert adapted("vllm").body["max_completion_tokens"] == 256
    assert "max_tokens" not in adapted("vllm").body
