"""The opening and the closing auction of one book: when its orders wake, and what they meet.

Every function here is compiled. An order that waits for its auction is dormant, like a stop that
waits for its price; `wakes_ns` is the time of the auction.
"""

from alphintra.engine.chain import expire_orders, finish, move_to_end, rouse
from alphintra.engine.compile import part
from alphintra.engine.layout import NEVER_NS, NO_PRICE, NO_SLOT, Book, Lifetime, Side, Source
from alphintra.engine.matching import match


@part
def is_due(book: Book, ts_ns: int) -> bool:
    """Say that an order may have its auction, or expire, up to this time."""
    state = book.state[0]
    return bool(state["open_orders"] > 0 and state["expires_fence_ns"] <= ts_ns)


@part
def open_auction(
    book: Book, buy_ticks: int, sell_ticks: int, eligible_ns: int, until_ns: int
) -> None:
    """Wake the orders whose opening auction is the moment at hand.

    Args:
        buy_ticks, sell_ticks: what the moment offers; who finds nobody waits on.
        eligible_ns: only orders accepted up to here.
        until_ns: and only those whose session has opened up to here.
    """
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        price = buy_ticks if order["side"] == Side.BUY else sell_ticks
        if (
            order["dormant"]
            and order["lifetime"] == Lifetime.OPG
            and order["wakes_ns"] <= until_ns
            and order["accepted_ns"] <= eligible_ns
            and price != NO_PRICE
        ):
            rouse(book, slot)
        slot = order["next"]


@part
def close_auction(book: Book, seen_ns: int, waited_ns: int, ts_ns: int) -> None:
    """Hold the closing auction at what the last event has shown.

    Args:
        seen_ns: of the orders whose session has closed up to here;
        waited_ns: and of those that have waited long enough for an event by then.
        ts_ns: the time of what happens.
    """
    state = book.state[0]
    since = state["next_sequence"]
    slot = state["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        following = order["next"]
        if (
            order["dormant"]
            and order["lifetime"] == Lifetime.CLS
            and (order["wakes_ns"] <= seen_ns or order["expires_ns"] <= waited_ns)
        ):
            rouse(book, slot)
            move_to_end(book, slot)  # behind them are only the others of the auction
        slot = following
    if state["next_sequence"] == since:
        return
    source = state["last_source"]
    if source == Source.QUOTE:
        ask = book.sides[Side.BUY]["opposite_price_ticks"]
        bid = book.sides[Side.SELL]["opposite_price_ticks"]
        match(book, ask, bid, source, since, NEVER_NS, NEVER_NS, ts_ns)
    elif source >= 0:
        price = state["last_price_ticks"]
        match(book, price, price, source, since, NEVER_NS, NEVER_NS, ts_ns)
    slot = state["first"]
    while slot != NO_SLOT:
        following = book.orders[slot]["next"]
        if book.orders[slot]["sequence"] >= since:
            finish(book, slot, ts_ns)
        slot = following


@part
def pass_time(book: Book, now_ns: int) -> None:
    """Hold the closing auctions that no event came for in time, and end what time ends."""
    if is_due(book, now_ns):
        close_auction(book, -1, now_ns, now_ns)
        expire_orders(book, now_ns)
