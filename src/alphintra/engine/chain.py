"""The chain of open orders: entering, leaving, events, and the fences that say when to look again.

Every function here is compiled. `slot` is the place of an order in `book.orders`.
"""

from typing import Any

from alphintra.engine.compile import compiled, part
from alphintra.engine.layout import (
    FAR,
    NEVER_NS,
    NO_PRICE,
    NO_SLOT,
    SLOT_BITS,
    SLOT_MASK,
    Book,
    EventKind,
    Kind,
    Lifetime,
    Reason,
    Side,
)


@part
def sign_of(side: int) -> int:
    """Return +1 for a buy, -1 for a sell: times a price, smaller is better for the order."""
    return 1 - 2 * side


@part
def has_limit(order: Any) -> bool:
    """Say whether the order, once active, has a worst price."""
    return bool(order["kind"] == Kind.LIMIT or order["kind"] == Kind.STOP_LIMIT)


@part
def emit(book: Book, kind: int, slot: int, ts_ns: int) -> Any:
    """Append an event about the order and return it; it is never older than the acceptance."""
    state = book.state[0]
    order = book.orders[slot]
    event = book.events[state["events"]]
    state["events"] += 1
    event["kind"] = kind
    event["handle"] = (order["generation"] << SLOT_BITS) | slot
    event["lots"] = order["remaining_lots"]
    event["price_ticks"] = NO_PRICE
    event["is_maker"] = 0
    event["reason"] = Reason.NONE
    event["ts_ns"] = max(ts_ns, order["accepted_ns"])
    return event


@compiled
def find(book: Book, handle: int) -> int:
    """Return the slot of an open order, or `NO_SLOT`."""
    slot = handle & SLOT_MASK
    if handle < 0 or slot >= len(book.orders):
        return NO_SLOT
    order = book.orders[slot]
    if order["generation"] != handle >> SLOT_BITS or order["remaining_lots"] == 0:
        return NO_SLOT
    return slot


@part
def _link_last(book: Book, slot: int) -> None:
    state = book.state[0]
    order = book.orders[slot]
    order["sequence"] = state["next_sequence"]
    state["next_sequence"] += 1
    order["previous"] = state["last"]
    order["next"] = NO_SLOT
    if state["last"] == NO_SLOT:
        state["first"] = slot
    else:
        book.orders[state["last"]]["next"] = slot
    state["last"] = slot


@part
def _unlink(book: Book, slot: int) -> None:
    state = book.state[0]
    order = book.orders[slot]
    if order["previous"] == NO_SLOT:
        state["first"] = order["next"]
    else:
        book.orders[order["previous"]]["next"] = order["next"]
    if order["next"] == NO_SLOT:
        state["last"] = order["previous"]
    else:
        book.orders[order["next"]]["previous"] = order["previous"]


@part
def move_to_end(book: Book, slot: int) -> None:
    """Give the order the place of one that arrives at this moment."""
    _unlink(book, slot)
    _link_last(book, slot)


@part
def take_slot(book: Book) -> int:
    """Put an order without terms at the end of the chain; `NO_SLOT` when the book is full."""
    state = book.state[0]
    slot = state["free"]
    if slot != NO_SLOT:
        state["free"] = book.orders[slot]["next"]
        state["open_orders"] += 1
        _link_last(book, slot)
    return int(slot)


@part
def remove(book: Book, slot: int) -> None:
    """Take the order out; its handle is no longer valid."""
    _unlink(book, slot)
    state = book.state[0]
    order = book.orders[slot]
    order["remaining_lots"] = 0
    order["generation"] += 1
    order["next"] = state["free"]
    state["free"] = slot
    state["open_orders"] -= 1


@part
def cancel_slot(book: Book, slot: int, reason: int, ts_ns: int) -> None:
    """Cancel what remains of the order."""
    event = emit(book, EventKind.CANCELED, slot, ts_ns)
    event["reason"] = reason
    remove(book, slot)


@part
def expire_slot(book: Book, slot: int, ts_ns: int) -> None:
    """End what remains of the order by time."""
    emit(book, EventKind.EXPIRED, slot, ts_ns)
    remove(book, slot)


@part
def rouse(book: Book, slot: int) -> None:
    """Let the order take part in the moment at hand: its auction has come."""
    order = book.orders[slot]
    order["dormant"] = 0
    order["fresh"] = 1
    order["wakes_ns"] = NEVER_NS


@part
def finish(book: Book, slot: int, ts_ns: int) -> None:
    """End the moment of an order that has met the market: it rests, is cancelled, or expires."""
    order = book.orders[slot]
    if order["remaining_lots"] == 0 or order["dormant"]:
        return
    order["fresh"] = 0
    if order["lifetime"] == Lifetime.IOC:
        cancel_slot(book, slot, Reason.IMMEDIATE_OR_CANCEL, ts_ns)
    elif order["lifetime"] == Lifetime.FOK:
        cancel_slot(book, slot, Reason.FILL_OR_KILL, ts_ns)
    elif order["lifetime"] >= Lifetime.OPG:
        expire_slot(book, slot, ts_ns)


@part
def fence_in(book: Book, slot: int) -> None:
    """Widen the fences so that every event that can touch the order is looked at."""
    state = book.state[0]
    order = book.orders[slot]
    side = book.sides[order["side"]]
    sign = sign_of(order["side"])
    state["expires_fence_ns"] = min(state["expires_fence_ns"], order["expires_ns"])
    if order["dormant"]:
        if order["lifetime"] >= Lifetime.OPG:
            state["expires_fence_ns"] = min(state["expires_fence_ns"], order["wakes_ns"])
            return
        if order["stop_price_ticks"] == NO_PRICE:
            state["restless"] += 1
            return
        side["stop_fence"] = min(side["stop_fence"], sign * order["stop_price_ticks"])
        if order["kind"] == Kind.TRAILING_STOP:
            side["mark_fence"] = max(side["mark_fence"], sign * order["mark_price_ticks"])
        return
    if order["fresh"] or not has_limit(order):
        state["restless"] += 1
    if has_limit(order):
        side["limit_fence"] = max(side["limit_fence"], sign * order["limit_price_ticks"])


@part
def settle(book: Book, eligible_ns: int, ts_ns: int) -> None:
    """End a moment for every order accepted up to `eligible_ns`, and draw the fences anew."""
    state = book.state[0]
    state["restless"] = 0
    state["expires_fence_ns"] = NEVER_NS
    for row in range(2):
        side = book.sides[row]
        side["limit_fence"] = -FAR
        side["mark_fence"] = -FAR
        side["stop_fence"] = FAR
    slot = state["first"]
    while slot != NO_SLOT:
        following = book.orders[slot]["next"]
        if book.orders[slot]["accepted_ns"] <= eligible_ns:
            finish(book, slot, ts_ns)
        if book.orders[slot]["remaining_lots"] > 0:
            fence_in(book, slot)
        slot = following


@part
def is_quiet(book: Book, row: int, low_ticks: int, high_ticks: int) -> bool:
    """Say that no order of a side cares about prices from `low_ticks` to `high_ticks`."""
    side = book.sides[row]
    sign = sign_of(row)
    best = low_ticks if row == Side.BUY else high_ticks
    worst = high_ticks if row == Side.BUY else low_ticks
    return bool(
        sign * best > side["limit_fence"]
        and sign * best >= side["mark_fence"]
        and sign * worst < side["stop_fence"]
    )


@part
def wakes(book: Book, row: int, price_ticks: int) -> bool:
    """Say that a dormant order of a side may trigger at this price, or that its trail may move."""
    side = book.sides[row]
    signed = sign_of(row) * price_ticks
    return bool(signed >= side["stop_fence"] or signed < side["mark_fence"])


@part
def expire_orders(book: Book, now_ns: int) -> None:
    """Take out every order whose time has come."""
    state = book.state[0]
    if now_ns < state["expires_fence_ns"]:
        return
    state["expires_fence_ns"] = NEVER_NS
    slot = state["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        following = order["next"]
        if order["expires_ns"] <= now_ns:
            expire_slot(book, slot, now_ns)
        else:
            fence_ns = min(order["expires_ns"], order["wakes_ns"])
            state["expires_fence_ns"] = min(state["expires_fence_ns"], fence_ns)
        slot = following
