"""Threads that an agent starts belong to its chain.

A new thread begins with an empty context, so a call made in it would belong to no chain, and the step that waits for
it would look busy by itself. While a run lasts, threads and executor tasks take the context of whoever started them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any


@contextmanager
def carry_context() -> Iterator[None]:
    """Let threads and executor tasks that are started inside the block inherit the starter's context."""
    start = threading.Thread.start
    submit: Any = ThreadPoolExecutor.submit

    def start_with_context(self: threading.Thread) -> None:
        self.run = partial(copy_context().run, self.run)  # type: ignore[method-assign]
        start(self)

    def submit_with_context(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(self, copy_context().run, fn, *args, **kwargs)

    threading.Thread.start = start_with_context  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_with_context  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]
