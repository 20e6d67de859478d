"""All checks of one server, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from profiler.conformance import basics, errors, lengths, native, timing, tools
from profiler.conformance.outcome import YES, Conformance, Finding, Seen, judged, lacking, supported, unclear
from profiler.conformance.protocols import PROMISES, context_of, page, protocol_of
from profiler.conformance.session import Session
from profiler.conformance.wire import Wire
from profiler.engines.probe import parse_models, select_model
from profiler.engines.recognise import TITLES, recognise
from profiler.engines.trouble import explain_status
from profiler.errors import EngineUnavailable

Check = Callable[[Session], Seen]

NEEDED = frozenset({"models", "chat", "stream", "stream usage", "max_tokens"})
"""Without these nothing can be measured, or nothing per token."""
CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("chat", "an unstreamed chat is answered", basics.chat),
    ("stream", "a streamed chat comes as events", basics.stream),
    ("end mark", "a stream ends with [DONE]", basics.end_mark),
    ("spread", "chunks come as they are made", basics.spread),
    ("role chunk", "the first chunk has output", basics.role_chunk),
    ("one token", "a chunk is a token", basics.tokens_per_chunk),
    ("usage", "an unstreamed answer counts tokens", basics.usage),
    ("stream usage", "a stream counts tokens if asked to", basics.stream_usage),
    ("unasked usage", "usage comes only if asked for", basics.unasked_usage),
    ("client defaults", "defaults of OpenAI's clients are taken", basics.client_defaults),
    ("unknown fields", "fields that it does not know are ignored", basics.unknown_fields),
    ("max_tokens", "the output ends at max_tokens", lengths.max_tokens),
    ("exact length", "an exact length can be forced", lengths.exact_length),
    ("ignore_eos", "ignore_eos alone forces a length", lengths.ignore_eos),
    ("tools", "tools are taken", tools.accepted),
    ("tool_choice none", "tool_choice none is heeded", tools.none),
    ("tool_choice required", "tool_choice required is heeded", tools.required),
    ("tool deltas", "arguments stream as they are made", tools.streamed),
    ("timing", "the engine's own timing is told", timing.in_band),
    ("cached tokens", "tokens from the prefix cache are told", timing.cached_tokens),
    ("request id", "X-Request-Id is adopted", timing.request_id),
    ("bad JSON", "what is no JSON is refused", errors.bad_json),
    ("unknown model", "another model's name is refused", errors.unknown_model),
    ("bad value", "a parameter out of range is refused", errors.bad_value),
    ("too long", "too long a prompt is refused", errors.too_long),
    ("stream error", "a refused stream has a status for it", errors.stream_error),
)
NATIVE: tuple[tuple[str, str, Check], ...] = (
    ("native stream", "its own protocol streams", native.stream),
    ("native answer", "its own protocol answers", native.answer),
)
_NO_ENTRY = (401, 403)
_AFTER_A_CHAT = "not tried: no chat is answered"


def examine(
    wire: Wire, *, protocol: str | None = None, model: str | None = None, progress: Callable[[str], None]
) -> Conformance:
    """Ask a server all that there is to ask.

    Args:
        wire: to it.
        protocol: one of `PROTOCOLS`; None finds out.
        model: to ask; None takes the first that it lists.
        progress: takes the title of each check.

    Raises:
        EngineUnavailable: it does not answer, or stopped doing so, or has no models or not that one.
    """
    listed = wire.get(f"{wire.base_url}/models")
    if listed.status in _NO_ENTRY:
        problem = explain_status(listed.status, f"{wire.base_url}/models", None, authorised=wire.authorised)
        assert problem is not None
        raise problem
    served = parse_models(listed.body, f"{wire.base_url}/models", listed.kind) if listed.ok else ()
    owners = {each.owned_by for each in served if each.owned_by}
    lengths = any(each.max_model_len for each in served)
    recognised = recognise(sorted(owners), listed.headers, partial(page, wire), tells_lengths=lengths)
    if not served and model is None and recognised.model is None:
        raise EngineUnavailable(
            f"{wire.base_url}/models names no model: {listed.says}",
            remedy="Name one with --model, or check --base-url.",
        )
    chosen = select_model(model or (None if served else recognised.model), served, wire.base_url, recognised.server)
    findings: list[Finding] = []
    if served:
        seen = supported(f"{len(served)}: {', '.join(each.id for each in served[:3])}")
    else:
        seen = lacking(listed.says, "The profiler looks for the model there: name it with --model.")
    kind = protocol or protocol_of(recognised.server)
    findings.append(judged("models", "it lists its models", seen, promised=True, needed=model is None))
    context = context_of(wire, recognised, chosen)
    session = Session(wire, kind, chosen.id, context, recognised.server)
    checks = CHECKS + (NATIVE if kind in ("tgi", "ollama") else ())
    for name, title, check in checks:
        progress(title)
        answered = name == "chat" or findings[1].state == YES
        found = check(session) if answered else unclear(_AFTER_A_CHAT)
        findings.append(judged(name, title, found, promised=name in PROMISES[kind], needed=name in NEEDED))
    title = TITLES[recognised.server]
    server = f"{title} {recognised.version}" if recognised.version else title
    if "sim" in owners:
        server += " (the embedded engine)"
    return Conformance(wire.base_url, kind, server, chosen.id, context, findings)
