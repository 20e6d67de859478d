"""Large runs made of a small one: its chains again and again, with new ids and with times of their own.

    python benchmarks/clones.py FROM TO SPANS

Every chain is one that was recorded, so that a line has the size and the shape of a real one. A clone's times are the
original's, all by one factor: children stay inside their parents and phases inside their calls.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np

from profiler.store.manifest import MANIFEST_FILE, SPANS_FILE

_ID = rb'"(?:traceId|spanId|parentSpanId)":"([0-9a-f]+)"'
_MOMENT = rb'"(?:start|end)TimeUnixNano":"(\d+)"'
_LENGTH = rb'_(?:ns|us)","value":\{"intValue":"(\d+)"'
_ARRIVALS = rb'"profiler\.chunk\.times_us","value":\{"arrayValue":\{"values":(\[[^\]]*\])'
_VARYING = re.compile(b"|".join((_ID, _MOMENT, _LENGTH, _ARRIVALS)))
_PAUSE_NS = 10_000_000  # between the starts of two chains
_SPREAD = 0.15  # of the logarithm of the factor


class Chain:
    """A recorded line, cut at everything that differs from clone to clone."""

    def __init__(self, line: bytes) -> None:
        self.spans = line.count(b'"spanId"')
        self._pieces: list[str] = []
        self._ids: dict[str, int] = {}
        moments: list[int] = []
        lengths: list[int] = []
        slots: list[tuple[str, int]] = []
        at = 0
        for found in _VARYING.finditer(line):
            kind = int(found.lastindex or 0)
            values = [found.span(kind)] if kind < 4 else _numbers(found, line)
            for start, end in values:
                self._pieces.append(line[at:start].decode())
                text = line[start:end].decode()
                at = end
                if kind == 1:
                    slots.append(("id", self._ids.setdefault(text, len(self._ids))))
                elif kind == 2:
                    slots.append(("moment", len(moments)))
                    moments.append(int(text))
                else:
                    slots.append(("length", len(lengths)))
                    lengths.append(int(text))
        self._pieces.append(line[at:].decode())
        begin = min(moments)
        self._widths = [len(text) for text in self._ids]
        self._moments = np.array(moments) - begin
        self._lengths = np.array(lengths)
        first = {"id": 0, "moment": len(self._ids), "length": len(self._ids) + len(moments)}
        self._slots = [first[kind] + number for kind, number in slots]

    def clone(self, start_ns: int, factor: float, random: Random) -> bytes:
        """A line with new ids that begins at `start_ns`, its times multiplied."""
        values = [f"{random.getrandbits(4 * width):0{width}x}" for width in self._widths]
        values += map(str, ((self._moments * factor).astype(np.int64) + start_ns).tolist())
        values += map(str, (self._lengths * factor).astype(np.int64).tolist())
        text = [""] * (2 * len(self._slots) + 1)
        text[0::2] = self._pieces
        text[1::2] = [values[slot] for slot in self._slots]
        return "".join(text).encode()


def _numbers(found: re.Match[bytes], line: bytes) -> list[tuple[int, int]]:
    start, end = found.span(4)
    return [number.span(1) for number in re.compile(rb'"(\d+)"').finditer(line, start, end)]


def clone_run(source: Path, target: Path, spans: int) -> int:
    """Make a run of at least so many spans; returns how many it has."""
    target.mkdir(parents=True)
    chains = [Chain(line) for line in (source / SPANS_FILE).read_bytes().splitlines(keepends=True)]
    written = number = 0
    with (target / SPANS_FILE).open("wb") as file:
        for line, size in _clones(chains):
            file.write(line)
            written += size
            number += 1
            if written >= spans:
                break
    manifest = json.loads((source / MANIFEST_FILE).read_text(encoding="utf-8"))
    manifest["chains"] |= {"planned": number, "finished": number}
    manifest["spans"] = {"started": written, "written": written}
    (target / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")
    return written


def _clones(chains: list[Chain]) -> Iterator[tuple[bytes, int]]:
    random = Random(4)
    start_ns = 1_795_000_000_000_000_000
    while True:
        for chain in chains:
            yield chain.clone(start_ns, random.lognormvariate(0, _SPREAD), random), chain.spans
            start_ns += _PAUSE_NS


if __name__ == "__main__":
    print(clone_run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
