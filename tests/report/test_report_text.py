"""Figures are written for people, and foreign text so that a terminal has nothing to obey."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.report.text import count, duration, percent, plural, safe, size


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "—"),
        (0, "0"),
        (999, "999 ns"),
        (999.4, "999 ns"),
        (999.6, "1.00 µs"),
        (1_000, "1.00 µs"),
        (1_234, "1.23 µs"),
        (12_345, "12.3 µs"),
        (123_456, "123 µs"),
        (999_499, "999 µs"),
        (999_950, "1.00 ms"),
        (1_000_000, "1.00 ms"),
        (9_996_000, "10.0 ms"),
        (99_960_000, "100 ms"),
        (999_999_999, "1.00 s"),
        (1_500_000_000, "1.50 s"),
        (75_000_000_000, "75.0 s"),
        (3_600_000_000_000, "3600 s"),
        (-2_500_000, "-2.50 ms"),
    ],
)
def test_a_duration_has_three_significant_digits_and_a_unit(ns, text):
    assert duration(ns) == text


@settings(max_examples=90, deadline=None)
@given(st.floats(1, 9.99e11))
def test_a_duration_is_right_to_three_digits(ns):
    number, unit = duration(ns).split(" ")
    size = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
    assert len(re.sub(r"\D", "", number)) <= 3
    smallest_digit = 0.5 if unit == "ns" else 0.00502 * max(ns, size)
    assert abs(float(number) * size - ns) <= smallest_digit


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "—"), (0, "0%"), (1, "100%"), (0.5, "50%"), (0.1, "10%"), (0.056, "5.6%"), (0.0004, "0.0%")],
)
def test_a_share_is_a_percentage(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (0, "0"), (7.0, "7"), (2.5, "2.5"), (99.4, "99.4"), (1234.5, "1,234"), (1_000_000, "1,000,000")],
)
def test_a_count_has_a_decimal_only_where_it_needs_one(value, text):
    assert count(value) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 calls"), (1, "1 call"), (2, "2 calls"), (2.5, "2.5 calls"), (None, "— calls")]
)
def test_one_thing_is_singular(number, text):
    assert plural(number, "call") == text


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("plain café 漢字 🐛", "plain café 漢字 🐛"),
        ("\x1b[31mred\x1b[0m", " [31mred [0m"),
        ("\x1b]0;title\x07", " ]0;title "),
        ("\x9b2J", " 2J"),
        ("two\r\nlines\ttab", "two  lines tab"),
        ("right\u202eleft", "right left"),
        ("line\u2028paragraph\u2029end", "line paragraph end"),
        ("half\ud800", "half "),
        ("nul\0", "nul "),
    ],
)
def test_what_a_terminal_would_obey_becomes_a_space(raw, kept):
    assert safe(raw) == kept


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=())), st.integers(1, 80))
def test_safe_text_is_one_line_of_bounded_length_that_can_be_printed(raw, limit):
    kept = safe(raw, limit)
    assert len(kept) <= limit
    assert len(kept.splitlines()) <= 1
    assert not {unicodedata.category(character) for character in kept} & {"Cc", "Cf", "Cs"}
    kept.encode()


def test_text_that_was_cut_says_so():
    assert safe("x" * 201) == "x" * 199 + "…"
    assert safe("x" * 200) == "x" * 200


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (4100, "4.10 kB"), (999_499, "999 kB"), (999_500, "1.00 MB")],
)
def test_sizes_have_three_digits_and_a_unit(number, text):
    assert size(number) == text


def test_what_is_no_character_is_left_out_too():
    assert safe("a\ufffeb\uffffc") == "a b c"
