"""The work in Alphintra. Run by compare.py: BARS.npz MODE RUNS, where the mode also tells the form:
one-alphintra-compiled, one-alphintra-python, sweep-alphintra-compiled.
"""

import sys

import numpy as np
from work import CASH, FAST, FEE, SLOW, SWEEP, loaded, report

from alphintra import indicators
from alphintra.engine.series import Bars, Floats
from alphintra.research.backtest import Market, backtest_on, evaluate, prepare
from alphintra.sdk import Bar, Strategy, param, vectorised

MINUTE_NS = 60_000_000_000
#: What is kept of each run of the sweep: as much as of the peers'.
FIGURES = ("final_capital", "sharpe_ratio", "max_drawdown", "total_trades", "total_fills")


@vectorised
def sma_cross(
    bars: Bars, *, fast: int = param(FAST, 2, 400), slow: int = param(SLOW, 3, 400)
) -> Floats:
    """All in from a cross upwards to the next cross downwards."""
    close = {"close": bars.close}
    above = (
        indicators.compute("SMA", close, timeperiod=fast)["real"]
        > indicators.compute("SMA", close, timeperiod=slow)["real"]
    )
    weights = np.full(len(bars), np.nan)
    crossed = np.flatnonzero(above[slow:] != above[slow - 1 : -1]) + slow
    weights[crossed] = above[crossed]
    return weights


class SmaCross(Strategy):
    """The same, bar by bar."""

    fast = param(FAST, 2, 400)
    slow = param(SLOW, 3, 400)

    def setup(self) -> None:
        self.fast_line = self.indicator("SMA", timeperiod=self.fast)
        self.slow_line = self.indicator("SMA", timeperiod=self.slow)
        self.above: bool | None = None

    def on_bar(self, bar: Bar) -> None:
        slow = self.slow_line.now
        above = self.fast_line.now > slow
        if above is self.above or slow != slow:  # NaN until there are enough bars
            return
        if self.above is not None:
            self.target_weight(1.0 if above else 0.0)
        self.above = above


def market(path: str) -> Market:
    columns = loaded(path)
    open_ns = np.arange(len(columns["close"]), dtype=np.int64) * MINUTE_NS
    return prepare(
        [Bars(symbol="WALK", open_ns=open_ns, close_ns=open_ns + MINUTE_NS, **columns)],
        cash=CASH,
        costs=FEE,
    )


prepared = market(sys.argv[1])
mode, runs = sys.argv[2], int(sys.argv[3])


def one() -> int:
    strategy = SmaCross if mode.endswith("python") else sma_cross
    return len(backtest_on(strategy, prepared).fills)


def sweep() -> int:
    sets = [{"fast": fast, "slow": slow} for fast, slow in SWEEP]
    found = evaluate(sma_cross, prepared.series, sets, cash=CASH, costs=FEE, figures=FIGURES)
    return int(sum(one["total_fills"] for one in found))


report(one if mode.startswith("one") else sweep, runs)
