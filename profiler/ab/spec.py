"""What a side is, as it is written on the command line: options of `profiler run`, an agent, a revision.

--a "--backend vllm"  --b "--backend vllm --engine-arg=--no-enable-prefix-caching"
--a "--rev main"      --b ""                        the working tree against a branch
--a ""                --b "--agent agents/new.py"
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from profiler.errors import UsageError

_OURS: Final = {"--rev": "revision", "--agent": "agent"}
_NOT_HERE: Final = {
    "--out": "give it to the command itself: both sides' runs go into that folder",
    "--format": "give it to the command itself",
    "--output": "give it to the command itself",
    "--repeat": "give --rounds to the command itself: chains per task and side",
    "--concurrency": "sides take turns, one chain at a time",
    "--record-script": "record it with `profiler run`",
    "--paced": "it is not for users",
}


@dataclass(frozen=True)
class Spec:
    """One side.

    Attributes:
        arguments: of `profiler run`, the agent left out.
        agent: another agent than the command's.
        revision: a git revision of the agent's repository.
    """

    arguments: tuple[str, ...]
    agent: str | None = None
    revision: str | None = None


def parse_spec(option: str, text: str) -> Spec:
    """Read a side.

    Args:
        option: where it comes from, for messages: `--a`.
        text: as a shell would read it.

    Raises:
        UsageError: it is no such text, or has options that are not for one side.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no list of options: {error}", remedy="check its quotes") from error
    ours: dict[str, str] = {}
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        name, equals, value = word.partition("=")
        if name in _NOT_HERE:
            raise UsageError(f"{name} cannot be given in {option}", remedy=_NOT_HERE[name])
        if name not in _OURS:
            rest.append(word)
            continue
        value = value if equals else next(waiting, "")
        if not value:
            raise UsageError(f"{name} in {option} needs a value", remedy=f"{name} NAME")
        ours[_OURS[name]] = value
    return Spec(tuple(rest), **ours)
