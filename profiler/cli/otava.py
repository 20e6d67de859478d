"""A second opinion on a series: Apache Otava, a program of its own.

It wants versions of numpy and scipy that are older than ours, so it lives in another environment and is handed files:
`pipx install apache-otava`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from profiler.errors import BackendUnavailable, UsageError

if TYPE_CHECKING:
    from profiler.trend.changes import Opinion, Trend

_TIMEOUT_S: Final = 120
_TEST: Final = "series"


def program(named: str) -> str:
    """Where Otava is.

    Raises:
        UsageError: nowhere.
    """
    found = shutil.which(named)
    if found is None:
        raise UsageError(
            f"there is no program {named}",
            remedy="install it into an environment of its own: pipx install apache-otava; or give its path",
        )
    return found


def ask(otava: str, trend: Trend) -> list[Opinion]:
    """The changes that Otava finds in a series' figures, with its own settings.

    Raises:
        BackendUnavailable: it fails, hangs, or answers something else than its JSON.
    """
    from profiler.report.trend_csv import render_csv

    complete = [figure for figure in trend.figures if len(figure.runs) == len(trend.series.runs)]
    if len(trend.series.runs) < 2 or not complete:  # noqa: PLR2004
        return []
    with tempfile.TemporaryDirectory(prefix="profiler-otava-") as folder:
        data, config = Path(folder) / "series.csv", Path(folder) / "otava.yaml"
        data.write_text(render_csv([trend]), encoding="utf-8")
        metrics = {
            figure.metric.name: {"column": figure.metric.name, "direction": -figure.metric.worse} for figure in complete
        }
        test = {"type": "csv", "file": str(data), "time_column": "time", "attributes": ["number"], "metrics": metrics}
        config.write_text(json.dumps({"tests": {_TEST: test}}), encoding="utf-8")  # JSON is YAML
        command = [otava, "analyze", _TEST, "--config-file", str(config), "--since", "1970-01-01", "--output", "json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BackendUnavailable(f"{otava} did not work: {error}") from error
    return _read(otava, done)


def _read(otava: str, done: subprocess.CompletedProcess[str]) -> list[Opinion]:
    start = done.stdout.find("{")
    try:
        answer = json.loads(done.stdout[start:]) if start >= 0 else {}
        return [_opinion(group, change) for group in answer[_TEST] for change in group["changes"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BackendUnavailable(
            f"{otava} answered something else than a list of changes (exit code {done.returncode})",
            details="\n".join((done.stderr or done.stdout).splitlines()[-5:]),
            remedy="0.8 is the version that was tried; without --with the trend is shown alone",
        ) from error


def _opinion(group: Mapping[str, Any], change: Mapping[str, Any]) -> Opinion:
    from profiler.trend.changes import Opinion

    return Opinion(
        str(change["metric"]),
        int(group["attributes"]["number"]),
        float(change["forward_change_percent"]),
        float(change["pvalue"]),
    )
