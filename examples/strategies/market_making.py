"""Make a market on a recorded order book: one quote on each side, leaning against what is held.

    python examples/strategies/market_making.py BOOK.parquet TRADES.parquet --tick 0.1 --lot 0.001

Ten times a second it looks at the book as it was seen, with the recording's own latency, and places
post-only limits. They wait in the queue behind what stood at their price before. The function
`make_market` is compiled by Numba, so hundreds of thousands of changes take a moment.
"""

import argparse
from math import ceil, floor

import pyarrow.parquet as pq

from alphintra.engine.depth import RECORDED, Depth, DepthSimulation, DepthTerms, desk, tape_of
from alphintra.market.datasets import read_trades

LOOK_EVERY_NS = 100_000_000
ENTRY_NS = 5_000_000
#: Half of the distance between our quotes, in ticks, and lots of each.
HALF_SPREAD_TICKS = 10
LOTS = 10
#: More than this is never held, and so many ticks it moves our quotes when it is reached.
MOST_LOTS = 50
LEAN_TICKS = 20


def make_market(view, d):  # type: ignore[no-untyped-def]  # Numba finds out the types
    """Take back what stands elsewhere; quote around a middle that leans against the position."""
    bid, ask = desk.best_bid(view), desk.best_ask(view)
    if bid <= 0 or ask <= bid:
        return
    held = d.state[0]["position_lots"]
    middle = (bid + ask) / 2 - LEAN_TICKS * held / MOST_LOTS
    # Never at a price that would take: the market maker earns by waiting.
    buy_at = min(floor(middle - HALF_SPREAD_TICKS), ask - 1)
    sell_at = max(ceil(middle + HALF_SPREAD_TICKS), bid + 1)
    buys = sells = False
    for place in range(d.state[0]["working"]):
        order_id = d.working[place]
        order = d.orders[order_id]
        if order["cancel_sent"]:
            continue
        if order["side"] == 0 and order["price_ticks"] == buy_at:
            buys = True
        elif order["side"] == 1 and order["price_ticks"] == sell_at:
            sells = True
        else:
            desk.cancel(d, order_id)
    if not buys and held + LOTS <= MOST_LOTS:
        desk.quote(d, 0, buy_at, LOTS)
    if not sells and held - LOTS >= -MOST_LOTS:
        desk.quote(d, 1, sell_at, LOTS)


def simulate(
    book: str, trades: str, *, tick_size: float, lot_size: float, maker_rate: float = 0.0
) -> DepthSimulation:
    """Run the market maker over a recording and return the simulation as it stands at the end."""
    table = pq.read_table(book)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    depth = Depth.of_columns("BOOK", columns)
    tape, _ = tape_of(
        depth,
        read_trades(trades, "BOOK"),
        tick_size=tick_size,
        lot_size=lot_size,
        feed_ns=RECORDED,
        resync=True,
    )
    terms = DepthTerms(
        tick_size=tick_size, lot_size=lot_size, maker_rate=maker_rate, entry_ns=ENTRY_NS
    )
    simulation = DepthSimulation(tape, terms)
    simulation.run(make_market, every_ns=LOOK_EVERY_NS)
    return simulation


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a market on a recorded order book.")
    parser.add_argument("book", help="snapshots and changes: ts, recv_ts, kind, side, price, size")
    parser.add_argument("trades", help="prints of the same venue: ts, price, size, side")
    parser.add_argument("--tick", type=float, required=True, help="step of the price")
    parser.add_argument("--lot", type=float, required=True, help="step of the quantity")
    parser.add_argument("--maker", type=float, default=0.0, help="fee rate; negative: a rebate")
    given = parser.parse_args()
    simulation = simulate(
        given.book, given.trades, tick_size=given.tick, lot_size=given.lot, maker_rate=given.maker
    )
    _, equity = simulation.equity_curve()
    print(f"orders    {len(simulation.orders())}")
    print(f"fills     {len(simulation.fills())}")
    print(f"position  {simulation.position} lots")
    print(f"fees      {simulation.fees:.4f}")
    print(f"earned    {equity[-1]:.4f}")


if __name__ == "__main__":
    main()
