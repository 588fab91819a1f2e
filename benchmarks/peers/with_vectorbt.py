"""The work in vectorbt. Run by compare.py where it is installed: BARS.npz MODE RUNS."""

import sys

import numpy as np
import pandas as pd
import vectorbt as vbt
from work import CASH, FAST, FEE, SLOW, SWEEP, loaded, report

columns = loaded(sys.argv[1])
mode, runs = sys.argv[2], int(sys.argv[3])
# A plain index: with times as its index vectorbt is many times slower.
close, open_ = pd.Series(columns["close"]), columns["open"]
#: So many pairs go into a call: more need several gigabytes and are not faster.
CHUNK = 4


def averages(windows: list[int]) -> dict[int, pd.Series]:
    return {window: close.rolling(window).mean() for window in sorted(set(windows))}


def portfolio(pairs: list[tuple[int, int]], lines: dict[int, pd.Series]) -> vbt.Portfolio:
    above = np.column_stack([(lines[fast] > lines[slow]).to_numpy() for fast, slow in pairs])
    valid = np.column_stack([lines[slow].notna().to_numpy() for _, slow in pairs])
    before = np.vstack([above[:1] & False, above[:-1]])
    seen = np.vstack([valid[:1] & False, valid[:-1]])
    entries, exits = above & ~before & seen, ~above & before
    # Filled at the open of the bar after the signal.
    shifted = [np.vstack([signal[:1] & False, signal[:-1]]) for signal in (entries, exits)]
    return vbt.Portfolio.from_signals(
        pd.DataFrame(np.repeat(columns["close"][:, None], len(pairs), axis=1)),
        *(pd.DataFrame(signal) for signal in shifted),
        price=open_[:, None], fees=FEE, init_cash=CASH,
    )  # fmt: skip


def one() -> int:
    held = portfolio([(FAST, SLOW)], averages([FAST, SLOW]))
    held.value()
    return int(held.orders.count().sum())


def sweep() -> int:
    lines = averages([window for pair in SWEEP for window in pair])
    fills = 0
    for start in range(0, len(SWEEP), CHUNK):
        held = portfolio(SWEEP[start : start + CHUNK], lines)
        held.total_return()
        held.max_drawdown()
        fills += int(held.orders.count().sum())
    return fills


report(one if mode == "one" else sweep, runs)
