"""The benchmarks are programs, not a package: their folder is put on the path, behind everything else."""

import sys
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path += [str(_FOLDER), str(_FOLDER / "peers")]
