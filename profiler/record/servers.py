"""What kinds of servers take beyond, or short of, the OpenAI protocol, as far as a recording depends on it.

A request must be understood by the server that it goes to: some refuse a field that they do not know, others ignore
one that agents rely on. How a server is recognised is told in `engines/recognise.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of server.

    Attributes:
        name: as the run's manifest has it.
        force: fields that make it generate exactly so many tokens, besides the limit; None if nothing does.
        salted: whether `cache_salt` keeps prompts of different salts apart in its prefix cache.
        limit: the only name under which it takes the limit of an output; None where both of OpenAI's names do.
        tool_choice: whether it takes `tool_choice`.
        strict: fields that it refuses as OpenAI's clients send them are mended (TGI).
    """

    name: str
    force: Callable[[int], Json] | None = None
    salted: bool = False
    limit: str | None = None
    tool_choice: bool = True
    strict: bool = False


def _least_and_no_end(tokens: int) -> Json:
    return {"min_tokens": tokens, "ignore_eos": True}


def _no_end(_tokens: int) -> Json:
    return {"ignore_eos": True}


def _generation_config(tokens: int) -> Json:
    """A configuration of its own names no token that ends the output."""
    return {"generation_config": json.dumps({"min_new_tokens": tokens, "max_new_tokens": tokens})}


VLLM = Server("vllm", _least_and_no_end, salted=True, limit="max_tokens")
PLAIN = Server("openai")  # nothing is known of it but the protocol
_SERVERS = {
    server.name: server
    for server in (
        VLLM,
        PLAIN,
        Server("sglang", _least_and_no_end, salted=True, limit="max_tokens"),
        Server("llama.cpp", _no_end, limit="max_tokens"),
        Server("transformers", _generation_config, limit="max_tokens", tool_choice=False),
        Server("tgi", limit="max_tokens", strict=True),
        Server("ollama", limit="max_tokens", tool_choice=False),
        Server("lmstudio", limit="max_tokens"),
    )
}


def server_of(name: str) -> Server:
    """The kind of server of a name; plain OpenAI for one that is not known."""
    return _SERVERS.get(name, PLAIN)
