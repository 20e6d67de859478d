"""Does `profiler ab` come out right in real time? Sides that are alike, and sides that differ in a known way.

    python benchmarks/gate_real.py --engine sim     the embedded engine in real time: each case five times
    python benchmarks/gate_real.py --engine vllm    the real vLLM, tiny-random on the CPU: each case once
    python benchmarks/gate_real.py --case sim-slower --repeat 1
                                                    one case once; the table is printed and written nowhere

Each run is the command `profiler ab` as a user gives it, engines' start included. It is right if the verdict is one of
those expected, if what `profiler compare` blames first is the step's phase that was changed, for the reason for which
it was, and if it took no longer than five minutes. Without --case and --repeat the table goes into RESULTS.md too, a
section for each engine. Exit code 0 if all runs are right, 1 otherwise, 130 if interrupted.

Run it on a machine with nothing else to do: what others take of its cores makes verdicts later, and wider intervals.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import results

from profiler import __version__

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
AGENTS: Final = ROOT / "agents"
STEADY: Final = HERE / "explained_agents" / "steady.toml"
LIMIT_S: Final = 300.0
HANGS_S: Final = 1800.0  # beyond this `profiler ab` is stopped: it hangs, or the machine is hopeless
STOP_S: Final = 120.0
REGRESSED, NOT_REGRESSED, CANNOT_TELL, NONE = "regressed", "not regressed", "cannot tell", "none"
EXIT_CODES: Final = {REGRESSED: 1, NOT_REGRESSED: 0, CANNOT_TELL: 0}
SLOWER: Final = 1.1
LONGER: Final = 1.2
TIMES: Final = ("frontend_us", "step_us", "per_prompt_token_us")  # those that the profile has
SHORT: Final = (
    *("leave-days", "rain-gauge-tip", "lost-laptop", "mast-in-feet", "cancelled-orders", "hotel-ceiling"),
    *("return-deadline", "battery-lot-share"),
)
WORDY: Final = (  # more of their time is decoding
    *("refill-stock", "invoice-due-city", "managing-director-discounts", "car-trip", "on-call-pay", "leave-days"),
    *("radio-range-miles", "return-deadline"),
)


@dataclass(frozen=True)
class Case:
    """Two sides, and what has to come out.

    Attributes:
        name: as it is called on the command line.
        engine: `sim` or `vllm`.
        differs: what the candidate has that the base has not, in words.
        candidate: its options of `profiler run`, from a folder for files that they need.
        both: options of both sides.
        agent: of both.
        rounds: at most: chains per task and side.
        verdicts: those that are right.
        phase: what is blamed first; empty if there is nothing to blame.
        reason: a word that the blame has to have.
    """

    name: str
    engine: str
    differs: str
    candidate: Callable[[Path], Sequence[str]]
    both: Sequence[str]
    agent: Path
    rounds: int
    verdicts: Sequence[str]
    phase: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    case: Case
    verdict: str
    words: str  # the verdict's sentence, or why there is none
    phase: str  # what is blamed first; empty if nothing is
    blame: str
    seconds: float

    @property
    def right(self) -> bool:
        """Verdict, blame and time, all of them."""
        return not self.wrong

    @property
    def wrong(self) -> list[str]:
        """What is not as it has to be."""
        found = [] if self.verdict in self.case.verdicts else ["verdict"]
        if self.case.phase and (self.phase != self.case.phase or self.case.reason not in self.blame):
            found.append("blame")
        return found if self.seconds <= LIMIT_S else [*found, "time"]


def nothing(_folder: Path) -> list[str]:
    """No options: the candidate is the base."""
    return []


def slower_profile(folder: Path) -> list[str]:
    """The base's profile with every time a tenth longer."""
    base = tomllib.loads(STEADY.read_text(encoding="utf-8"))
    slower = {name: round(value * SLOWER) if name in TIMES else value for name, value in base.items()}
    path = folder / "slower.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in slower.items()]  # JSON's scalars are TOML's
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--sim-profile", str(path)]


def longer_script(folder: Path) -> list[str]:
    """The base's script with a fifth more output tokens in every call."""
    script = json.loads((AGENTS / "react.script.json").read_text(encoding="utf-8"))
    for task in script["tasks"].values():
        for call in task["calls"]:
            call["output_tokens"] = math.ceil(call["output_tokens"] * LONGER)
    path = folder / "longer.script.json"
    path.write_text(json.dumps(script), encoding="utf-8")
    return ["--script", str(path)]


def without_cache(_folder: Path) -> list[str]:
    """Prompts are read from their first token on, each time."""
    return ["--engine-arg=--no-enable-prefix-caching"]


_REACT = AGENTS / "react.py"
_SIM = ("--backend", "sim", "--sim-profile", str(STEADY), *(f"--task={name}" for name in SHORT))
_VLLM = ("--backend", "vllm", "--warmup", "2")
_SHORT = tuple(f"--task={name}" for name in SHORT)
_WORDY = tuple(f"--task={name}" for name in WORDY)
CASES: Final = (
    Case("sim-alike", "sim", "nothing", nothing, _SIM, _REACT, 12, (NOT_REGRESSED,)),
    Case(
        "sim-slower", "sim", "all times of the engine +10%", slower_profile, _SIM, _REACT, 12, (REGRESSED,),
        "decode", "time per token",
    ),
    Case(
        "vllm-alike", "vllm", "nothing", nothing, (*_VLLM, *_SHORT), _REACT, 6, (NOT_REGRESSED, CANNOT_TELL),
    ),
    Case(
        "vllm-cache-off", "vllm", "the prefix cache is off", without_cache, (*_VLLM, *_SHORT), _REACT, 6, (REGRESSED,),
        "prefill", "cache hits",
    ),
    Case(
        "vllm-longer", "vllm", "20% more output tokens", longer_script, (*_VLLM, *_WORDY), _REACT, 6, (REGRESSED,),
        "decode", "output",
    ),
)  # fmt: skip
REPEATS: Final = {"sim": 5, "vllm": 1}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; 1 if one comes out wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.keep is not None and options.keep.exists():
        parser.error(f"--keep {options.keep} exists already: name a new folder")
    cases = [
        case
        for case in CASES
        if (not options.engine or case.engine == options.engine) and (not options.case or case.name in options.case)
    ]
    if not cases:
        print(f"--engine {options.engine} has none of the cases {', '.join(options.case)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGINT, _interrupted)  # a shell starts what is in its background without
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="gate-real-") as scratch:
        kept = options.keep or Path(scratch)
        try:
            for case in cases:
                for number in range(1, (options.repeat or REPEATS[case.engine]) + 1):
                    print(f"{case.name} #{number}: {case.differs} …", file=sys.stderr, flush=True)
                    outcomes.append(measured(case, number, kept, options.seed))
                    print(_line(outcomes[-1]), file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print(shown(outcomes))
            return 130
    print(shown(outcomes))
    if not (options.case or options.repeat):
        for engine in dict.fromkeys(case.engine for case in cases):
            its = [each for each in outcomes if each.case.engine == engine]
            results.replace_section(f"gate-real-{engine}", section(engine, its))
    return 0 if all(each.right for each in outcomes) else 1


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=tuple(REPEATS), help="only the cases of this engine")
    parser.add_argument(
        "--case", action="append", choices=[case.name for case in CASES], help="only this case; repeatable"
    )
    parser.add_argument("--repeat", type=_positive, help="runs of each case (sim: 5, vllm: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which sides take turns, plus the run's")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the runs in this folder, which must be new")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def measured(case: Case, number: int, folder: Path, seed: int) -> Outcome:
    """One run of a case: `profiler ab` in a process of its own, and what is blamed."""
    files = folder / f"{case.name}-{number}"
    files.mkdir(parents=True)
    command = command_of(case, files, seed + number)
    begun = time.monotonic()
    code, out, err = _finished(command)
    seconds = time.monotonic() - begun
    return Outcome(case, *read(code, out, err), seconds)


def command_of(case: Case, files: Path, seed: int) -> list[str]:
    """`profiler ab` for a case; files that the candidate needs are made."""
    return [
        *(sys.executable, "-m", "profiler", "ab", str(case.agent)),
        *("--a", "", "--b", shlex.join(case.candidate(files)), "--both", shlex.join(case.both)),
        *("--rounds", str(case.rounds), "--seed", str(seed), "--out", str(files / "ab")),
        *("--format", "json"),
    ]


def _finished(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit code and what was printed. However it ends, the command is given time to stop its engines."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        out, err = process.communicate(timeout=HANGS_S)
    except subprocess.TimeoutExpired:
        out, err = _stopped(process)
        err += f"\nstopped after {HANGS_S:.0f} s"
    except BaseException:
        _stopped(process)
        raise
    return process.returncode, out, err


def _stopped(process: subprocess.Popen[str]) -> tuple[str, str]:
    for end in (process.terminate, process.kill):
        end()
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=STOP_S)
    return "", ""


def read(code: int, out: str, err: str) -> tuple[str, str, str, str]:
    """Of what the command printed: verdict, its sentence, phase and words of what is blamed first beyond chance.

    The verdict is `none`, with the last words, if there is none or the exit code is another one's.
    """
    try:
        document = json.loads(out)
        verdict, words = document["ab"]["verdict"], document["ab"]["words"]
        blame = [each for each in document["comparisons"][0]["blame"] if each["certain"]]
    except (ValueError, KeyError, IndexError):
        last = [line for line in err.splitlines() if line.strip()] or ["nothing was said"]
        return NONE, f"exit code {code}: {last[-1].strip()}", "", ""
    if code != EXIT_CODES.get(verdict):
        return NONE, f"exit code {code}, but: {words}", "", ""
    return (verdict, words, blame[0]["phase"], blame[0]["words"]) if blame else (verdict, words, "", "")


def shown(outcomes: Sequence[Outcome]) -> str:
    """The table as text, a run per block: lines of a terminal are too short for one per row."""
    right = sum(each.right for each in outcomes)
    return "\n".join([*map(_line, outcomes), f"{right} of {len(outcomes)} right"])


def _line(outcome: Outcome) -> str:
    case = outcome.case
    mark = "right" if outcome.right else f"WRONG ({', '.join(outcome.wrong)})"
    words = f"\n    {outcome.words}" if not outcome.right else ""
    blame = f"\n    {outcome.blame}" if outcome.blame else ""
    return f"{case.name:<15} {outcome.verdict:<14} {outcome.seconds:5.0f} s  {mark}{words}{blame}"


def section(engine: str, outcomes: Sequence[Outcome]) -> str:
    """The engine's section of RESULTS.md."""
    what = {"sim": "the embedded engine in real time", "vllm": "the real vLLM, `tiny-random` on the CPU"}[engine]
    rows = [
        (
            *(each.case.name, each.case.differs, " or ".join(each.case.verdicts), each.verdict),
            *(each.blame.replace("|", "\\|") or "—", f"{each.seconds:.0f}"),
            "right" if each.right else f"wrong: {', '.join(each.wrong)}",
        )
        for each in outcomes
    ]
    header = ("case", "candidate", "expected", "verdict", "blamed first", "seconds", "")
    right = sum(each.right for each in outcomes)
    return (
        f"## Gate, {what}\n\n{results.circumstances({'profiler': __version__})}\n"
        f"{right} of {len(outcomes)} runs of `profiler ab` came out right.\n\n{results.table(header, rows)}"
    )


if __name__ == "__main__":
    sys.exit(main())
