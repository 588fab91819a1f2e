"""The steps of the simulator: what may happen to a book. Compiled and deterministic.

Each step leaves what it did in the first `book.state[0]["events"]` rows of `book.events`, in the
order in which it happened. docs/concepts/fills.md says what each of them means. Callers keep prices
and quantities below `MAGNITUDE_LIMIT`; `simulator.MarketSimulator` checks it.
"""

from enum import IntEnum

from alphintra.engine.auctions import close_auction, is_due, open_auction, pass_time
from alphintra.engine.chain import (
    cancel_slot,
    expire_orders,
    fence_in,
    find,
    finish,
    is_quiet,
    move_to_end,
    settle,
    sign_of,
    take_slot,
)
from alphintra.engine.compile import compiled, part
from alphintra.engine.layout import (
    NEVER_NS,
    NO_HANDLE,
    NO_PRICE,
    NO_SLOT,
    SLOT_BITS,
    Book,
    Kind,
    Lifetime,
    Outcome,
    Reason,
    Side,
    Source,
)
from alphintra.engine.matching import (
    execute,
    match,
    place_behind_mark,
    reach,
    share_of,
    touch,
    trigger,
    walk,
)


class Amended(IntEnum):
    """What became of an order with other terms."""

    REFUSED = 0  #: it stays as it was
    STAYS = 1  #: in its place
    ARRIVES = 2  #: anew, and has to meet the market


@part
def _arrive(book: Book, slot: int, ts_ns: int) -> None:
    """Let one order meet what the last quote still offers, if any quote is known."""
    order = book.orders[slot]
    if book.state[0]["quoted"]:
        price = book.sides[order["side"]]["opposite_price_ticks"]
        if price != NO_PRICE:
            if order["dormant"]:
                touch(book, slot, price, True, ts_ns)
            if not order["dormant"] and reach(book, order, price, Source.QUOTE) >= 0:
                execute(book, slot, price, Source.QUOTE, ts_ns)
        finish(book, slot, ts_ns)
    if order["remaining_lots"] > 0:
        fence_in(book, slot)


@part
def enter(
    book: Book,
    side: int,
    kind: int,
    lots: int,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    lifetime: int,
    post_only: int,
    expires_ns: int,
    wakes_ns: int,
    accepted_ns: int,
) -> int:
    """Put an order at the end of the chain and return its slot; `NO_SLOT` when the book is full."""
    slot = take_slot(book)
    if slot != NO_SLOT:
        order = book.orders[slot]
        order["side"] = side
        order["kind"] = kind
        order["remaining_lots"] = lots
        order["limit_price_ticks"] = limit_price_ticks
        order["stop_price_ticks"] = stop_price_ticks
        order["trail_ticks"] = trail_ticks
        order["trail_bps"] = trail_bps
        order["mark_price_ticks"] = NO_PRICE
        order["lifetime"] = lifetime
        order["post_only"] = post_only
        order["expires_ns"] = expires_ns
        order["wakes_ns"] = wakes_ns
        order["accepted_ns"] = accepted_ns
        order["dormant"] = kind >= Kind.STOP or lifetime >= Lifetime.OPG
        order["fresh"] = 1
    return slot


@compiled
def submit(
    book: Book,
    side: int,
    kind: int,
    lots: int,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    lifetime: int,
    post_only: int,
    expires_ns: int,
    auction_ns: int,
    ts_ns: int,
) -> int:
    """Enter an order and let it meet the last quote; return its handle.

    Args:
        side, kind, lifetime: values of `Side`, `Kind`, `Lifetime`.
        lots: at least 1.
        limit_price_ticks, stop_price_ticks: `NO_PRICE` where the kind has none. A trailing stop's
            stop follows its mark.
        trail_ticks, trail_bps: the trail's distance; basis points count when `trail_ticks` is 0.
        post_only: 1 for an order with a limit that must not take.
        expires_ns: `NEVER_NS` for an order that stays.
        auction_ns: when the session opens (closes) whose auction an OPG (CLS) order is for; other
            orders have `NEVER_NS`.
        ts_ns: when it is accepted. A bar that began earlier does not fill it.

    Returns:
        The handle, or `NO_HANDLE` when the book is full (see `layout.grown`).
    """
    book.state[0]["events"] = 0
    slot = enter(
        book, side, kind, lots, limit_price_ticks, stop_price_ticks, trail_ticks, trail_bps,
        lifetime, post_only, expires_ns, auction_ns, ts_ns,
    )  # fmt: skip
    if slot == NO_SLOT:
        return NO_HANDLE
    handle = (book.orders[slot]["generation"] << SLOT_BITS) | slot
    _arrive(book, slot, ts_ns)
    return int(handle)


@compiled
def restore(
    book: Book,
    side: int,
    kind: int,
    lots: int,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    lifetime: int,
    post_only: int,
    expires_ns: int,
    auction_ns: int,
    accepted_ns: int,
    triggered: int,
    mark_price_ticks: int,
) -> int:
    """Put an order back as it was, without letting it meet the last quote; return its handle.

    It meets the next event as a newly arrived one, but a post-only order as one that rests: it did
    not take when it came, and must not be cancelled for a market that moved while nobody looked.

    Args:
        triggered: 1 when the order's stop has been reached already.
        mark_price_ticks: the best price a trailing stop has seen, or `NO_PRICE`.

    The others are those of `submit`, `lots` what remains.
    """
    book.state[0]["events"] = 0
    slot = enter(
        book, side, kind, lots, limit_price_ticks, stop_price_ticks, trail_ticks, trail_bps,
        lifetime, post_only, expires_ns, auction_ns, accepted_ns,
    )  # fmt: skip
    if slot == NO_SLOT:
        return NO_HANDLE
    order = book.orders[slot]
    if triggered:
        order["dormant"] = 0
    if post_only and not order["dormant"]:
        order["fresh"] = 0
    if order["dormant"] and kind == Kind.TRAILING_STOP and mark_price_ticks != NO_PRICE:
        order["mark_price_ticks"] = mark_price_ticks
        place_behind_mark(order)
    fence_in(book, slot)
    return int((order["generation"] << SLOT_BITS) | slot)


@compiled
def cancel(book: Book, handle: int, ts_ns: int) -> int:
    """Cancel an open order; return the number of events, 0 when there is no such order."""
    book.state[0]["events"] = 0
    slot = find(book, handle)
    if slot == NO_SLOT:
        return 0
    cancel_slot(book, slot, Reason.REQUESTED, ts_ns)
    return 1


@compiled
def modify(
    book: Book,
    handle: int,
    lots: int,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    expires_ns: int,
    ts_ns: int,
) -> int:
    """Give an open order other terms; return an `Outcome`.

    A smaller quantity or another expiry keeps the order's place. Another price, trail or a larger
    quantity makes it arrive anew. A post-only order is not moved to a price at which it would take.

    Args:
        handle: of the order.
        lots: what shall remain, at least 1.
        ts_ns: when the change is accepted.

    The others are those of `submit`; all of them are set.
    """
    book.state[0]["events"] = 0
    slot = find(book, handle)
    if slot == NO_SLOT:
        return Outcome.NOT_FOUND
    amended = amend(
        book, slot, lots, limit_price_ticks, stop_price_ticks, trail_ticks, trail_bps, expires_ns,
        ts_ns,
    )  # fmt: skip
    if amended == Amended.REFUSED:
        return Outcome.POST_ONLY_WOULD_TAKE
    if amended == Amended.ARRIVES:
        _arrive(book, slot, ts_ns)
    return Outcome.DONE


@compiled
def amend(
    book: Book,
    slot: int,
    lots: int,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    expires_ns: int,
    ts_ns: int,
) -> int:
    """Set the terms of the order in a slot, as `modify`; return an `Amended`."""
    state = book.state[0]
    order = book.orders[slot]
    relimited = limit_price_ticks != order["limit_price_ticks"]
    trails = order["kind"] == Kind.TRAILING_STOP
    restopped = bool(order["dormant"]) and (
        trail_ticks != order["trail_ticks"] or trail_bps != order["trail_bps"]
        if trails
        else stop_price_ticks != order["stop_price_ticks"]
    )
    if relimited and order["post_only"] and not order["dormant"] and state["quoted"]:
        opposite = book.sides[order["side"]]["opposite_price_ticks"]
        room = sign_of(order["side"]) * (limit_price_ticks - opposite)
        if opposite != NO_PRICE and room >= 0:
            return Amended.REFUSED
    arrives = relimited or restopped or lots > order["remaining_lots"]
    order["remaining_lots"] = lots
    order["limit_price_ticks"] = limit_price_ticks
    order["expires_ns"] = expires_ns
    order["trail_ticks"] = trail_ticks
    order["trail_bps"] = trail_bps
    if not trails:
        order["stop_price_ticks"] = stop_price_ticks
    elif restopped and order["mark_price_ticks"] != NO_PRICE:
        place_behind_mark(order)
    if not arrives:
        fence_in(book, slot)
        return Amended.STAYS
    order["accepted_ns"] = max(ts_ns, order["accepted_ns"])
    if relimited:
        order["fresh"] = 1
    move_to_end(book, slot)
    return Amended.ARRIVES


@compiled
def expire(book: Book, now_ns: int) -> int:
    """Take out every order whose time has come; return the number of events.

    An order for the closing auction takes part in it then, if no event has come since the close.
    """
    book.state[0]["events"] = 0
    pass_time(book, now_ns)
    return int(book.state[0]["events"])


@part
def _set_opposite(book: Book, row: int, price_ticks: int, size_lots: int) -> None:
    side = book.sides[row]
    side["opposite_price_ticks"] = price_ticks
    side["opposite_left_lots"] = size_lots


@part
def _is_idle(book: Book, low_ticks: int, high_ticks: int) -> bool:
    return bool(
        book.state[0]["restless"] == 0
        and is_quiet(book, Side.BUY, low_ticks, high_ticks)
        and is_quiet(book, Side.SELL, low_ticks, high_ticks)
    )


@compiled
def on_quote(
    book: Book,
    bid_ticks: int,
    ask_ticks: int,
    bid_lots: int,
    ask_lots: int,
    ts_ns: int,
) -> int:
    """The best bid and ask change; return the number of events.

    Args:
        bid_ticks, ask_ticks: `NO_PRICE` where nobody is.
        bid_lots, ask_lots: the sizes, shared by all orders until the next quote; `UNKNOWN_SIZE`
            does not limit, 0 fills nothing.
        ts_ns: the time of the quote.
    """
    state = book.state[0]
    state["events"] = 0
    if is_due(book, ts_ns):
        close_auction(book, ts_ns, -1, ts_ns)
    state["quoted"] = 1
    state["last_source"] = Source.QUOTE
    _set_opposite(book, Side.BUY, ask_ticks, ask_lots)
    _set_opposite(book, Side.SELL, bid_ticks, bid_lots)
    if state["open_orders"] == 0:
        return int(state["events"])
    expire_orders(book, ts_ns)
    opens = is_due(book, ts_ns)
    if (
        state["restless"] == 0
        and not opens
        and (ask_ticks == NO_PRICE or is_quiet(book, Side.BUY, ask_ticks, ask_ticks))
        and (bid_ticks == NO_PRICE or is_quiet(book, Side.SELL, bid_ticks, bid_ticks))
    ):
        return int(state["events"])
    if opens:
        open_auction(book, ask_ticks, bid_ticks, NEVER_NS, ts_ns)
    trigger(book, ask_ticks, bid_ticks, True, NEVER_NS, ts_ns)
    match(book, ask_ticks, bid_ticks, Source.QUOTE, 0, NEVER_NS, NEVER_NS, ts_ns)
    settle(book, NEVER_NS, ts_ns)
    return int(state["events"])


@compiled
def on_trade(book: Book, price_ticks: int, size_lots: int, ts_ns: int) -> int:
    """Somebody traded; return the number of events.

    Args:
        price_ticks: the price of the print.
        size_lots: shared by all orders, buys and sells; `UNKNOWN_SIZE` does not limit.
        ts_ns: the time of the print.
    """
    state = book.state[0]
    state["events"] = 0
    if is_due(book, ts_ns):
        close_auction(book, ts_ns, -1, ts_ns)
    state["last_source"] = Source.PRINT
    state["last_price_ticks"] = price_ticks
    state["flow_left_lots"] = size_lots
    if state["open_orders"] == 0:
        return int(state["events"])
    expire_orders(book, ts_ns)
    opens = is_due(book, ts_ns)
    if not opens and _is_idle(book, price_ticks, price_ticks):
        return int(state["events"])
    if opens:
        open_auction(book, price_ticks, price_ticks, NEVER_NS, ts_ns)
    quoted = bool(state["quoted"])
    first_triggered = state["next_sequence"]
    trigger(book, price_ticks, price_ticks, not quoted, NEVER_NS, ts_ns)
    until = NEVER_NS
    if quoted:
        # A quote is known, so what the print has triggered trades with it; but a print that is
        # already worse says that the quote is late.
        until = first_triggered
        ask = book.sides[Side.BUY]["opposite_price_ticks"]
        bid = book.sides[Side.SELL]["opposite_price_ticks"]
        ask = max(ask, price_ticks) if ask != NO_PRICE else NO_PRICE
        bid = min(bid, price_ticks)  # NO_PRICE is below every price
        match(book, ask, bid, Source.QUOTE, first_triggered, NEVER_NS, NEVER_NS, ts_ns)
    match(book, price_ticks, price_ticks, Source.PRINT, 0, until, NEVER_NS, ts_ns)
    settle(book, NEVER_NS, ts_ns)
    return int(state["events"])


@compiled
def on_bar(
    book: Book,
    open_ticks: int,
    high_ticks: int,
    low_ticks: int,
    close_ticks: int,
    volume_lots: int,
    open_ns: int,
    close_ns: int,
) -> int:
    """A bar is complete; return the number of events.

    The price goes from the open to the nearer extreme (the low when both are as near), to the other
    extreme, to the close. Orders accepted after `open_ns` wait for the next bar.

    Args:
        open_ticks, high_ticks, low_ticks, close_ticks: with low <= open, close <= high.
        volume_lots: all orders share the book's participation of it; `UNKNOWN_SIZE` does not limit.
        open_ns: when the bar began: the time of fills at the open.
        close_ns: when it ended: the time of all other events.
    """
    state = book.state[0]
    state["events"] = 0
    if is_due(book, open_ns):
        close_auction(book, open_ns, -1, open_ns)
    state["last_source"] = Source.BAR
    state["last_price_ticks"] = close_ticks
    state["flow_left_lots"] = volume_lots
    if volume_lots > 0:
        state["flow_left_lots"] = share_of(volume_lots, state["participation_bps"])
    if state["open_orders"] == 0:
        return int(state["events"])
    expire_orders(book, open_ns)
    auctions = is_due(book, close_ns)
    if not auctions and _is_idle(book, low_ticks, high_ticks):
        return int(state["events"])
    if auctions:
        open_auction(book, open_ticks, open_ticks, open_ns, close_ns - 1)
    trigger(book, open_ticks, open_ticks, True, open_ns, open_ns)
    match(book, open_ticks, open_ticks, Source.BAR, 0, NEVER_NS, open_ns, open_ns)
    settle(book, open_ns, open_ns)
    nearer, other = low_ticks, high_ticks
    if high_ticks - open_ticks < open_ticks - low_ticks:
        nearer, other = high_ticks, low_ticks
    walk(book, open_ticks, nearer, open_ns, close_ns)
    walk(book, nearer, other, open_ns, close_ns)
    walk(book, other, close_ticks, open_ns, close_ns)
    if auctions:
        close_auction(book, close_ns, -1, close_ns)
    settle(book, open_ns, close_ns)
    return int(state["events"])


__all__ = [
    "cancel",
    "expire",
    "find",
    "modify",
    "on_bar",
    "on_quote",
    "on_trade",
    "restore",
    "submit",
]
