"""A whole search as people call it: 1,000 combinations × 100,000 bars, every trial kept, judged.

    ./dev run python benchmarks/search.py

`optimise` calls the strategy for each combination, runs it in compiled code on all cores, keeps
daily returns and figures, and computes the deflated Sharpe ratio, the probability of overfitting
and the reality check of all trials together.
"""

import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from alphintra.engine.series import Bars
from alphintra.research.search import optimise
from alphintra.sdk import indicators, param, vectorised
from benchmarks.backtest import walk

BARS = 100_000
REPEATS = 3
SEARCH = {"fast": "5:44", "slow": "50:170:5"}


@vectorised
def sma_cross(
    bars: Bars, *, fast: int = param(10, 2, 200), slow: int = param(50, 2, 400)
) -> object:
    """Long while the fast average is above the slow one."""
    closes = {"close": bars.close}
    above = (
        indicators.compute("SMA", closes, timeperiod=fast)["real"]
        > indicators.compute("SMA", closes, timeperiod=slow)["real"]
    )
    weights = np.full(len(above), np.nan)
    turns = np.flatnonzero(above[1:] != above[:-1]) + 1
    weights[turns] = above[turns]
    return weights


def main() -> None:
    bars = walk(BARS, 7)
    for compute in ("inline", "local"):
        seconds = []
        for number in range(REPEATS + 1):
            began_s = time.perf_counter()
            found = optimise(sma_cross, bars, search=SEARCH, costs=0.001, cash=1e6, compute=compute)
            if number > 0:  # the first compiles or loads
                seconds.append(time.perf_counter() - began_s)
        rates = sorted(len(found.trials) / second for second in seconds)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(
            f"search {compute}: {len(found.trials):,} combinations × {BARS:,} bars, judged:"
            f" {statistics.median(rates):,.0f} combinations/s"
            f" ({rates[0]:,.0f} to {rates[-1]:,.0f}),"
            f" peak {peak / 1024:,.0f} MB, of a worker {child / 1024:,.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
