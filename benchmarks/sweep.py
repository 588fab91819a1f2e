"""A sweep in compiled code: 1,000 pairs of averages on 100,000 bars, one and two threads.

    ./dev run python benchmarks/sweep.py

Each combination is a whole run with orders at the next open and a fee of 0.1 %, of which the final
equity, Sharpe's sums, the drawdown, round trips and fees are kept. The averages are computed once
for each length, and timed.
"""

import os
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from alphintra.engine.portfolio import AccountTerms, Costs, Sweep, SymbolTerms, tape_of
from benchmarks.backtest import averages, walk

BARS = 100_000
REPEATS = 5


def main() -> None:
    bars = walk(BARS, 7)
    terms = SymbolTerms(symbol="A", costs=Costs(rate=0.001))
    tape = tape_of([bars], [terms])
    fast, slow = np.arange(5, 45), np.arange(50, 175, 5)
    lengths = [*fast.tolist(), *slow.tolist()]
    pairs = np.array([(i, len(fast) + j) for i in range(len(fast)) for j in range(len(slow))])
    account = AccountTerms(cash={"USD": 1e6})
    for threads in (1, os.cpu_count() or 1):
        seconds, fills = [], 0
        for number in range(REPEATS + 1):
            began_s = time.perf_counter()
            lines = np.stack([averages(bars.close, length) for length in lengths])
            swept = Sweep(tape, terms, account, threads=threads).crosses(lines, pairs)
            if number > 0:  # the first compiles or loads
                seconds.append(time.perf_counter() - began_s)
            fills = int(swept["fills"].sum())
        rates = sorted(len(pairs) / second for second in seconds)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{len(pairs):,} combinations × {BARS:,} bars, {fills:,} fills, {threads} threads:"
            f" {statistics.median(rates):,.0f} combinations/s"
            f" ({rates[0]:,.0f} to {rates[-1]:,.0f}), peak {peak:,.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
