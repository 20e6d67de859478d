"""Run pip in an environment under the supervisor: nothing of it survives Ctrl-C or the profiler's death.

Some requirements must not be installed (`Build.left_out`), and pip has no option for that. So the package itself
is installed without its requirements, these are read from its metadata, and what remains is handed to pip, which
resolves it as always.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from profiler.engines.builds import Build
from profiler.engines.model import Progress
from profiler.engines.process import SupervisedProcess
from profiler.engines.scratch import scratch_folder
from profiler.engines.startlog import tail
from profiler.errors import EngineUnavailable

POLL_S = 0.2
SAY_EVERY_S = 8.0
MIN_APART_S = 3.0
READ_LIMIT_S = 60.0
LOG_LINES_SHOWN = 12
_UNRESOLVED = re.compile(r"No matching distribution found|Could not find a version that satisfies|ResolutionImpossible")
_WORKS_AGAINST_A_VENV = {
    "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV",
    "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"
}  # fmt: skip
_HINTS = (
    (
        r"ensurepip is not\s+available|No module named (?:ensurepip|venv)",
        "Install your system's python3-venv package.",
    ),
    (r"No space left on device", "Free some disk space, or set PROFILER_CACHE_DIR and TMPDIR to another disk."),
    (
        r"Temporary failure in name resolution|Failed to establish a new connection|ReadTimeout|ConnectTimeout",
        "The package index cannot be reached: check the network, proxy and pip configuration.",
    ),
    (r"No matching distribution found", "No wheel fits this system: run `profiler engine doctor`."),
)
# Run by the environment's own pip: requirements of an installed package that apply here, one JSON list.
_READ = """
import importlib.metadata, json, sys
from pip._vendor.packaging.requirements import Requirement
found = []
for text in importlib.metadata.requires(sys.argv[1]) or []:
    r = Requirement(text)
    if r.marker is None or r.marker.evaluate({"extra": ""}):
        r.marker = None
        found.append([r.name.lower().replace("_", "-"), str(r)])
print(json.dumps(found))
"""


class Installer:
    """The steps of one installation, with one log and one clock."""

    def __init__(self, path: Path, log: Path, progress: Progress) -> None:
        """`path` is the environment, which the first step makes."""
        self.path = path
        self.log = log
        self.progress = progress
        self._began = time.monotonic()
        self._python = str(path / "bin" / "python")

    def elapsed_s(self) -> float:
        """Since the first step."""
        return time.monotonic() - self._began

    def run(self, command: Sequence[str], what: str) -> None:
        """One program to its end.

        Raises:
            EngineUnavailable: it failed; shows the end of its output.
        """
        if not self._finish(command, what):
            raise self._failure(what)

    def pip(self, arguments: Sequence[str], build: Build) -> None:
        """Run pip; where its configured indexes lack something, once more with the build's own index."""
        # compiling all modules takes longer than the engine's first start, which compiles those that it imports
        command = [self._python, "-m", "pip", *arguments, "--no-compile", "--progress-bar", "off"]
        what = "resolving what is needed"
        mark = self.log.stat().st_size
        if self._finish(command, what):
            return
        unresolved = _UNRESOLVED.search(self._since(mark))
        if not unresolved or build.extra_index is None:
            raise self._failure("pip")
        self.progress(f"not found through pip's configuration; trying {build.extra_index} too")
        if not self._finish([*command, "--extra-index-url", build.extra_index], what):
            raise self._failure("pip")

    def install_without(self, build: Build) -> None:
        """The package and its requirements, but for those that are left out."""
        skipped = {*build.left_out, *build.unfolded}
        wanted: dict[str, None] = {}
        packages = [f"{build.package}=={build.version}"]
        while packages:
            self.pip(["install", "--no-deps", *packages], build)
            found = [pair for package in packages for pair in self._requirements(package)]
            wanted.update((text, None) for name, text in found if name not in skipped)
            packages = list(dict.fromkeys(text for name, text in found if name in build.unfolded))
        listing = self.path / "requirements.txt"
        listing.write_text("\n".join(sorted(wanted)) + "\n", encoding="utf-8")
        if wanted:
            self.pip(["install", "--requirement", str(listing)], build)

    def remove(self, packages: Sequence[str]) -> None:
        """Take out what came in after all, as a requirement of a requirement."""
        if packages:
            self.run([self._python, "-m", "pip", "uninstall", "--yes", *packages], "removing what does harm")

    def _requirements(self, package: str) -> list[tuple[str, str]]:
        name = re.split(r"[^\w.-]", package, maxsplit=1)[0]
        try:
            result = subprocess.run(
                [self._python, "-I", "-c", _READ, name],
                capture_output=True,
                text=True,
                timeout=READ_LIMIT_S,
                stdin=subprocess.DEVNULL,
                check=True,
            )
            return [(pair[0], pair[1]) for pair in json.loads(result.stdout)]
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise EngineUnavailable(
                f"cannot read the requirements of {name}: {error}",
                details=getattr(error, "stderr", None),
            ) from error

    def _finish(self, command: Sequence[str], what: str) -> bool:
        environment = {name: value for name, value in os.environ.items() if name not in _WORKS_AGAINST_A_VENV}
        environment |= {"PYTHONUNBUFFERED": "1", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        mark = self.log.stat().st_size
        scratch = scratch_folder(sockets=False)  # pip leaves what it has unpacked when it is ended
        process = SupervisedProcess(
            command,
            env={**environment, "TMPDIR": str(scratch)},
            cwd=self.log.parent,
            log_path=self.log,
            grace_s=5.0,
            scratch=scratch,
        )
        try:
            said, said_at = "", -SAY_EVERY_S
            while process.death() is None:
                words = activity(self._since(mark).splitlines()) or what
                now = self.elapsed_s()
                if now - said_at >= SAY_EVERY_S or (words != said and now - said_at >= MIN_APART_S):
                    self.progress(f"installing … {now:.0f} s: {words}")
                    said, said_at = words, now
                time.sleep(POLL_S)
        finally:
            process.stop()
        return process.exit_code == 0

    def _since(self, mark: int) -> str:
        with self.log.open("rb") as file:
            file.seek(max(mark, file.seek(0, 2) - 64 * 1024))
            return file.read().decode("utf-8", errors="replace")

    def _failure(self, what: str) -> EngineUnavailable:
        lines = tail(self.log, 400)
        text = "\n".join(lines)
        hint = next((hint for pattern, hint in _HINTS if re.search(pattern, text)), None)
        return EngineUnavailable(
            f"installing the engine failed at: {what}",
            remedy=f"{hint + ' ' if hint else ''}The whole log: {self.log}",
            details="\n".join([line for line in lines if line.strip()][-LOG_LINES_SHOWN:]),
        )


def activity(lines: Sequence[str]) -> str | None:
    """What pip is doing, from the last of its lines that says so: `downloading torch (191.8 MB)`."""
    for line in reversed(lines):
        text = line.strip()
        if text.startswith("Installing collected packages"):
            return f"unpacking {text.count(',') + 1} packages"
        match = re.match(r"Downloading (\S+?)(?:-[\d.]+\S*)?(?: \(([^)]+)\))?$", text)
        if match:
            name = match[1].rsplit("/", 1)[-1]
            return f"downloading {name}" + (f" ({match[2]})" if match[2] else "")
        match = re.match(r"Collecting ([\w.-]+)", text)
        if match:
            return f"resolving {match[1]}"
        match = re.match(r"(?:Processing|Using cached) \S*?([\w.]+)-\d\S*", text)
        if match:
            return f"reading {match[1]}"
    return None
