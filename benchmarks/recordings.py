"""Where the recorded market data is that some benchmarks replay."""

import os
import sys
from pathlib import Path


def folder() -> Path:
    """Return the folder that `ALPHINTRA_TEST_DATA` names; end the benchmark where there is none."""
    named = os.environ.get("ALPHINTRA_TEST_DATA", "")
    if not Path(named or "/nonexistent").is_dir():
        print("not measured: ALPHINTRA_TEST_DATA names no folder of recorded market data")
        sys.exit(0)
    return Path(named)
