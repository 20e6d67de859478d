"""The agent without a framework: three calls, each prompt built on the one before."""

import functools

import httpx2
import openai
import pytest
from sample_agents import ScriptedEngine, load_agent, load_script, load_tasks

TASKS = load_tasks("plain_openai")
SCRIPT = load_script("plain_openai")


def test_tasks_and_script_agree():
    assert len(TASKS) == 3
    assert set(TASKS) == set(SCRIPT)
    assert all(call["place"] == "" for calls in SCRIPT.values() for call in calls)
    assert all(8 <= call["output_tokens"] <= 220 for calls in SCRIPT.values() for call in calls)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_answer_is_the_third_of_three_calls(monkeypatch, task):
    agent = load_agent("plain_openai")
    engine = ScriptedEngine(SCRIPT[task])
    http = httpx2.Client(transport=httpx2.MockTransport(engine))
    monkeypatch.setattr(agent, "OpenAI", functools.partial(openai.OpenAI, http_client=http))
    answer = agent.answer(TASKS[task]["input"])
    plan, draft, improved = (call["content"] for call in SCRIPT[task])
    assert answer == improved
    prompts = [body["messages"][0]["content"] for body in engine.requests]
    assert len(prompts) == 3
    assert plan in prompts[1]
    assert draft in prompts[2]
    assert all(TASKS[task]["input"] in prompt for prompt in prompts)
    assert all(text in answer for text in TASKS[task]["expect"])
