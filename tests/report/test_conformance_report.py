"""The table of `profiler engine conformance`."""

import json

from profiler.report.conformance import Examined, Line, render_conformance, render_json


def line(check="chat", state="yes", found="answered", means="", needed=False):
    return Line(check, f"title of {check}", state, found, means, needed)


def examined(*lines, usable=True, context=4096):
    return Examined("http://h:1/v1", "Server 1.0", "openai", "m", context, usable, lines)


def test_each_check_has_a_row_and_what_is_missing_a_sentence():
    text = render_conformance(
        examined(
            line(), line("usage", "deviates", "none", "Tokens are unknown."), line("timing", "no", "none", "It is one.")
        )
    )
    assert "http://h:1/v1: Server 1.0, model m, context 4,096 tokens" in text
    assert [row.split() for row in text.splitlines() if row.startswith("title of usage")] == [
        ["title", "of", "usage", "DEVIATES", "none"]
    ]
    deviations, lacking = text.index("Deviations from its protocol"), text.index("What it does not do")
    assert deviations < text.index("title of usage: none. Tokens are unknown.") < lacking
    assert lacking < text.index("title of timing: none. It is one.")
    assert text.endswith("Usable, with 1 deviation from its protocol.\n")


def test_without_any_it_says_so():
    assert render_conformance(examined(line())).endswith("no deviation from its protocol was found.\n")


def test_what_is_needed_and_missing_decides():
    missing = line("stream usage", "deviates", "no usage", "Unknown.", needed=True)
    text = render_conformance(examined(line(), missing, usable=False))
    assert "Unknown. Needed." in text
    assert text.endswith("Not usable: the profiler needs that title of stream usage.\n")


def test_what_a_server_says_is_shown_as_it_is():
    text = render_conformance(examined(line(found="[bold]x[/bold] [link=http://y]z[/link]")))
    assert "[bold]x[/bold] [link=http://y]z[/link]" in text


def test_no_line_is_wider_than_told():
    long = line("a", "no", "word " * 60, "More " * 80)
    assert max(map(len, render_conformance(examined(long), width=100).splitlines())) <= 100


def test_json_has_all_of_it():
    document = json.loads(render_json(examined(line("usage", "no", "none", "Unknown.", needed=True), usable=False)))
    assert (document["format"], document["version"], document["usable"]) == ("profiler-conformance", 1, False)
    assert document["checks"] == [
        {
            "check": "usage",
            "title": "title of usage",
            "state": "no",
            "found": "none",
            "means": "Unknown.",
            "needed": True,
        }
    ]
