"""A git revision of the agent's repository, in a worktree of its own, with an environment that suits it.

Where the files that name dependencies are those of the working tree, the present interpreter is taken; otherwise an
environment is made once for each set of such files, with the profiler and what they ask for, and kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import filelock

from profiler.ab.side import Place
from profiler.engines.cache import cache_root
from profiler.errors import DataError, UsageError

_NAMES: Final = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements.txt",
    "constraints.txt",
    "uv.lock",
    "poetry.lock",
)
_SETTINGS: Final = ("black", "coverage", "isort", "mypy", "profiler", "pyright", "pytest", "ruff")
_COMPLETE: Final = ".complete"
_DISTRIBUTION: Final = "agent-chain-profiler"
_SEE: Final = "see git log"
_DISTRUST: Final = "dubious ownership"  # of containers, whose user is not the one who checked out
SHALLOW: Final = "the clone is shallow: fetch the revision (git fetch --unshallow; fetch-depth: 0 of actions/checkout)"
_LAST_LINES: Final = 12
_SHORT: Final = 12


@dataclass(frozen=True)
class Revision:
    """A revision that is checked out.

    Attributes:
        place: where to run it.
        agent: the agent's file there.
        commit: its full name.
        as_now: no file that the repository keeps differs from the working tree's.
    """

    place: Place
    agent: Path
    commit: str
    as_now: bool = False


def commit_of(folder: Path, revision: str) -> str | None:
    """The full name of a revision of the repository that a folder is in; None if there is no such thing, or no git.

    Raises:
        UsageError: git refuses to read the repository: what it has is not known.
    """
    try:
        top = _git(folder, "rev-parse", "--show-toplevel", whose="")
        return _commit(Path(top), revision)
    except UsageError as error:
        if _DISTRUST in (error.details or ""):
            raise UsageError(
                f"git does not read the repository of {folder}: it belongs to another user",
                remedy="let it: git config --global --add safe.directory FOLDER",
                details=error.details,
            ) from error
        return None


def is_shallow(folder: Path) -> bool:
    """Whether the repository was cloned without its history, as CI does: revisions may be missing that there are."""
    with suppress(UsageError):
        return _git(folder, "rev-parse", "--is-shallow-repository", whose="") == "true"
    return False


@contextmanager
def checked_out(agent: Path, revision: str, progress: Callable[[str], None]) -> Iterator[Revision]:
    """The agent's file as it was at a revision.

    Args:
        agent: the file as it is now.
        revision: anything that git takes for a commit.
        progress: takes a line of what is going on.

    Raises:
        UsageError: no repository, no such revision, or no such agent in it.
        DataError: its environment cannot be made.
    """
    top = Path(_git(agent.parent, "rev-parse", "--show-toplevel", whose=f"{agent} is in no git repository"))
    commit = _commit(top, revision)
    inside = _within(agent, top)
    folder = Path(tempfile.mkdtemp(prefix="profiler-ab-"))
    tree = folder / commit[:_SHORT]
    try:
        _git(top, "worktree", "add", "--detach", str(tree), commit, whose="cannot make a worktree")
        if (tree / ".gitmodules").is_file():
            progress("fetching its submodules")
            _git(
                tree, "submodule", "update", "--init", "--recursive", whose=f"cannot fetch the submodules of {revision}"
            )
        if not (tree / inside).is_file():
            raise UsageError(
                f"there is no {inside} at {revision} ({commit[:_SHORT]})",
                remedy="name the agent as it was called then with --agent in that SPEC, or another revision",
            )
        here = Path.cwd().resolve()
        below = here.relative_to(top.resolve()) if here.is_relative_to(top.resolve()) else Path()
        cwd = tree / below if (tree / below).is_dir() else tree
        python = _interpreter(top, tree, progress)
        path = os.pathsep.join(filter(None, [*map(str, _import_path(top, tree)), os.environ.get("PYTHONPATH")]))
        as_now = not _git(top, "diff", "--name-only", commit, "--", whose="cannot look for changes")
        yield Revision(Place(python, cwd, {"PYTHONPATH": path}), tree / inside, commit, as_now)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(UsageError):
            _git(top, "worktree", "prune", whose="cannot tidy up")


def names(folder: Path) -> list[str]:
    """Branches and tags of the repository that a folder is in, if any."""
    with suppress(UsageError):
        kinds = ["refs/heads", "refs/tags", "refs/remotes"]
        return _git(folder, "for-each-ref", "--format=%(refname:short)", *kinds, whose="").split()
    return []


def _commit(top: Path, revision: str) -> str:
    named = ["--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    remedy = SHALLOW if is_shallow(top) else _SEE
    return _git(top, "rev-parse", *named, whose=f"{top} has no revision {revision!r}", remedy=remedy)


def _import_path(top: Path, tree: Path) -> list[Path]:
    """Where a revision's modules are: its root, `src`, and its own of what is imported from the working tree.

    An editable installation, or a PYTHONPATH, names folders of the working tree. Behind those of the revision they do
    not matter; without them the revision would run today's modules, and both sides would be the same code.
    """
    root = top.resolve()
    imported = [Path(each).resolve() for each in sys.path if each]
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):  # setuptools' finder of packages that are on no path
            imported += [Path(each).resolve().parent for each in getattr(module, "MAPPING", {}).values()]
    inside = [each.relative_to(root) for each in imported if each.is_relative_to(root)]
    found = dict.fromkeys(tree / each for each in (Path(), Path("src"), *inside))
    return [each for each in found if each.is_dir()]


def _within(agent: Path, top: Path) -> Path:
    real = agent.resolve()
    if not real.is_relative_to(top.resolve()):
        raise UsageError(
            f"{agent} is a link to {real}, which is not in the repository {top}: its revisions have no such file",
            remedy="name an agent that the repository keeps",
        )
    return real.relative_to(top.resolve())


def _git(folder: Path, *arguments: str, whose: str, remedy: str = _SEE) -> str:
    git = shutil.which("git")
    if git is None:
        raise UsageError("revisions need git, and there is none", remedy="install git")
    command, environ = [git, "-C", str(folder), *arguments], {**os.environ, "LC_ALL": "C"}  # its words are looked at
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise UsageError(whose, remedy=remedy, details=done.stderr.strip()[-1000:])
    return done.stdout.strip()


def _interpreter(top: Path, tree: Path, progress: Callable[[str], None]) -> str:
    now, then = _dependencies(top), _dependencies(tree)
    if now == then:
        return sys.executable
    asked = {"python": sys.version, "profiler": _profiler(), "files": then}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_root() / "revisions" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / _COMPLETE).exists():
            progress(f"its dependencies differ from the working tree's: making an environment in {folder}")
            _build(folder, tree)
    return str(folder / "bin" / "python")


def _dependencies(folder: Path) -> dict[str, str]:
    """The files that name dependencies, with their contents."""
    found = {}
    for name in _NAMES:
        path = folder / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            found[name] = _without_settings(text) if name == "pyproject.toml" else text
    return found


def _without_settings(project: str) -> str:
    """A pyproject.toml without tables of tools that install nothing: another line length needs no new environment."""
    try:
        read = tomllib.loads(project)
    except tomllib.TOMLDecodeError:
        return project
    tools = read.pop("tool", {})
    read["tool"] = {name: table for name, table in tools.items() if name not in _SETTINGS}
    return json.dumps(read, sort_keys=True, default=str)


def _profiler() -> str:
    """What pip is to install as the profiler: the checkout that is in use, or the released version."""
    source = Path(__file__).parents[2]
    if (source / "pyproject.toml").is_file():
        return str(source)
    return f"{_DISTRIBUTION}=={metadata.version(_DISTRIBUTION)}"


def _build(folder: Path, tree: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], "make an environment")
    wanted: list[str] = [] if _is_profiler(tree) else [_profiler()]
    if (tree / "requirements.txt").is_file():
        wanted += ["-r", str(tree / "requirements.txt")]
    if (tree / "pyproject.toml").is_file() or (tree / "setup.py").is_file():
        wanted.append(str(tree))
    if (tree / "constraints.txt").is_file():
        wanted += ["-c", str(tree / "constraints.txt")]
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", *wanted]
    _run(install, "install what the revision needs")
    (folder / _COMPLETE).touch()


def _is_profiler(tree: Path) -> bool:
    return (tree / "profiler" / "ab" / "side.py").is_file()


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise DataError(f"cannot {what}", remedy="the last lines say why", details=last)
