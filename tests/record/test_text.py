"""Text from outside is kept without credentials, and bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.record.text import MAX_MESSAGE, clean_message

SECRET = "q7Zk2Lm9Xw4Rt8Yb"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "authorization: bearer {}",
        "{{'Authorization': 'Bearer {}'}}",
        '{{"authorization":"Bearer {}"}}',
        '{{\\"Authorization\\": \\"Bearer {}\\"}}',
        "Authorization: Basic {}",
        "Authorization: {}",
        "Bearer {}",
        "bearer  {}, next",
        "api_key={}",
        "api-key: {}",
        "X-API-Key: {}",
        "apikey '{}'",
        "API key {}",
        '{{"api_key": "{}"}}',
        '{{\\"api_key\\": \\"{}\\"}}',
        "OPENAI_API_KEY={}",
        "http://host/v1?api_key={}&x=1",
        "the key sk-{} is wrong",
        "(sk-proj-{})",
        "http://user:{}@host/v1",
        "https://user:{}@host:8000/v1 refused",
    ],
)
def test_a_credential_is_taken_out(text):
    cleaned = clean_message(text.format(SECRET))
    assert SECRET not in cleaned
    assert "[redacted]" in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "connection refused: http://127.0.0.1:8000/v1",
        "maximum context length is 4096 tokens",
        "task-123 asked for risk-assessment",
        "see http://host/path?query=a@b",
        "caf\u00e9 \U0001f41b [bold]",
    ],
)
def test_text_without_a_credential_is_kept_as_it_is(text):
    assert clean_message(text) == text


def test_what_stands_around_a_credential_is_kept():
    assert clean_message("401 for http://me:pw@host: Bearer abc, try again") == (
        "401 for http://[redacted]@host: Bearer [redacted], try again"
    )


def test_long_text_is_cut_and_says_so():
    assert clean_message("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE
    assert clean_message("x" * (MAX_MESSAGE + 1)) == "x" * (MAX_MESSAGE - 1) + "…"


def test_a_credential_is_taken_out_before_the_text_is_cut():
    text = "x" * (MAX_MESSAGE - 20) + " Bearer " + SECRET * 3
    assert SECRET[:4] not in clean_message(text)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_one_that_can_be_kept(text):
    cleaned = clean_message(text)
    assert len(cleaned) <= MAX_MESSAGE
    cleaned.encode()
