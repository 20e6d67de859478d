"""Profiles: the numbers of one engine on one machine, from a TOML file that says where they come from.

    profiler/engines/sim/profiles/*.toml    those that are called by name
    any other file                          called by its path

Times are microseconds there, because people write them. A field that is unknown is refused: a misspelt one would
otherwise leave its default in force unnoticed.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from profiler.errors import UsageError

_MOST_BYTES = 2**20
DEFAULT_PROFILE = "cpu-tiny"

Micros = Annotated[float, Field(ge=0, le=60_000_000, allow_inf_nan=False)]
"""Up to a minute, in microseconds."""
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Profile(BaseModel):
    """What the time model goes by. `scheduler.py` says what each number does."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Text
    """The file's name without its ending; not in the file."""
    title: Text
    source: Text
    """Where the numbers come from, in a sentence: measured, derived or made up."""
    dialect: Literal["vllm", "tgi", "ollama", "openai", "llama.cpp"]
    mode: Literal["batched", "independent"] = "batched"
    """`independent`: each request has an engine to itself, with no queue and no prefix cache."""

    max_model_tokens: int = Field(ge=2, le=10_000_000)
    """Prompt and output of one request together."""
    max_running: int = Field(ge=1, le=100_000)
    max_concurrent: int | None = Field(default=None, ge=1)
    """Requests inside the engine beyond which the server refuses more; None queues them. The time model ignores it."""
    max_step_tokens: int = Field(ge=1)
    """Tokens that one step computes at most."""
    chunked_prefill: bool
    """Whether a prompt may be spread over steps."""
    prefix_caching: bool
    block_tokens: int = Field(ge=1, le=4096)
    blocks: int = Field(ge=1, le=10_000_000)

    load_us: Micros = 0.0
    """Loading the model, in dialects of servers that do so when it is needed."""
    frontend_us: Micros = 0.0
    """Arrival until the scheduler's queue: parsing, chat template, tokenising."""
    step_us: Annotated[Micros, Field(ge=1)]
    """Of each step, whatever is in it."""
    per_sequence_us: Micros = 0.0
    """Per decoding sequence in the step."""
    per_context_token_us: Micros = 0.0
    """Per token that a decoding sequence looks back at."""
    per_prompt_us: Micros = 0.0
    """Per prompt, or part of one, in the step."""
    per_prompt_token_us: Micros = 0.0
    """Per prompt token that is computed; those from the prefix cache are not."""

    step_cv: float = Field(default=0.0, ge=0, le=5, allow_inf_nan=False)
    """Coefficient of variation of a token's noise."""
    tail_probability: float = Field(default=0.0, ge=0, le=1)
    """That a token stalls its step."""
    tail_us: Micros = 0.0
    """The mean stall; lengths are exponential."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.max_step_tokens < self.max_running:
            raise ValueError("max_step_tokens is below max_running, so not every sequence could get a token in a step")
        if self.blocks * self.block_tokens < self.max_model_tokens:
            raise ValueError("blocks times block_tokens is below max_model_tokens, so a request could never fit")
        return self


def profile_names() -> list[str]:
    """The profiles that come with the program, in order of the alphabet."""
    return sorted(entry.name.removesuffix(".toml") for entry in _shipped().iterdir() if entry.name.endswith(".toml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """A profile that comes with the program, or one from a file.

    Args:
        name_or_path: a text that ends in `.toml` or has a folder in it is a path, any other a name.

    Raises:
        UsageError: no such profile or file, or one that does not hold a profile; names file and field.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1 or isinstance(name_or_path, Path):
        return _parsed(_read(path), path.stem, str(path))
    name = str(name_or_path)
    names = profile_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "a file of your own is named by a path that ends in .toml"
        raise UsageError(f"there is no profile {name!r}", remedy=f"there are: {', '.join(names)}; {hint}")
    return _parsed((_shipped() / f"{name}.toml").read_bytes(), name, f"{name}.toml")


def _shipped() -> resources.abc.Traversable:
    return resources.files("profiler.engines.sim") / "profiles"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)  # a device has no end
    except OSError as error:
        remedy = "name a file, or one of: " + ", ".join(profile_names())
        raise UsageError(f"cannot read the profile {path}: {error.strerror}", remedy=remedy) from error


def _parsed(data: bytes, name: str, where: str) -> Profile:
    try:
        raw: dict[str, Any] = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not a profile: it is not UTF-8 text") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{where} is not TOML: {error}", remedy=_REMEDY) from error
    if "name" in raw:
        raise UsageError(f"{where} is not a profile: name: it is the file's own name", remedy="leave the field out")
    try:
        return Profile.model_validate({**raw, "name": name})
    except ValidationError as error:
        raise UsageError(f"{where} is not a profile: {_first(error)}", remedy=_REMEDY) from error


_REMEDY = "start from a copy of one that comes with the program: every field is explained in cpu-tiny.toml"


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, Profile.model_fields, n=1)
        return f"{field}: there is no such field" + (f" (did you mean {near[0]}?)" if near else "")
    if first["type"] == "missing":
        return f"{field}: it is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
