"""Asks an engine for its `/metrics` again and again while a run goes on, and keeps what it says beside the spans.

    ask |-|  wait           |-| ask …       waiting for the period, or for fifty times what asking takes if that is more

Answering takes the engine time that its requests lack: so after the second question at most a fiftieth of the time
passes with it, and only the few lines that are wanted are asked for where that can be had: 1 ms instead of 16 on vLLM
0.32 (on a busy machine). What asking takes is the least of the last few times: a busy process of ours only adds, and so
does opening the connection, which is why it asks again after the period. A thread of its own asks; an engine that does
not answer costs the run nothing.
"""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

from profiler.engines.url import is_loopback, unversioned
from profiler.errors import StoreError
from profiler.metrics.engine_page import Load, read_page
from profiler.record.text import clean_message
from profiler.store.engine_metrics import ENGINE_METRICS_FILE, SampleWriter
from profiler.store.manifest import EngineMetrics

PERIOD_S = 0.25
_PATIENCE = 50  # times what asking takes
_LATEST = 8
_LONGEST_WAIT_S = 10.0
_TIMEOUT_S = 2.0
_LAST_S = 1.0
_MOST_BYTES = 8 << 20
_BLOCK = 1 << 16


class Sample(NamedTuple):
    """What one answer says."""

    time_ns: int  # half-way between asking and the answer, on the spans' clock
    took_ns: int
    load: Load
    size: int  # of the page, in bytes


class EngineSampler:
    """Samples an engine's load from its creation until `close`."""

    def __init__(self, base_url: str, folder: Path, now_ns: Callable[[], int], *, period_s: float = PERIOD_S) -> None:
        """Begin to sample.

        Args:
            base_url: the engine's, of the OpenAI protocol.
            folder: of the run.
            now_ns: the spans' clock.
            period_s: seconds between two samples, unless asking takes long.
        """
        self._told = EngineMetrics(address=f"{unversioned(base_url)}/metrics", period_s=period_s)
        self._path = folder / ENGINE_METRICS_FILE
        self._now_ns = now_ns
        self._query = ""  # what follows the address
        self._spent_ns: deque[int] = deque(maxlen=_LATEST)  # on the latest questions, answered or not
        self._took_ns: list[int] = []
        no_proxies = urllib.request.ProxyHandler({} if is_loopback(base_url) else None)
        self._opener = urllib.request.build_opener(no_proxies, _NoRedirects())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="engine-metrics", daemon=True)
        self._thread.start()

    def close(self) -> EngineMetrics:
        """Take one more sample, in bounded time, and tell what became of all."""
        self._stop.set()
        self._thread.join(_LAST_S)
        took_ms = round(median(self._took_ns) / 1e6, 3) if self._took_ns else None
        return self._told.model_copy(update={"samples": len(self._took_ns), "took_ms": took_ms})

    def _work(self) -> None:
        sample = self._ask()
        if sample is None:
            return
        self._told.source, names = sample.load.source, sample.load.names
        self._query = self._shortest(sample)
        header = {**self._told.model_dump(include={"source", "address", "period_s"}), "names": dict(names)}
        try:
            with closing(SampleWriter(self._path, header)) as writer:
                self._write_all(writer, sample)
        except StoreError as error:
            self._told.error = error.message
        except Exception as error:  # noqa: BLE001 - an engine's odd page must never fail a run; it is told
            self._failed(_words(error))

    def _write_all(self, writer: SampleWriter, sample: Sample | None) -> None:
        last = False
        while True:
            if sample is not None:
                writer.write(sample.time_ns, sample.took_ns, sample.load.values)
                self._took_ns.append(sample.took_ns)
            if last:
                return
            usual_ns = min(self._spent_ns) if len(self._spent_ns) > 1 else 0  # the first has a connection to open
            wait_s = max(self._told.period_s, _PATIENCE * usual_ns / 1e9)
            last = self._stop.wait(min(wait_s, max(_LONGEST_WAIT_S, self._told.period_s)))
            sample = self._ask()

    def _ask(self) -> Sample | None:
        """One sample; None, with the reason told, if there is none to be had now."""
        began_ns = self._now_ns()
        try:
            page = self._page(self._query)
        except (OSError, HTTPException, ValueError) as error:
            self._failed(_words(error))
            return None
        finally:
            took_ns = self._now_ns() - began_ns
            self._spent_ns.append(took_ns)
        load = read_page(page)
        if load is None:
            self._failed("it tells nothing under the names of vLLM, TGI, SGLang or llama.cpp")
            return None
        return Sample(began_ns + took_ns // 2, took_ns, load, len(page))

    def _shortest(self, whole: Sample) -> str:
        """How to ask for no more than the lines of this sample, if the server understands one of the ways.

        Prometheus' own library does (`name[]`). vLLM has it at the path with a slash, and another page without.
        """
        only = "&".join(f"name[]={quote(name, safe=':')}" for name in whole.load.names.values())
        for query in (f"/?{only}", f"?{only}"):
            with suppress(OSError, HTTPException, ValueError):
                page = self._page(query)
                load = read_page(page)
                if load is not None and load.names == whole.load.names and len(page) < whole.size:
                    return query
        return ""

    def _failed(self, why: str) -> None:
        self._told.failed += 1
        self._told.error = why

    def _page(self, query: str) -> bytes:
        request = urllib.request.Request(self._told.address + query, headers={"Accept": "text/plain"})  # noqa: S310
        deadline = time.monotonic() + _TIMEOUT_S
        page = bytearray()
        with self._opener.open(request, timeout=_TIMEOUT_S) as response:
            while block := response.read1(_BLOCK):
                page += block
                if len(page) > _MOST_BYTES or time.monotonic() > deadline:
                    raise ValueError("its page of metrics does not end")
        return bytes(page)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Nowhere: what is at another address is not the engine."""


def _words(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answered {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return clean_message(str(reason) or type(error).__name__)
