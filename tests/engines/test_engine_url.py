from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.engines.url import is_loopback, normalise, unversioned
from profiler.errors import UsageError


@pytest.mark.parametrize(
    ("given_url", "stored"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1/models", "http://127.0.0.1:8000/v1"),
        ("https://host.example/openai/v1", "https://host.example/openai/v1"),
        ("https://host.example/prefix", "https://host.example/prefix/v1"),
        ("https://host.example/v1beta", "https://host.example/v1beta"),
        ("HTTP://Host.Example:80/v1", "http://host.example:80/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        ("  http://127.0.0.1:8000  ", "http://127.0.0.1:8000/v1"),
    ],
)
def test_every_way_of_writing_a_base_url_is_stored_in_one_way(given_url, stored):
    assert normalise(given_url) == stored


@given(st.sampled_from(["http", "https"]), st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), st.integers(1, 65535))
def test_normalising_twice_changes_nothing(scheme, host, port):
    once = normalise(f"{scheme}://{host}:{port}")
    assert normalise(once) == once


@pytest.mark.parametrize(
    "url",
    ["", "ftp://host/v1", "file:///etc/passwd", "http://", "http:///v1", "http://host:99999", "http://host:x/v1",
     "http://host:0", "http://host/v1?key=1", "http://host/v1#x", "http://ho st/v1", "http://[::1/v1"],
)  # fmt: skip
def test_what_is_no_base_url_is_a_usage_error(url):
    with pytest.raises(UsageError):
        normalise(url)


def test_a_missing_scheme_is_guessed_in_the_remedy():
    with pytest.raises(UsageError) as caught:
        normalise("localhost:8000/v1")
    assert "http://localhost:8000/v1" in caught.value.remedy


def test_credentials_in_a_url_are_refused_and_never_repeated():
    with pytest.raises(UsageError) as caught:
        normalise("http://me:s3cret@host/v1")
    assert "s3cret" not in caught.value.message
    assert "--api-key-env" in caught.value.remedy


def test_the_root_is_the_base_url_without_its_version():
    assert unversioned("http://h:1/v1") == "http://h:1"
    assert unversioned("http://h/api/v3") == "http://h/api"


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("http://localhost/v1", True),
        ("http://127.8.0.1:1/v1", True),
        ("http://[::1]/v1", True),
        ("http://127.0.0.1.example/v1", False),
    ],
)
def test_only_this_machine_is_loopback(url, answer):
    assert is_loopback(url) is answer
