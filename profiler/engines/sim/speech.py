"""What the engine says: an answer to any request, deterministic by seed and content.

With tools, a chain that ends: the first user message says how many rounds of tool calls there are (1 to 4), each turn
of the assistant uses one up, and then comes a final answer in words.

    user       How many days of leave?            2 rounds for this text under this seed
    assistant  Let me look that up. search(…)     turn 0 < 2: a tool
    tool       28 days …
    assistant  One more check. search(…) sql(…)   turn 1 < 2: sometimes two at once
    tool       …  tool  …
    assistant  Later the market …                 turn 2: words

A forced length (`ignore_eos` with a limit) wins over everything: that many tokens of words, or of the conforming JSON
and blanks after it.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, replace
from typing import Any, Literal

from profiler.engines.sim.prompt import split
from profiler.engines.sim.request import Ask, Tool
from profiler.engines.sim.schema import conforming
from profiler.engines.sim.traits import Traits

_PLAIN = Traits()
_ENDLESS = 2048  # tokens of an answer that cannot stop where nobody knows the context
_MOST_ROUNDS = 4
_TWO_CALLS = 0.25
_NO_TOOL_TOKENS = 12  # of {"function": {"_name": "no_tool"
_SAYINGS = (
    "Let me look that up.",
    "I need one more fact for this.",
    "First I will check the records.",
    "Let me see what the tools say.",
    "One moment, I am looking into it.",
    "That needs a closer look.",
)
# Each is one token with the blank before it, so that lengths can be met exactly.
_WORDS = (  # noqa: SIM905 - as text it can be read
    "the a this that each one two most many some early late north green small large open clear usual steady daily "
    "quiet simple modern first second report market river garden signal engine window record weight letter number "
    "planet bridge forest valley winter summer answer reason result change detail figure source method survey story "
    "team plan list road lake town field house paper stone light water shows keeps holds brings takes makes gives "
    "finds needs moves turns grows helps meets leads adds follow covers before after under over with from into near "
    "along around about since until while and or but also then often now still even again rather quite very more"
).split()


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one output token; the first piece of a tool call stands for its name and has no text."""

    kind: Literal["content", "reasoning", "tool"]
    text: str
    tool: int = 0  # index of the tool call


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool call; its arguments are the texts of its pieces."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is said: as many pieces as output tokens."""

    pieces: tuple[Piece, ...]
    tools: tuple[ToolUse, ...] = ()
    finish: Literal["stop", "length", "tool_calls"] = "stop"
    stop_text: str | None = None  # the stop string that ended it
    hidden_tokens: int = 0  # generated before, and thrown away

    def text(self, kind: str = "content", tool: int = 0) -> str:
        """The joined text of one kind, or the arguments of one tool call."""
        return "".join([piece.text for piece in self.pieces if piece.kind == kind and piece.tool == tool])


def answer(ask: Ask, seed: int, traits: Traits = _PLAIN) -> Answer:
    """The answer to a request; the same for the same content, seed and traits, whatever came before it."""
    choose = random.Random(seed << 64 | ask.key())  # noqa: S311
    forced = ask.forced_tokens
    if ask.ignore_eos:
        said = _forced(ask, choose, _ENDLESS if forced is None else forced)
    elif _calls_tool(ask, seed):
        said = _tool_turn(ask, choose)
    else:
        said = _final_turn(ask, choose)
    said = _with_reasoning(said, ask, traits, choose)
    said = _stopped(_padded(said, ask, choose), ask)
    said = _cut(said, ask.max_tokens)
    return _with_separators(said) if traits.line_separator_text else said


def rounds_of(first_user_text: str, seed: int) -> int:
    """How many turns of a conversation call tools before the final answer."""
    digest = hashlib.blake2b(f"{seed}|{first_user_text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % _MOST_ROUNDS


def _calls_tool(ask: Ask, seed: int) -> bool:
    if not ask.tools or ask.tool_choice == "none":
        return False
    return ask.tool_choice != "auto" or ask.assistant_turns < rounds_of(ask.first_user_text, seed)


# --- the kinds of answer -----------------------------------------------------------------------------


def _forced(ask: Ask, choose: random.Random, length: int) -> Answer:
    pieces = _json_pieces(ask, choose)[:length]
    if pieces:
        pieces += [Piece("content", " ")] * (length - len(pieces))
    else:
        pieces = _words(choose, length)
    return Answer(tuple(pieces), finish="length")


def _final_turn(ask: Ask, choose: random.Random) -> Answer:
    probed = ask.grammar_tools and bool(ask.tools) and ask.tool_choice == "auto"
    pieces = _json_pieces(ask, choose) or _words(choose, choose.randint(15, 60))
    return Answer(tuple(pieces), hidden_tokens=_NO_TOOL_TOKENS if probed else 0)


def _tool_turn(ask: Ask, choose: random.Random) -> Answer:
    pieces: list[Piece] = []
    if ask.tool_choice == "auto" and not ask.grammar_tools:
        pieces += [Piece("content", text) for text in split(choose.choice(_SAYINGS))]
    named = [tool for tool in ask.tools if ask.named_tool and tool.name == ask.tool_choice]
    two = ask.parallel_tool_calls and not ask.named_tool and choose.random() < _TWO_CALLS
    tools = []
    for index in range(2 if two else 1):
        tool = choose.choice(named or ask.tools)
        tools.append(ToolUse(f"chatcmpl-tool-{choose.getrandbits(128):032x}", tool.name))
        pieces.append(Piece("tool", "", index))
        pieces += [Piece("tool", text, index) for text in split(_arguments(tool, choose))]
    return Answer(tuple(pieces), tuple(tools), finish="stop" if ask.named_tool else "tool_calls")


def _arguments(tool: Tool, choose: random.Random) -> str:
    value = conforming(tool.parameters, choose)
    return json.dumps(value if isinstance(value, dict) else {}, ensure_ascii=False)


def _json_pieces(ask: Ask, choose: random.Random) -> list[Piece]:
    """The JSON that the request wants; empty if it wants none."""
    if ask.schema is None:
        return []
    value: Any = conforming(ask.schema, choose) if ask.schema else {"answer": _words_text(choose, 12)}
    return [Piece("content", text) for text in split(json.dumps(value, ensure_ascii=False))]


def _words_text(choose: random.Random, count: int) -> str:
    return "".join(piece.text for piece in _words(choose, count))


def _words(choose: random.Random, count: int) -> list[Piece]:
    """Exactly so many tokens of sentences; the last is a full stop if there is room for one."""
    pieces: list[Piece] = []
    left = 0  # words until the sentence ends
    begins = True
    for index in range(count):
        if index and (index == count - 1 or (left == 0 and not begins and index != count - 2)):
            pieces.append(Piece("content", "."))
            begins = True
            continue
        word = _WORDS[int(choose.random() * len(_WORDS))]
        if begins:
            begins, left = False, 6 + int(choose.random() * 8)
            word = word.capitalize()
        pieces.append(Piece("content", f" {word}" if index else word))
        left = max(left - 1, 0)
    return pieces


# --- what requests and traits do to it -----------------------------------------------------------------


def _padded(said: Answer, ask: Ask, choose: random.Random) -> Answer:
    """At least `min_tokens`: more words before what there is, or blanks after JSON."""
    missing = ask.min_tokens - len(said.pieces)
    if missing <= 0:
        return said
    if ask.schema is not None:
        return replace(said, pieces=said.pieces + (Piece("content", " "),) * missing)
    start = next((index for index, piece in enumerate(said.pieces) if piece.kind != "reasoning"), len(said.pieces))
    more = tuple(_words(choose, missing))
    first = said.pieces[start : start + 1]
    if first and first[0].kind == "content":
        first = (replace(first[0], text=f" {first[0].text}"),)
    return replace(said, pieces=said.pieces[:start] + more + first + said.pieces[start + 1 :])


def _with_reasoning(said: Answer, ask: Ask, traits: Traits, choose: random.Random) -> Answer:
    """Reasoning comes first; within a forced length it takes up to a third of it."""
    if not traits.reasoning or ask.operation != "chat":
        return said
    length = choose.randint(8, 24)
    if not ask.ignore_eos:
        return replace(said, pieces=_thoughts(choose, length) + said.pieces)
    length = min(length, len(said.pieces) // 3)
    return replace(said, pieces=_thoughts(choose, length) + said.pieces[: len(said.pieces) - length])


def _thoughts(choose: random.Random, length: int) -> tuple[Piece, ...]:
    return tuple(Piece("reasoning", piece.text) for piece in _words(choose, length))


def _stopped(said: Answer, ask: Ask) -> Answer:
    """Cut before the first stop string after `min_tokens`; a forced length has none."""
    if not ask.stop or ask.ignore_eos:
        return said
    text = said.text()
    start = sum(len(piece.text) for piece in said.pieces[: ask.min_tokens] if piece.kind == "content")
    found = [(text.index(stop, start), stop) for stop in ask.stop if stop in text[start:]]
    if not found:
        return said
    keep, stop = min(found)
    pieces: list[Piece] = []
    for piece in said.pieces:
        if piece.kind == "content":
            pieces.append(replace(piece, text=piece.text[:keep]))
            keep -= len(piece.text)
            if keep < 0:
                break
        else:
            pieces.append(piece)
    return replace(said, pieces=tuple(pieces), tools=(), finish="stop", stop_text=stop)


def _cut(said: Answer, limit: int | None) -> Answer:
    if limit is None or len(said.pieces) <= limit:
        return said
    pieces = said.pieces[:limit]
    begun = {piece.tool for piece in pieces if piece.kind == "tool"}
    return replace(said, pieces=pieces, tools=said.tools[: len(begun)], finish="length", stop_text=None)


def _with_separators(said: Answer) -> Answer:
    pieces = [
        piece
        if piece.kind == "tool" or index % 3
        else replace(piece, text=piece.text + ("\u2028", "\x85")[index // 3 % 2])
        for index, piece in enumerate(said.pieces)
    ]
    return replace(said, pieces=tuple(pieces))
