"""How long an output is, and who decides it."""

from __future__ import annotations

from collections.abc import Callable

from profiler.conformance.outcome import Seen, lacking, supported, unclear
from profiler.conformance.session import QUESTION, Session, count, finish_of, usage_of
from profiler.conformance.wire import Json
from profiler.record.servers import VLLM, server_of

_LIMIT = 5
_BEYOND = 20
_OFF = (
    "Replayed trajectories only come near the scripted lengths: the model may stop earlier, and the report says by how "
    "much."
)


def max_tokens(session: Session) -> Seen:
    """The output ends at the limit, and says so."""
    heard = session.chat(tokens=_LIMIT)
    if not heard.ok:
        return lacking(heard.says, "The output's length cannot be bounded.")
    tokens = count(usage_of(heard), "completion_tokens")
    if tokens is None:
        return unclear("not known without usage")
    if tokens > _LIMIT:
        return lacking(f"{tokens} tokens for a limit of {_LIMIT}", "The output's length cannot be bounded.")
    if tokens == _LIMIT and finish_of(heard) != "length":
        means = "A call that was cut off looks like one that has ended."
        return lacking(f"cut off with finish reason {finish_of(heard)}", means)
    return supported(f"{tokens} tokens for a limit of {_LIMIT}, finish reason {finish_of(heard)}")


def exact_length(session: Session) -> Seen:
    """An exact length can be forced, by the fields that a replayed run sends to this kind of server."""
    return _forced(session, server_of(session.server).force or VLLM.force or _no_end)


def ignore_eos(session: Session) -> Seen:
    """`ignore_eos` with a limit is enough for an exact length."""
    return _forced(session, _no_end)


def _no_end(_tokens: int) -> Json:
    return {"ignore_eos": True}


def _forced(session: Session, force: Callable[[int], Json]) -> Seen:
    """More than the answer has by itself: a shorter length would come of any limit."""
    text, own = session.ending or (QUESTION, 0)
    wanted = own + _BEYOND
    fields = force(wanted)
    heard = session.chat(tokens=wanted, text=text, **fields)
    if not heard.ok:
        return lacking(heard.says, _OFF)
    if not own:
        return unclear("the model does not stop by itself, so that nothing shows whether it was forced")
    tokens = count(usage_of(heard), "completion_tokens")
    if tokens is None:
        return unclear("not known without usage")
    if tokens != wanted:
        return lacking(f"{tokens} tokens instead of {wanted}", _OFF)
    return supported(f"{tokens} tokens by {', '.join(fields)}, where it stops after {own} by itself")
