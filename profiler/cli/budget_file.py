"""The limits and margins of a project: `profiler.toml`, or `[tool.profiler]` in `pyproject.toml`.

[check]
against = "main"            # a baseline or a run's folder
cannot-tell = "pass"        # or "fail"

[[check.limit]]
metric = "chain_time.p95"
max = "4 s"
tasks = "car-*"             # and tags, agents

[[check.margin]]
metric = "time_per_step"
slower = "5%"
primary = true
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from profiler.cli.bounds import factor, points, share, suggest, value_of
from profiler.compare.budgets import Limit, Margin, Selection
from profiler.compare.vocabulary import COUNTS, LESS_IS_WORSE, QUANTILES, SHARES, TIMES, margin_metrics, metrics
from profiler.errors import UsageError

FILE = "profiler.toml"
_SHAPE = "docs/check.md shows what it may hold"


def _no_boolean(given: object) -> object:
    """A boolean would count as the number 1."""
    if isinstance(given, bool):
        msg = "true and false are no bound"
        raise ValueError(msg)  # noqa: TRY004 - pydantic takes it for a finding
    return given


_Bound = Annotated[str | float | int, BeforeValidator(_no_boolean)]
_Pattern = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    metric: str
    tasks: _Pattern = "*"
    tags: _Pattern | None = None
    agents: _Pattern = "*"

    @property
    def of(self) -> Selection:
        return Selection(self.tasks, self.tags, self.agents)


class _Limit(_Entry):
    max: _Bound | None = None
    min: _Bound | None = None


class _Margin(_Entry):
    slower: _Bound | None = None
    more: _Bound | None = None
    fewer: _Bound | None = None
    primary: bool = False


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
    for other in raw:
        if other != "check":  # `[[limit]]` for `[[check.limit]]` would hold nothing to anything
            name = other if path.name != "pyproject.toml" else f"tool.profiler.{other}"
            raise UsageError(
                f"{path}: {name} is in no table that is read", remedy=f"all of it belongs below check; {_SHAPE}"
            )
    try:
        found = _Check.model_validate(raw["check"])
    except ValidationError as error:
        raise _misshapen(path, error) from error
    limits = tuple(each for entry in found.limit for each in _limits(path, entry))
    margins = tuple(_margin(path, entry) for entry in found.margin)
    if not limits and not margins:
        raise UsageError(f"{path} has no limit and no margin: there is nothing to check", remedy=_SHAPE)
    _check_limits(path, limits)
    _check_margins(path, margins)
    if len(margins) == 1:
        margins = (replace(margins[0], primary=True),)
    drift = share(f"{path}: drift", found.drift)
    if drift >= 1:
        raise UsageError(f"{path}: drift = {found.drift!r} excludes nothing", remedy='such as drift = "5%"')
    return Budgets(path, limits, margins, found.against, found.cannot_tell, drift, found.trajectory)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", remedy="check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", remedy=_SHAPE) from error


def _misshapen(path: Path, error: ValidationError) -> UsageError:
    """The first thing that is wrong with its shape, and the near name of a key that is not known."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "check"
    said, remedy = first["msg"], _SHAPE
    if first["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"limit": _Limit, "margin": _Margin}
        model = models.get(str(first["loc"][0]), _Check)
        keys = [field.alias or name for name, field in model.model_fields.items()]
        said = "there is no such key"
        if near := difflib.get_close_matches(str(first["loc"][-1]), keys, n=1, cutoff=0.5):
            remedy = f"did you mean {near[0]}? {_SHAPE}"
    return UsageError(f"{path}: {where}: {said}", remedy=remedy)


def _limits(path: Path, entry: _Limit) -> list[Limit]:
    if entry.metric not in metrics():
        raise UsageError(f"{path}: there is no metric {entry.metric!r}", remedy=_suggest_metric(entry.metric))
    if entry.max is None and entry.min is None:
        raise UsageError(f"{path}: the limit on {entry.metric} has neither max nor min", remedy=_SHAPE)
    most, least = (
        None if each is None else value_of(f"{path}: {entry.metric}", entry.metric, each)
        for each in (entry.max, entry.min)
    )
    found = [] if most is None else [Limit(entry.metric, at_most=most, of=entry.of)]
    return found if least is None else [*found, Limit(entry.metric, at_least=least, of=entry.of)]


def _margin(path: Path, entry: _Margin) -> Margin:
    metric = entry.metric
    if metric not in margin_metrics():
        raise UsageError(f"{path}: there is no margin on {metric!r}", remedy=_suggest_margin(metric))
    given = {name: value for name in ("slower", "more", "fewer") if (value := getattr(entry, name)) is not None}
    key = "fewer" if metric in LESS_IS_WORSE else "more" if metric in (*SHARES, *COUNTS) else "slower"
    example = f'such as {key} = "{"5 points" if metric in SHARES else "5%"}"'
    if not given:
        raise UsageError(f"{path}: the margin on {metric} does not say how much", remedy=example)
    if len(given) > 1:
        raise UsageError(f"{path}: the margin on {metric} has {' and '.join(given)}", remedy=f"one of them, {example}")
    ((name, value),) = given.items()
    if ("fewer" in (name, key) and name != key) or (metric in SHARES and name == "slower"):
        raise UsageError(f"{path}: {metric} has no {name!r}: worse is {_WORSE[key]}", remedy=example)
    read = points if metric in SHARES else factor
    return Margin(metric, read(f"{path}: {metric}", value), primary=entry.primary, of=entry.of)


_WORSE = {"fewer": "less", "more": "more", "slower": "longer"}


def _check_limits(path: Path, limits: Sequence[Limit]) -> None:
    for number, one in enumerate(limits):
        for other in limits[number + 1 :]:
            if (one.metric, one.of) == (other.metric, other.of) and (one.at_most is None) == (other.at_most is None):
                raise UsageError(
                    f"{path}: {one.name} is limited twice", remedy="leave one, or name other tasks, tags or agents"
                )
        for other in limits:
            least, most = one.at_least, other.at_most
            if least is not None and most is not None and least > most and _is_below(one, other):
                names = one.name if one.metric == other.metric else f"{one.name} and {other.name}"
                raise UsageError(f"{path}: {names} cannot be at least and at most that", remedy="mend one of them")


def _is_below(one: Limit, other: Limit) -> bool:
    """Whether the first can by its nature not be above the second: the same, or a lower quantile of it."""
    (name, _, kind), (whole, _, end) = (each.metric.partition(".") for each in (one, other))
    order = [*QUANTILES, "mean", "max"] if name in TIMES else ["mean", "max"]
    if name != whole or one.of != other.of:
        return False
    return kind == end or (kind in order and end in order and order.index(kind) <= order.index(end))


def _check_margins(path: Path, margins: Sequence[Margin]) -> None:
    names = [(each.metric, each.of) for each in margins]
    twice = [each for each in margins if names.count((each.metric, each.of)) > 1]
    if twice:
        raise UsageError(
            f"{path}: {twice[0].name} has two margins", remedy="leave one, or name other tasks, tags or agents"
        )
    several = [each for each in margins if each.primary]
    for number, one in enumerate(several):
        for other in several[number + 1 :]:
            if "*" in (one.of.agents, other.of.agents) or one.of.agents == other.of.agents:
                raise UsageError(
                    f"{path}: several margins are primary: {one.name}, {other.name}",
                    remedy="one decides; leave primary off the others",
                )


def _suggest_metric(name: str) -> str:
    """What it may have been; of a time without its quantile, the quantiles."""
    given = name.partition(".")[0]
    own = [each for each in metrics() if each.partition(".")[0] == given]
    if own:
        return f"it is {', '.join(own[:-1])} or {own[-1]}" if len(own) > 1 else f"it is {own[0]}"
    bases = list(dict.fromkeys(each.partition(".")[0] for each in metrics()))
    return suggest(name, metrics(), shown=bases)


def _suggest_margin(name: str) -> str:
    given = name.partition(".")[0]
    if given in margin_metrics() and given != name:
        tails = [each for each in margin_metrics() if each.partition(".")[0] == given and each != given]
        return f"it is {', '.join([given, *tails])}" if tails else f"it is {given}, without a quantile"
    return suggest(name, margin_metrics())
