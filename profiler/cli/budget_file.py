"""The limits and margins of a project: `profiler.toml`, or `[tool.profiler]` in `pyproject.toml`.

[check]
against = "main"            # a baseline or a run's folder
cannot-tell = "pass"        # or "fail"

[[check.limit]]
metric = "chain_time.p95"
max = "4 s"

[[check.margin]]
metric = "time_per_step"
slower = "5%"
primary = true
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from profiler.compare.budgets import COMPARED, COUNTS, SHARES, TIMES, Limit, Margin, metrics
from profiler.errors import UsageError

FILE = "profiler.toml"
_UNITS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9}
_SHAPE = "docs/check.md shows what it may hold"


def _no_boolean(given: object) -> object:
    """A boolean would count as the number 1."""
    if isinstance(given, bool):
        msg = "true and false are no bound"
        raise ValueError(msg)  # noqa: TRY004 - pydantic takes it for a finding
    return given


_Bound = Annotated[str | float | int, BeforeValidator(_no_boolean)]


class _Limit(BaseModel):
    model_config = ConfigDict(extra="forbid")
    metric: str
    max: _Bound | None = None
    min: _Bound | None = None
    tasks: str = "*"


class _Margin(BaseModel):
    model_config = ConfigDict(extra="forbid")
    metric: str
    slower: _Bound
    primary: bool = False
    tasks: str = "*"


class _Check(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    against: str | None = None
    cannot_tell: Literal["pass", "fail"] = Field("pass", alias="cannot-tell")
    drift: _Bound = "5%"
    trajectory: Literal["fail", "ignore"] = "fail"
    limit: list[_Limit] = Field(default_factory=list)
    margin: list[_Margin] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Budgets:
    """What a run is held to."""

    path: Path
    limits: tuple[Limit, ...]
    margins: tuple[Margin, ...]
    against: str | None
    cannot_tell: str
    drift: float
    trajectory: str


def find_budgets(folder: Path) -> Path:
    """The file of the project: in this folder or the nearest one above that has it.

    Raises:
        UsageError: there is none.
    """
    for each in (folder, *folder.parents):
        if (each / FILE).is_file():
            return each / FILE
        project = each / "pyproject.toml"
        if project.is_file() and "check" in _read(project).get("tool", {}).get("profiler", {}):
            return project
    raise UsageError(
        f"there is no {FILE} here or above, and no [tool.profiler.check] in a pyproject.toml",
        remedy=f"write one, or name it with --config; {_SHAPE}",
    )


def load_budgets(path: Path) -> Budgets:
    """Read and check a file of budgets.

    Raises:
        UsageError: missing, not TOML, empty, or with names, units or bounds that make no sense.
    """
    raw: Any = _read(path)
    if path.name == "pyproject.toml":
        raw = raw.get("tool", {}).get("profiler", {})
    if not isinstance(raw, Mapping) or "check" not in raw:
        raise UsageError(f"{path} has no table [check]", remedy=_SHAPE)
    try:
        found = _Check.model_validate(raw["check"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "check"
        raise UsageError(f"{path}: {where}: {first['msg']}", remedy=_SHAPE) from error
    limits = tuple(each for entry in found.limit for each in _limits(path, entry))
    margins = tuple(_margin(path, entry) for entry in found.margin)
    if not limits and not margins:
        raise UsageError(f"{path} has no limit and no margin: there is nothing to check", remedy=_SHAPE)
    _check_consistent(path, limits, margins)
    if len(margins) == 1:
        margins = (Margin(margins[0].metric, margins[0].margin, primary=True, tasks=margins[0].tasks),)
    return Budgets(
        path, limits, margins, found.against, found.cannot_tell, _share(path, "drift", found.drift), found.trajectory
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", remedy="check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", remedy=_SHAPE) from error


def _limits(path: Path, entry: _Limit) -> list[Limit]:
    if entry.metric not in metrics():
        raise UsageError(f"{path}: there is no metric {entry.metric!r}", remedy=_suggest(entry.metric, metrics()))
    if entry.max is None and entry.min is None:
        raise UsageError(f"{path}: the limit on {entry.metric} has neither max nor min", remedy=_SHAPE)
    bounds = [None if each is None else _value(path, entry.metric, each) for each in (entry.max, entry.min)]
    most, least = bounds
    found = [] if most is None else [Limit(entry.metric, at_most=most, tasks=entry.tasks)]
    return found if least is None else [*found, Limit(entry.metric, at_least=least, tasks=entry.tasks)]


def _margin(path: Path, entry: _Margin) -> Margin:
    if entry.metric not in COMPARED:
        raise UsageError(
            f"{path}: there is no margin on {entry.metric!r}", remedy=_suggest(entry.metric, list(COMPARED))
        )
    return Margin(entry.metric, _share(path, entry.metric, entry.slower), primary=entry.primary, tasks=entry.tasks)


def _check_consistent(path: Path, limits: Sequence[Limit], margins: Sequence[Margin]) -> None:
    for one in limits:
        for other in limits:
            same = (one.metric, one.tasks) == (other.metric, other.tasks)
            if same and one.at_least is not None and other.at_most is not None and one.at_least > other.at_most:
                raise UsageError(f"{path}: {one.metric} cannot be at least and at most that", remedy="mend one of them")
    names = [(each.metric, each.tasks) for each in margins]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: {twice[0][0]} has two margins", remedy="leave one, or name other tasks")
    if sum(each.primary for each in margins) > 1:
        raise UsageError(f"{path}: several margins are primary", remedy="one decides; leave primary off the others")


def _value(path: Path, metric: str, given: str | float) -> float:
    """A bound in the unit of its metric: nanoseconds, a share, or a number."""
    value = _converted(path, metric, given)
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{path}: {metric} = {given!r} is no bound", remedy="a finite number that is not negative")
    return value


def _converted(path: Path, metric: str, given: str | float) -> float:
    name = metric.partition(".")[0]
    if name in SHARES:
        return _share(path, metric, given)
    if name in COUNTS:
        try:
            return float(given)
        except ValueError as error:
            raise UsageError(f"{path}: {metric} is a number, not {given!r}", remedy="such as max = 6") from error
    text = str(given).strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzµ").strip()
    unit = text[len(number) :].strip()
    try:
        value = float(number)
    except ValueError as error:
        raise UsageError(f"{path}: {metric} is a time, not {given!r}", remedy='such as max = "300 ms"') from error
    if unit not in _UNITS or name not in TIMES:
        said = f"has the unit {unit!r}" if unit else "has no unit"
        raise UsageError(f"{path}: {metric} = {given!r} {said}", remedy=_suggest(unit, list(_UNITS)))
    return value * _UNITS[unit]


def _share(path: Path, name: str, given: str | float) -> float:
    text = str(given).strip()
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise UsageError(f"{path}: {name} is a share, not {given!r}", remedy='such as "5%"') from error
    if not 0 <= value <= 1 or (not text.endswith("%") and value == 1 and name not in SHARES):
        raise UsageError(f"{path}: {name} = {given!r} is not from 0% to 100%", remedy='write it with %: "5%"')
    return value


def _suggest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
