"""Strategies in plain Python: a hook for every bar, of one symbol and of fifty, and every quote.

    ./dev run python benchmarks/callbacks.py

The bars are a cross of two averages that the hook compares itself, long or flat, market orders at
the next open, a fee of 0.1 %, whole units; the quotes have a limit order every thousand. Timed: the
run over prepared data. Each figure is the median of five runs.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from alphintra.research.backtest import Market, play, prepare
from alphintra.sdk import Bar, Bars, Quote, Quotes, Strategy
from benchmarks.backtest import walk

REPEATS = 5


class Cross(Strategy):
    """Long while the fast average is above the slow one."""

    def setup(self) -> None:
        self.fast = self.indicator("SMA", timeperiod=10)
        self.slow = self.indicator("SMA", timeperiod=50)
        self.share = 1 / len(self.symbols)
        self.above = dict.fromkeys(self.symbols, False)

    def on_bar(self, bar: Bar) -> None:
        above = self.fast.now > self.slow.now
        if above is not self.above[bar.symbol]:
            self.above[bar.symbol] = above
            self.target_weight(self.share if above else 0.0)


class Quoting(Strategy):
    """Joins the bid, then the ask, every thousand quotes."""

    def setup(self) -> None:
        self.count = 0

    def on_quote(self, quote: Quote) -> None:
        self.count += 1
        if self.count % 2000 == 0:
            self.buy(1, limit=quote.bid)
        elif self.count % 1000 == 0:
            self.sell(1, limit=quote.ask)


def quotes(count: int) -> Quotes:
    """Return quotes of a random walk, a cent to each side."""
    random = np.random.default_rng(3)
    middle = np.round(1000 + np.cumsum(random.choice([-0.01, 0.0, 0.01], count)), 2)
    at = 1_000_000 * np.arange(count, dtype=np.int64)
    size = np.full(count, 100.0)
    return Quotes("A", at, np.round(middle - 0.01, 2), np.round(middle + 0.01, 2), size, size)


def measure(name: str, strategy: type[Strategy], make: Callable[[], Market]) -> None:
    """Run a strategy several times and print one line."""
    market = make()
    play(strategy, market, {})  # compiled code is loaded
    rates = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        simulation, _ = play(strategy, market, {})
        rates.append(len(market.tape) / (time.perf_counter() - began))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:<44} {statistics.median(rates) / 1e6:6.2f} M/s "
        f"({min(rates) / 1e6:.2f} to {max(rates) / 1e6:.2f}), "
        f"{len(simulation.fills()):,} fills, peak {peak_mb:,.0f} MB",
        flush=True,
    )


def bars(symbols: int, count: int) -> list[Bars]:
    """Return bars of several random walks."""
    return [walk(count, seed, f"S{seed}") for seed in range(symbols)]


def main() -> None:
    one = prepare(bars(1, 1_000_000), cash=1e9, costs=0.001)
    measure("on_bar, 1 symbol, 1,000,000 bars", Cross, lambda: one)
    fifty = prepare(bars(50, 20_000), cash=1e9, costs=0.001)
    measure("on_bar, 50 symbols, 1,000,000 bars", Cross, lambda: fifty)
    ticks = prepare([quotes(1_000_000)], cash=1e6)
    measure("on_quote, 1,000,000 quotes", Quoting, lambda: ticks)


if __name__ == "__main__":
    main()
