"""The work that all engines do: a cross of two moving averages on a random walk of minute bars.

It needs only NumPy, so that every engine's environment can import it.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FAST, SLOW = 10, 50
FEE = 0.001
#: So much that the fees of 27,000 fills leave enough for the last one.
CASH = 1e16
#: Sizes of the averages of a sweep: 1,000 pairs, fast below slow.
SWEEP = [(fast, slow) for fast in range(5, 45, 2) for slow in range(50, 150, 2)]

Columns = dict[str, NDArray[np.float64]]


def minute_bars(count: int, seed: int = 7) -> Columns:
    """Return open, high, low, close, volume of a random walk, prices in cents."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.0005, count)))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 0.0001, count))
    reach = np.abs(rng.normal(0, 0.0003, (2, count)))
    high = np.maximum(open_, close) * (1 + reach[0])
    low = np.minimum(open_, close) * (1 - reach[1])
    columns = {"open": open_, "high": high, "low": low, "close": close}
    rounded = {name: np.round(values, 2) for name, values in columns.items()}
    return {**rounded, "volume": rng.integers(1_000, 10_000, count).astype(np.float64)}


def report(run: Callable[[], int], times: int) -> None:
    """Run once to compile, then some times; print seconds, what was filled and the peak memory.

    Args:
        run: does the work and returns the number of fills.
    """
    fills = run()
    seconds = []
    for _ in range(times):
        began_s = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began_s)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump({"seconds": seconds, "fills": fills, "peak_mb": peak_mb}, sys.stdout)


def loaded(path: str) -> Columns:
    """Read what `saved` wrote."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def saved(columns: Columns, path: Path) -> None:
    np.savez(path, **columns)  # type: ignore[arg-type]  # NumPy's stub takes no mapping
