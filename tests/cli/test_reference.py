"""The documented command line is the real one, and help is quick to come by."""

from __future__ import annotations

import subprocess
import sys

from cli_helpers import ROOT


def test_the_reference_is_up_to_date():
    command = [sys.executable, "-m", "profiler.cli.reference"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == made, "run: python -m profiler.cli.reference > docs/cli.md"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from profiler.cli import main; main(['--help']); main(['run', '--help']);"
        "heavy = {'pandas', 'langchain_core', 'opentelemetry.sdk', 'scipy', 'httpx', 'pydantic'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "profiler run agents/react.py --backend vllm" in done.stdout
