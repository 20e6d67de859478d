"""The last line of an agent's own files that an exception passed."""

from __future__ import annotations

import json

import pytest

from profiler.record.blame import place_of


def raised(folder, name, code):
    """The exception that the code of a file raises."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - whichever
        exec(compile(code, str(path), "exec"), {"json": json})
    return caught.value


def test_it_is_the_agents_own_line_and_not_that_of_a_library_below_it(tmp_path):
    error = raised(tmp_path, "agent.py", "x = 1\njson.loads('{')\n")
    assert place_of(error, tmp_path) == "agent.py:2"


def test_a_module_beside_the_agent_counts_and_an_installed_one_does_not(tmp_path):
    code = "raise ValueError\n"
    assert place_of(raised(tmp_path, "tools/search.py", code), tmp_path) == "tools/search.py:1"
    assert place_of(raised(tmp_path, ".venv/lib/site-packages/x.py", code), tmp_path) is None


def test_what_was_never_raised_has_no_place(tmp_path):
    assert place_of(ValueError(), tmp_path) is None
