"""Prompts are comparable message by message, and their content is nowhere."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import serve
from recording import recorded

from profiler import semconv as sc
from profiler.record.digests import Digests, new_key
from profiler.record.openai import OpenAiChat, OpenAiCompletion

KEY = b"0123456789abcdef"
USER = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "good day"}
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}


CHAT, TEXT = OpenAiChat(), OpenAiCompletion()


def of(body, api=CHAT, key=KEY):
    return Digests(key).of(*api.prompt(body))


def test_a_prompt_that_grows_at_its_end_keeps_the_digests_before():
    digests = Digests(KEY)
    first = digests.of([USER])
    second = digests.of([USER, ANSWER, USER])
    assert second[sc.MESSAGE_DIGESTS][:1] == first[sc.MESSAGE_DIGESTS]
    one, two, three = second[sc.MESSAGE_DIGESTS]
    assert one == three != two


def test_a_digest_fits_into_a_signed_integer_of_64_bits():
    for number in range(200):
        (digest,) = of({"messages": [{"content": number}]})[sc.MESSAGE_DIGESTS]
        assert 0 <= digest < 2**63


def test_sizes_are_in_characters_of_the_message_as_json():
    assert of({"messages": [{"content": "é"}]})[sc.MESSAGE_CHARS] == (len('{"content":"é"}'),)


def test_the_order_of_members_does_not_matter_in_messages_and_does_in_tools():
    turned = dict(reversed(USER.items()))
    assert of({"messages": [USER]}) == of({"messages": [turned]})
    one, other = ({"messages": [], "tools": [tool]} for tool in (TOOL, dict(reversed(TOOL.items()))))
    assert of(one)[sc.TOOLS_DIGEST] != of(other)[sc.TOOLS_DIGEST]


def test_without_tools_there_is_no_digest_of_them():
    assert sc.TOOLS_DIGEST not in of({"messages": [USER]})
    assert sc.TOOLS_DIGEST not in of({"messages": [USER], "tools": []})


def test_a_text_completion_has_one_message():
    assert len(of({"prompt": "once"}, TEXT)[sc.MESSAGE_DIGESTS]) == 1
    assert len(of({"prompt": ["a", "b"]}, TEXT)[sc.MESSAGE_DIGESTS]) == 1


def test_a_request_without_a_prompt_has_none():
    assert of({}) == of({"messages": "hello"}) == of({}, TEXT) == {}


def test_a_message_of_absurd_depth_costs_the_digests_and_not_the_chain():
    deep = []
    for _ in range(900):
        deep = [deep]
    assert of({"messages": [{"content": deep}]}) == {}


def test_runs_do_not_share_a_key():
    assert new_key() != new_key()
    assert of({"messages": [USER]}) != of({"messages": [USER]}, key=new_key())


@settings(max_examples=50)
@given(st.lists(st.sampled_from([USER, ANSWER, {"role": "tool", "content": "ok"}]), max_size=8))
def test_what_is_remembered_is_what_would_be_computed(messages):
    digests = Digests(KEY)
    for upto in range(len(messages) + 1):
        assert digests.of(messages[:upto]) == of({"messages": messages[:upto]})


def test_calls_carry_digests_of_what_they_sent_and_no_content():
    with serve() as (url, _), recorded() as recording, httpx2.Client() as client:
        for messages in ([USER], [USER, ANSWER]):
            client.post(f"{url}/chat/completions", json={"model": "m", "messages": messages, "tools": [TOOL]})
    first, second = recording.calls()
    assert second.attributes[sc.MESSAGE_DIGESTS][0] == first.attributes[sc.MESSAGE_DIGESTS][0]
    assert len(second.attributes[sc.MESSAGE_DIGESTS]) == len(second.attributes[sc.MESSAGE_CHARS]) == 2
    assert second.attributes[sc.TOOLS_DIGEST] == first.attributes[sc.TOOLS_DIGEST]
    assert not any("hello" in str(value) or "good day" in str(value) for value in second.attributes.values())


def test_a_call_that_failed_has_them_too():
    with recorded() as recording, httpx2.Client(transport=httpx2.MockTransport(lambda _: 1 / 0)) as client:
        with pytest.raises(ZeroDivisionError):
            client.post("http://engine/v1/chat/completions", json={"model": "m", "messages": [USER]})
    assert len(recording.calls()[0].attributes[sc.MESSAGE_DIGESTS]) == 1
