"""The embedded engine's server on a loop of its own in a thread, for tests that talk HTTP to it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from contextlib import closing, contextmanager

import httpx

from profiler.engines.sim.clockwork import new_loop
from profiler.engines.sim.door import Door
from profiler.engines.sim.faults import FaultPlan
from profiler.engines.sim.profile import load_profile
from profiler.engines.sim.server import ServerOptions, SimServer
from profiler.engines.sim.traits import parse_traits
from profiler.record.sse import Decoder
from profiler.truth import read_truth

LIMIT_S = 200
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Sim:
    """A running server. What it logged from warnings up, and what went wrong in its loop, is in `complaints`."""

    def __init__(self, options):
        self.options = options
        self.complaints = []
        self.port = None
        self.server = None
        self.loop = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _run(self):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context["message"]))
        self._ended = asyncio.Event()
        door = Door("127.0.0.1", 0)
        self.server = SimServer(self.options, door.shut_for)
        await door.open(self.server)
        self.port = door.port
        self._started.set()
        await self._ended.wait()
        door.close()
        await self.server.shutdown(0.2)
        for _ in range(10):  # connections made in the meantime end, which takes some rounds of the loop
            await asyncio.sleep(0.001)
        self.server.close_log()

    def start(self):
        self._thread.start()
        assert self._started.wait(LIMIT_S)

    def stop(self):
        self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    @property
    def scheduler(self):
        return self.server._pump.scheduler

    def truths(self, number):
        """The ground truth as soon as it has that many lines."""
        until(lambda: len(read_truth(self.options.truth)) >= number)
        found = read_truth(self.options.truth)
        assert len(found) == number
        return found

    def truth(self):
        """That of the only request."""
        return self.truths(1)[0]

    def settle(self):
        """Wait until nothing is under way, and see that nothing is held."""
        scheduler = self.scheduler
        until(lambda: (scheduler.running, scheduler.waiting, scheduler.blocks_used) == (0, 0, 0))
        until(lambda: self.server._inside == 0)
        assert not self.server._pump._listeners

    def post(self, body=None, path="/v1/chat/completions", **options):
        """An unstreamed request, or the whole of a streamed one."""
        with httpx.Client(base_url=self.url, timeout=LIMIT_S, trust_env=False) as client:
            return client.post(path, json=chat() if body is None else body, **options)

    def get(self, path, **options):
        return httpx.get(f"{self.url}{path}", timeout=LIMIT_S, trust_env=False, **options)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    def raw(self, data):
        """Everything that comes back on a connection of its own, and the error that ended it."""
        with closing(self.connect()) as connection:
            connection.sendall(data)
            return everything(connection)


@contextmanager
def serving(folder, *, profile="fast", dialect="vllm", traits=(), plan=None, changes=None, **options):
    """A server whose log is empty of complaints at the end, and which holds nothing then."""
    sim = Sim(
        ServerOptions(
            profile=load_profile(profile).model_copy(update=changes or {}),
            model="m",
            dialect=dialect,
            traits=parse_traits(traits),
            faults=plan or FaultPlan({}),
            truth=folder / "truth.jsonl",
            **options,
        )
    )

    class Listener(logging.Handler):
        def emit(self, record):
            sim.complaints.append(record.getMessage())

    listener = Listener(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("aiohttp", "asyncio")]
    for logger in loggers:
        logger.addHandler(listener)
    sim.start()
    try:
        yield sim
        sim.settle()
    finally:
        sim.stop()
        for logger in loggers:
            logger.removeHandler(listener)
    assert sim.complaints == []


def until(holds):
    """Wait for something that another thread does."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)


def everything(connection):
    data = b""
    try:
        while block := connection.recv(65536):
            data += block
    except OSError as error:
        return data, error
    return data, None


def chat(text="How much is it?", **fields):
    return {"messages": [{"role": "user", "content": text}], **fields}


def streamed(text="How much is it?", **fields):
    return chat(text, stream=True, stream_options={"include_usage": True}, **fields)


def forced(tokens):
    return {"min_tokens": tokens, "max_tokens": tokens, "ignore_eos": True}


def http(body, path="/v1/chat/completions", headers=()):
    """The bytes of a request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: sim", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def traceparent(number):
    return f"00-{TRACE}-{number:016x}-01"


def chunks(body):
    """The JSON of every event of a stream, [DONE] as text."""
    decoder = Decoder()
    events = decoder.feed(body)
    assert decoder.rest() == b""
    return ["[DONE]" if event.data == b"[DONE]" else json.loads(event.data) for event in events if event.data]


def text_of(found):
    deltas = [
        choice.get("delta", choice) for chunk in found if chunk != "[DONE]" for choice in chunk.get("choices", ())
    ]
    return "".join(delta.get("content") or delta.get("text") or "" for delta in deltas)
