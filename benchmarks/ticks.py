"""How fast quotes and trades go through the portfolio simulator. Prints one line per figure.

    python benchmarks/ticks.py [--events 1000000] [--runs 5]

Real ticks of `ALPHINTRA_TEST_DATA`, repeated to the number of events. The
compiled run turns its position around every 1,000 events; the strategy in Python is called at every
event, and sends a limit order every 1,000. Time is processor time; the tape is made beforehand.

2026-11-22, 2 virtual cores, busy with other work, 1,000,000 events, median of 3: compiled: quotes
6 (BTCUSDT) and 15 M/s (EURUSD), trades 25 M/s; Python called at each: quotes 1.0, trades 1.4 M/s.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import recordings

from alphintra.engine.portfolio import Simulation
from alphintra.engine.series import Quotes, Trades
from alphintra.research.backtest import Market, prepare, run
from alphintra.sdk import Quote, Strategy, Trade

DATA = recordings.folder()
EVERY = 1_000
CASH = 10_000_000.0


class Quoter(Strategy):
    """Sees every event, and now and then sends a limit order at the other side of the last one."""

    def setup(self) -> None:
        self.seen = 0

    def on_quote(self, quote: Quote) -> None:
        self.act(quote.bid, quote.ask)

    def on_trade(self, trade: Trade) -> None:
        self.act(trade.price, trade.price)

    def act(self, bid: float, ask: float) -> None:
        self.seen += 1
        if self.seen % EVERY == 0:
            if self.seen % (2 * EVERY):
                self.buy(1, limit=bid)
            else:
                self.sell(1, limit=ask)


def columns(path: str, events: int) -> dict[str, np.ndarray]:
    """Return the columns of a file over and over, each time later."""
    table = pq.read_table(DATA / path)
    column = {name: table.column(name).to_numpy() for name in table.column_names}
    ts_ns = column["ts"].astype("datetime64[ns]").astype(np.int64)
    times = -(-events // len(ts_ns))
    shift = np.repeat(np.arange(times) * (ts_ns[-1] - ts_ns[0] + 1), len(ts_ns))
    repeated = {name: np.tile(values, times)[:events] for name, values in column.items()}
    return {**repeated, "ts_ns": (np.tile(ts_ns, times) + shift)[:events]}


def quotes(path: str, events: int) -> Quotes:
    column = columns(path, events)
    unknown = np.full(events, np.nan)
    return Quotes(
        "X", column["ts_ns"], column["bid"], column["ask"],
        column.get("bid_size", unknown), column.get("ask_size", unknown),
    )  # fmt: skip


def trades(path: str, events: int) -> Trades:
    column = columns(path, events)
    side = np.zeros(events, np.int8)
    return Trades("X", column["ts_ns"], column["price"], column["size"], side)


def measure(title: str, market: Market, go: Callable[[], int], runs: int) -> None:
    figures = []
    for turn in range(runs + 1):
        began = time.thread_time()
        fills = go()
        if turn:  # the first one compiles
            figures.append(len(market.tape) / (time.thread_time() - began) / 1e6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{title}: {statistics.median(figures):.2f} M/s"
        f" ({min(figures):.2f} to {max(figures):.2f}), {fills:,} fills, {peak} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    for name, series in (
        (
            "quotes BTCUSDT",
            quotes("quotes/BTCUSDT_binance-spot_bbo_20240808.parquet", given.events),
        ),
        ("quotes EURUSD", quotes("quotes/EURUSD_tick_oanda-lean.parquet", given.events)),
        ("trades SPY", trades("trades/SPY_20131007_lean.parquet", given.events)),
    ):
        price = series.price[0] if isinstance(series, Trades) else series.ask[0]
        market = prepare([series], cash=CASH)
        targets = np.full(len(market.tape), np.nan)
        weight = 1.5 * price / CASH  # one unit, so that what is offered is enough
        targets[::EVERY] = np.where(np.arange(len(targets[::EVERY])) % 2, weight, -weight)

        def compiled(market: Market = market, targets: np.ndarray = targets) -> int:
            simulation = Simulation(market.tape, market.terms, market.account)
            simulation.run_targets(targets)
            return len(simulation.fills())

        def called(market: Market = market) -> int:
            return len(run(Quoter, market, {}).simulation.fills())

        measure(f"{name}, compiled", market, compiled, given.runs)
        measure(f"{name}, Python called at each", market, called, given.runs)


if __name__ == "__main__":
    main()
