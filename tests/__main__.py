"""All checks, in the order in which they fail fastest: lint, format, types, tests, and the gate on the sample agents.

python -m tests [pytest arguments]
"""

import subprocess
import sys
from pathlib import Path

# The real engine takes both cores and is shared by its tests: they run one after the other.
TESTS = (
    [["pytest", *sys.argv[1:]]]
    if sys.argv[1:]
    else [
        ["pytest", "-q", "-m", "not engine and not live and not slow", "-n", "3", "--dist", "loadgroup"],
        ["pytest", "-q", "-m", "slow"],
        ["pytest", "-q", "-m", "live and not engine and not timed", "-n", "3", "--dist", "loadgroup"],
        ["pytest", "-q", "-m", "timed"],
        ["pytest", "-m", "engine"],
        ["tests.own_gate"],
    ]
)
CHECKS = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], *TESTS)


def main() -> int:
    for check in CHECKS:
        print("+", *check, flush=True)
        code = subprocess.run([sys.executable, "-m", *check], cwd=Path(__file__).parents[1], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
