"""`vllm bench serve`, for a vLLM whose own console script fails: builds of the package under another name.

python vllm_bench.py OPTIONS OF vllm bench serve
"""

from __future__ import annotations

from vllm.benchmarks.serve import add_cli_args, main  # type: ignore[import-not-found, unused-ignore]
from vllm.utils.argparse_utils import FlexibleArgumentParser  # type: ignore[import-not-found, unused-ignore]

if __name__ == "__main__":
    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    main(parser.parse_args())
