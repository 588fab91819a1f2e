"""A market maker that leans against its inventory. All compiled."""

from math import ceil, floor
from typing import Final

from alphintra.engine.compile import compiled
from alphintra.engine.depth.desk import best_ask, best_bid, cancel, quote
from alphintra.engine.depth.layout import NO_ORDER, Desk, Ladder
from alphintra.engine.layout import NO_PRICE, Side

#: Places in `desk.parameters` of `quote_with_skew`.
HALF_SPREAD_TICKS: Final = 0
SKEW_TICKS: Final = 1
QUOTE_LOTS: Final = 2
POSITION_LOTS_MAX: Final = 3


@compiled
def quote_with_skew(view: Ladder, desk: Desk) -> None:
    """Keep one quote on each side, around a middle that moves against what we hold.

    Parameters, in this order: half the spread in ticks; by how many ticks a full inventory moves
    the middle; lots of a quote; the largest position in lots.
    """
    bid, ask = best_bid(view), best_ask(view)
    if bid == NO_PRICE or ask == NO_PRICE or bid >= ask:
        return
    terms = desk.parameters
    lots, most = int(terms[QUOTE_LOTS]), int(terms[POSITION_LOTS_MAX])
    position = desk.state[0]["position_lots"]
    middle = (bid + ask) / 2 - terms[SKEW_TICKS] * position / most
    ours = min(floor(middle - terms[HALF_SPREAD_TICKS]), ask - 1)
    theirs = max(ceil(middle + terms[HALF_SPREAD_TICKS]), bid + 1)
    keep_quote(desk, Side.BUY, ours, lots if position + lots <= most else 0)
    keep_quote(desk, Side.SELL, theirs, lots if position - lots >= -most else 0)


@compiled
def keep_quote(desk: Desk, side: int, price_ticks: int, lots: int) -> None:
    """Let exactly one quote of a side stand, at this price; none when there are no lots."""
    found = NO_ORDER
    for place in range(desk.state[0]["working"]):
        order_id = desk.working[place]
        order = desk.orders[order_id]
        if order["side"] != side or order["cancel_sent"]:
            continue
        if lots > 0 and found == NO_ORDER and order["price_ticks"] == price_ticks:
            found = order_id
        else:
            cancel(desk, order_id)
    if lots > 0 and found == NO_ORDER:
        quote(desk, side, price_ticks, lots)
