"""A client as one writes it in a few lines: streams over httpx or httpx2, timed where the loop sees a line.

    python stream_loop.py httpx|httpx2 '{"url", "model", "streams", "requests", "output_tokens", "tools"}'

Prints one JSON object per request: {"id", "ttft_ns", "tpot_ns", "error"}.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from typing import Any

from tool_request import FIELDS


async def one(client: Any, load: dict[str, Any], number: int) -> dict[str, Any]:
    """One request; a figure that the loop cannot tell is None."""
    body = {
        "model": load["model"],
        "messages": [{"role": "user", "content": f"Count from {number}."}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    length = load["output_tokens"]
    body |= FIELDS if load["tools"] else {"max_tokens": length, "min_tokens": length, "ignore_eos": True}
    first_ns = last_ns = tokens = None
    request_id = f"loop-{number}"
    began_ns = time.perf_counter_ns()
    try:
        async with client.stream("POST", load["url"], json=body, headers={"X-Request-Id": request_id}) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                now_ns = time.perf_counter_ns()
                chunk = json.loads(line.removeprefix("data: "))
                delta = chunk["choices"][0]["delta"] if chunk["choices"] else {}
                if delta.get("content") or delta.get("tool_calls"):
                    first_ns = first_ns or now_ns
                    last_ns = now_ns
                tokens = (chunk.get("usage") or {}).get("completion_tokens") or tokens
    except Exception as error:  # noqa: BLE001 - a lost request is a result
        return {"id": request_id, "ttft_ns": None, "tpot_ns": None, "error": repr(error)}
    known = first_ns is not None and last_ns is not None
    return {
        "id": request_id,
        "ttft_ns": first_ns - began_ns if first_ns else None,
        "tpot_ns": (last_ns - first_ns) / (tokens - 1) if known and tokens and tokens > 1 else None,  # type: ignore[operator]
        "error": None,
    }


async def main() -> None:
    """All requests, so many at once."""
    module = importlib.import_module(sys.argv[1])
    load = json.loads(sys.argv[2])
    numbers = iter(range(load["requests"]))
    async with module.AsyncClient(timeout=120, trust_env=False) as client:

        async def stream() -> None:
            for number in numbers:
                print(json.dumps(await one(client, load, number)))

        await asyncio.gather(*(stream() for _ in range(load["streams"])))


if __name__ == "__main__":
    asyncio.run(main())
