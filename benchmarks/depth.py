"""How fast order books with depth are replayed. Prints one line per figure.

    python benchmarks/depth.py [--events 1000000] [--runs 5] [--recording NAME]

It replays the recordings of `ALPHINTRA_TEST_DATA`, repeated to the number of
events: level changes and trades, as they come from the venue. "nobody" has no orders; "one quote a
side" is the market maker that comes with the engine; "five a side, all replaced" cancels all its
orders and sends ten others at each call, which makes 77,000 orders. Each calls its strategy every
100 ms. With latency, a second book is kept: the one that the strategy sees. Time is processor time
of the thread that works; making the tape from columns is told apart.

2026-11-22, 2 virtual cores, busy with other work, 1,000,000 events, median of 3: BTCUSDT perpetual,
one quote a side: 33 M/s, with latency 24 M/s; five a side, all replaced: 5 M/s. BTCUSDT spot, whose
ticks are ten times as fine: one quote a side 14 M/s, with latency 9.5 M/s.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import recordings

from alphintra.engine import NO_PRICE, Side, compiled
from alphintra.engine.depth import (
    RECORDED,
    Depth,
    DepthSimulation,
    DepthTerms,
    Desk,
    Ladder,
    Tape,
    quote_with_skew,
    tape_of,
)
from alphintra.engine.depth.desk import best_ask, best_bid, cancel, quote
from alphintra.engine.depth.series import nanoseconds
from alphintra.engine.series import Trades

DATA = recordings.folder()
#: Tick and lot of each recording.
RECORDINGS = {
    "BTCUSDT-perp_binance_20240808": (0.1, 0.001),
    "BTCUSDT_binance-spot_20240808": (0.01, 0.00001),
}
EVERY_NS = 100_000_000
LATENCY_NS = 2_000_000


@compiled
def watch(view: Ladder, desk: Desk) -> None:
    """Do nothing."""


@compiled
def replace_all(view: Ladder, desk: Desk) -> None:
    """Cancel everything and quote five prices on each side."""
    bid, ask = best_bid(view), best_ask(view)
    for place in range(desk.state[0]["working"]):
        cancel(desk, desk.working[place])
    if bid == NO_PRICE or ask == NO_PRICE:
        return
    lots = int(desk.parameters[2])
    for step in range(5):
        quote(desk, Side.BUY, bid - step, lots)
        quote(desk, Side.SELL, ask + step, lots)


def read(name: str) -> tuple[Depth, Trades, np.ndarray]:
    """Return the book, the trades and when those were received."""
    book = pq.read_table(DATA / "l2" / f"{name}.parquet")
    depth = Depth.of_columns("BTCUSDT", {c: book.column(c).to_numpy() for c in book.column_names})
    prints = pq.read_table(DATA / "trades" / f"{name}.parquet")
    column = {c: prints.column(c).to_numpy() for c in prints.column_names}
    side = np.where(column["side"] == "buy", 1, -1).astype(np.int8)
    trades = Trades("BTCUSDT", nanoseconds(column["ts"]), column["price"], column["size"], side)
    return depth, trades, nanoseconds(column["recv_ts"])


def repeated(tape: Tape, events: int) -> Tape:
    """Return the tape over and over, each time later; its first snapshot replaces the book."""
    times = -(-events // len(tape.what))
    length = int(tape.seen_ns[-1] - tape.venue_ns[0]) + EVERY_NS
    shift = np.repeat(np.arange(times) * length, len(tape.what))[:events]
    return Tape(
        venue_ns=np.tile(tape.venue_ns, times)[:events] + shift,
        seen_ns=np.tile(tape.seen_ns, times)[:events] + shift,
        what=np.tile(tape.what, times)[:events],
        rank=np.tile(tape.rank, times)[:events],
        lots=np.tile(tape.lots, times)[:events],
        prices=tape.prices,
    )


def spread(values: list[float]) -> str:
    low, high = min(values) / 1e6, max(values) / 1e6
    return f"{statistics.median(values) / 1e6:5.1f} M/s ({low:.1f} to {high:.1f})"


def measure(
    title: str,
    tape: Tape,
    terms: DepthTerms,
    strategy: Callable[[Ladder, Desk], None],
    runs: int,
) -> None:
    parameters = (1.0, 20.0, 0.01 / terms.lot_size, 0.1 / terms.lot_size)
    figures = []
    for run in range(runs + 1):
        simulation = DepthSimulation(tape, terms, parameters=parameters)
        began = time.thread_time()
        simulation.run(strategy, every_ns=EVERY_NS)
        if run:  # the first one compiles
            figures.append(len(tape.what) / (time.thread_time() - began))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    orders, fills = len(simulation.orders()), len(simulation.fills())
    print(f"{title}: {spread(figures)}, {orders:,} orders, {fills:,} fills, {peak} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--recording", choices=RECORDINGS, action="append")
    given = parser.parse_args()
    for name in given.recording or RECORDINGS:
        tick, lot = RECORDINGS[name]
        depth, trades, receipts = read(name)
        for feed_ns, entry_ns, words in (
            (0, 0, "no latency"),
            (RECORDED, LATENCY_NS, "latency of the feed as recorded, of orders 2 ms"),
        ):
            began = time.thread_time()
            tape, _ = tape_of(
                depth, trades, tick_size=tick, lot_size=lot, feed_ns=feed_ns,
                trades_recv_ns=receipts,
            )  # fmt: skip
            if feed_ns != 0:  # compiled by the first one
                made = len(tape.what) / (time.thread_time() - began) / 1e6
                print(f"{name}: tape from columns {made:.1f} M/s")
            tape = repeated(tape, given.events)
            terms = DepthTerms(
                tick_size=tick, lot_size=lot, maker_rate=-0.00005, taker_rate=0.0004,
                entry_ns=entry_ns, response_ns=entry_ns,
            )  # fmt: skip
            for title, strategy in (
                ("nobody", watch),
                ("one quote a side", quote_with_skew),
                ("five a side, all replaced", replace_all),
            ):
                measure(f"{name}, {words}, {title}", tape, terms, strategy, given.runs)


if __name__ == "__main__":
    main()
