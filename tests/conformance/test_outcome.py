"""What is missing is a deviation only where the protocol promises it."""

import pytest

from profiler.conformance.outcome import Conformance, judged, lacking, supported, unclear
from profiler.conformance.protocols import PROMISES, PROTOCOLS
from profiler.conformance.suite import CHECKS, NATIVE, NEEDED


@pytest.mark.parametrize(
    ("seen", "promised", "state"),
    [
        (supported("x"), True, "yes"),
        (supported("x"), False, "yes"),
        (lacking("x", "y"), True, "deviates"),
        (lacking("x", "y"), False, "no"),
        (unclear("x"), True, "unknown"),
    ],
)
def test_states(seen, promised, state):
    assert judged("c", "t", seen, promised=promised, needed=False).state == state


@pytest.mark.parametrize(
    ("seen", "promised", "needed", "usable"),
    [
        (lacking("x", "y"), True, False, True),
        (lacking("x", "y"), False, True, False),
        (lacking("x", "y"), True, True, False),
        (unclear("x"), True, True, True),
        (supported("x"), True, True, True),
    ],
)
def test_a_server_is_usable_unless_it_lacks_what_is_needed(seen, promised, needed, usable):
    finding = judged("c", "t", seen, promised=promised, needed=needed)
    result = Conformance("u", "openai", "s", "m", None, [finding])
    assert result.usable is usable
    assert bool(result.deviations) is (finding.state == "deviates")


def test_what_protocols_promise_are_checks():
    names = {"models", *(name for name, *_ in (*CHECKS, *NATIVE))}
    assert set(PROMISES) == set(PROTOCOLS)
    for promised in PROMISES.values():
        assert promised <= names
        assert promised >= NEEDED
