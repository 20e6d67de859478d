"""Agents that make one streamed call per task: of 128 tokens over httpx2 or with the OpenAI SDK, or of a tool call."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import httpx2
from openai import AsyncOpenAI
from tool_request import FIELDS

OUTPUT_TOKENS = 128


@cache
def _client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx2.AsyncClient(limits=limits, timeout=120, trust_env=False)


@cache
def _sdk() -> AsyncOpenAI:
    return AsyncOpenAI(max_retries=0)


async def over_httpx2(task: str) -> None:
    """Read the body to its end."""
    await _read({**_request(task), "max_tokens": OUTPUT_TOKENS, "ignore_eos": True, "min_tokens": OUTPUT_TOKENS})


async def tools_over_httpx2(task: str) -> None:
    """The same with an answer that is a tool call, as long as it gets."""
    await _read({**_request(task), **FIELDS})


async def _read(body: dict[str, Any]) -> None:
    async with _client().stream("POST", f"{os.environ['OPENAI_BASE_URL']}/chat/completions", json=body) as response:
        response.raise_for_status()
        async for _ in response.aiter_raw():
            pass


async def with_sdk(task: str) -> None:
    """Let the SDK parse every chunk."""
    extra = {"ignore_eos": True, "min_tokens": OUTPUT_TOKENS, "max_tokens": OUTPUT_TOKENS}
    async for _ in await _sdk().chat.completions.create(**_request(task), extra_body=extra):
        pass


def _request(task: str) -> dict[str, Any]:
    return {
        "model": os.environ["OPENAI_MODEL"],
        "messages": [{"role": "user", "content": task}],
        "stream": True,
    }
