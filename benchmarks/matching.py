"""How fast the market simulator is. Prints one line per figure: the median of several runs.

    python benchmarks/matching.py [--events 1000000] [--runs 5]

"far" orders rest where the price does not come. "refilled" orders lie around the price, and each
fill is answered by an order on the other side, three ticks away, so their number stays the same.
Time is processor time of the one thread that works, so that a busy machine does not blur it.

2026-11-22, 2 virtual cores (Xeon, AVX-512), busy with other work, Python 3.11, Numba 0.68, 300,000
events, median of 3: quotes 35, 32 and 29 M/s with 0, 10 and 1,000 far orders; prints 26, 15 and
16 M/s; bars 31, 12 and 9 M/s; quotes with 2, 10 and 1,000 refilled orders 29, 11 and 0.11 M/s; a
quote and a market order that takes it 4.1 M/s.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from alphintra.core.ids import OrderId
from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.core.market_data import Quote
from alphintra.core.orders import OrderType, Side
from alphintra.engine import (
    NEVER_NS,
    NO_PRICE,
    UNKNOWN_SIZE,
    Book,
    Kind,
    Lifetime,
    compiled,
    new_book,
    steps,
)
from alphintra.engine import Side as Row
from alphintra.engine.layout import SLOT_MASK
from alphintra.trading.paper import PaperVenue
from alphintra.trading.venue import VenueOrder

MIDDLE = 1_000_000
BUY = int(Row.BUY)


def walk(events: int) -> NDArray[np.int64]:
    """Return a price in ticks that wanders by one tick or none, back towards the middle."""
    rng = np.random.default_rng(7)
    noise = np.cumsum(rng.integers(-1, 2, events))
    # Folded, so that it stays within 20 ticks of the middle.
    return (MIDDLE + np.abs((noise + 20) % 80 - 40) - 20).astype(np.int64)


def book_with(orders: int, nearest: int, step: int) -> Book:
    """Return a book with limits on both sides of the middle."""
    book = new_book(max(8, orders))
    for index in range(orders):
        side = index % 2
        distance = nearest + step * (index // 2)
        price = MIDDLE - distance if side == Row.BUY else MIDDLE + distance
        steps.submit(
            book, side, int(Kind.LIMIT), 1, price, NO_PRICE, 0, 0, int(Lifetime.REST), 0,
            NEVER_NS, 0,
        )  # fmt: skip
    return book


@compiled
def quotes(book: Book, price: NDArray[np.int64]) -> int:
    """Run quotes through the book; return the fills."""
    fills = 0
    for index in range(len(price)):
        middle = price[index]
        fills += steps.on_quote(book, middle - 1, middle + 1, UNKNOWN_SIZE, UNKNOWN_SIZE, index)
    return fills


@compiled
def trades(book: Book, price: NDArray[np.int64]) -> int:
    """Run prints through the book; return the fills."""
    fills = 0
    for index in range(len(price)):
        fills += steps.on_trade(book, price[index], UNKNOWN_SIZE, index)
    return fills


@compiled
def bars(book: Book, price: NDArray[np.int64]) -> int:
    """Run bars through the book; return the fills."""
    fills = 0
    for index in range(len(price)):
        middle = price[index]
        fills += steps.on_bar(
            book, middle, middle + 2, middle - 2, middle + 1, UNKNOWN_SIZE, index, index + 1
        )
    return fills


@compiled
def refilled_quotes(book: Book, price: NDArray[np.int64]) -> int:
    """As `quotes`, but each fill places an order three ticks away on the other side."""
    fills = 0
    for index in range(len(price)):
        middle = price[index]
        bid, ask = middle - 1, middle + 1
        count = steps.on_quote(book, bid, ask, UNKNOWN_SIZE, UNKNOWN_SIZE, index)
        for number in range(count):
            fills += 1
            filled = book.orders[book.events[number]["handle"] & SLOT_MASK]["side"]
            limit = middle + 3 if filled == BUY else middle - 3
            steps.submit(
                book, 1 - filled, Kind.LIMIT.value, 1, limit, NO_PRICE, 0, 0,
                Lifetime.REST.value, 0, NEVER_NS, index,
            )  # fmt: skip
    return fills


@compiled
def market_orders(book: Book, price: NDArray[np.int64]) -> int:
    """A quote, and a market order that takes it; return the fills."""
    fills = 0
    for index in range(len(price)):
        middle = price[index]
        steps.on_quote(book, middle - 1, middle + 1, UNKNOWN_SIZE, UNKNOWN_SIZE, index)
        steps.submit(
            book, index % 2, Kind.MARKET.value, 1, NO_PRICE, NO_PRICE, 0, 0, Lifetime.REST.value,
            0, NEVER_NS, index,
        )  # fmt: skip
        fills += 1
    return fills


def median_s(runs: int, prepare: Callable[[], Any], run: Callable[[Any], object]) -> float:
    """Return the median time of `run` on what `prepare` made, in seconds."""
    run(prepare())
    times = []
    for _ in range(runs):
        prepared = prepare()
        started = time.process_time()
        run(prepared)
        times.append(time.process_time() - started)
    return statistics.median(times)


def engine_figures(events: int, runs: int) -> None:
    price = walk(events)
    for name, run in (("quotes", quotes), ("trades", trades), ("bars", bars)):
        for orders in (0, 10, 1_000):
            prepare = partial(book_with, orders, 1_000, 1)
            seconds = median_s(runs, prepare, partial(run, price=price))
            print(f"{name}, {orders} far orders: {events / seconds:,.0f} events/s")
    for orders in (2, 10, 1_000):
        prepare = partial(book_with, orders, 2, 1)
        filled = refilled_quotes(prepare(), price)
        seconds = median_s(runs, prepare, partial(refilled_quotes, price=price))
        rate = f"{events / seconds:,.0f} events/s"
        print(f"quotes, {orders} refilled orders: {rate}, {filled / events:.2f} fills a quote")
    seconds = median_s(runs, new_book, partial(market_orders, price=price))
    print(f"quote and market order: {events / seconds:,.0f} pairs/s")


def venue_figures(runs: int) -> None:
    acme = Instrument(
        symbol=Symbol("ACME"),
        name="Acme",
        asset_class=AssetClass.EQUITY,
        base=Asset("ACME"),
        quote=Asset("USD"),
        tick_size=Decimal("0.01"),
        lot_size=Decimal(1),
    )
    tick = Quote(0, Decimal("99.99"), Decimal("100.01"), Decimal(100), Decimal(100))
    rounds = 10_000

    def venue(*resting: VenueOrder) -> PaperVenue:
        opened = PaperVenue({"ACME": acme})
        opened.on_market_data("ACME", tick)
        for order in resting:
            opened.submit(order)
        return opened

    def order(number: int, price: str) -> VenueOrder:
        return VenueOrder(
            order_id=OrderId(UUID(int=number)),
            symbol="ACME",
            side=Side.BUY,
            type=OrderType.LIMIT,
            quantity=Decimal(10),
            price=Decimal(price),
            accepted_ns=0,
        )

    def show(opened: PaperVenue) -> None:
        for _ in range(rounds):
            opened.on_market_data("ACME", tick)

    def fill(opened: PaperVenue) -> None:
        for one in taking:
            opened.on_market_data("ACME", tick)
            opened.submit(one)

    taking = [order(number, "101") for number in range(1, rounds + 1)]
    seconds = median_s(runs, venue, show)
    print(f"paper venue, quote of a symbol without orders: {seconds / rounds * 1e6:.2f} µs")
    seconds = median_s(runs, partial(venue, order(0, "90")), show)
    print(f"paper venue, quote of a symbol with an order: {seconds / rounds * 1e6:.2f} µs")
    seconds = median_s(runs, venue, fill)
    print(f"paper venue, quote, order and fill: {seconds / rounds * 1e6:.2f} µs")


def main() -> None:
    arguments = argparse.ArgumentParser(description="Measure the market simulator.")
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--runs", type=int, default=5)
    chosen = arguments.parse_args()
    engine_figures(chosen.events, chosen.runs)
    venue_figures(chosen.runs)


if __name__ == "__main__":
    main()
