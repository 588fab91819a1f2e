"""What a compiled strategy calls: orders, and what it can see. All compiled.

A strategy is a compiled function `strategy(view, desk)`: it sees the book as far as it has been
received and its orders as far as it has heard of them, never the book at the venue.
"""

from alphintra.engine.compile import compiled
from alphintra.engine.depth.layout import (
    NO_ORDER,
    RECORDED,
    Desk,
    Ladder,
    Request,
    Status,
    What,
)
from alphintra.engine.layout import NO_PRICE, Kind, Lifetime, Side


@compiled
def best_bid(view: Ladder) -> int:
    """Return the best bid in ticks; `NO_PRICE` where there is none."""
    rank = view.best[What.BID]
    return int(view.prices[rank]) if rank >= 0 else NO_PRICE


@compiled
def best_ask(view: Ladder) -> int:
    """Return the best ask in ticks; `NO_PRICE` where there is none."""
    rank = view.best[What.ASK]
    return int(view.prices[rank]) if rank < len(view.prices) else NO_PRICE


@compiled
def send(
    desk: Desk,
    what: int,
    order_id: int,
    side: int,
    kind: int,
    lifetime: int,
    post_only: int,
    price_ticks: int,
    lots: int,
) -> bool:
    """Send a request to the venue; False when the log is full.

    Requests of one connection never overtake each other.
    """
    state = desk.state[0]
    index = state["requests"]
    if index >= len(desk.requests):
        state["short_of_room"] = 1
        return False
    latency = state["entry_ns"]
    if latency == RECORDED:
        latency = state["feed_latency_ns"]
    arrives_ns = state["now_ns"] + latency
    if index > 0:
        arrives_ns = max(arrives_ns, desk.requests[index - 1]["arrives_ns"])
    request = desk.requests[index]
    state["requests"] = index + 1
    request["what"] = what
    request["order"] = order_id
    request["side"] = side
    request["kind"] = kind
    request["lifetime"] = lifetime
    request["post_only"] = post_only
    request["price_ticks"] = price_ticks
    request["lots"] = lots
    request["arrives_ns"] = arrives_ns
    return True


@compiled
def submit(
    desk: Desk,
    side: int,
    kind: int,
    lots: int,
    price_ticks: int,
    lifetime: int,
    post_only: int,
    tag: int,
) -> int:
    """Send an order; return its id, 0 for the first.

    Args:
        side, kind, lifetime: values of `Side`, `Kind` (MARKET or LIMIT), `Lifetime`.
        lots: at least 1.
        price_ticks: the limit; what a market order says is ignored.
        post_only: 1 for a limit order that must not take.
        tag: anything, to know it again.

    Returns:
        The id, or `NO_ORDER` when the log is full: the run stops there and says so.
    """
    state = desk.state[0]
    if kind == Kind.MARKET:
        price_ticks = NO_PRICE
    order_id = state["orders"]
    if order_id >= len(desk.orders):
        state["short_of_room"] = 1
        return NO_ORDER
    if not send(desk, Request.SUBMIT, order_id, side, kind, lifetime, post_only, price_ticks, lots):
        return NO_ORDER
    order = desk.orders[order_id]
    order["side"] = side
    order["kind"] = kind
    order["lots"] = lots
    order["price_ticks"] = price_ticks
    order["remaining_lots"] = lots
    order["status"] = Status.SENT
    order["cancel_sent"] = 0
    order["sent_ns"] = state["now_ns"]
    order["tag"] = tag
    state["orders"] = order_id + 1
    desk.working[state["working"]] = order_id
    state["working"] += 1
    return int(order_id)


@compiled
def quote(desk: Desk, side: int, price_ticks: int, lots: int) -> int:
    """Send a limit order that only makes; see `submit`."""
    return submit(desk, side, Kind.LIMIT, lots, price_ticks, Lifetime.REST, 1, 0)


@compiled
def cancel(desk: Desk, order_id: int) -> bool:
    """Ask to cancel an order, once; False when that is of no use."""
    order = desk.orders[order_id]
    if order["cancel_sent"] or order["status"] >= Status.FILLED:
        return False
    if not send(desk, Request.CANCEL, order_id, order["side"], 0, 0, 0, 0, 0):
        return False
    order["cancel_sent"] = 1
    return True


@compiled
def modify(desk: Desk, order_id: int, price_ticks: int, lots: int) -> bool:
    """Ask for another price and remaining quantity; False when we know that it has ended."""
    order = desk.orders[order_id]
    if order["status"] >= Status.FILLED or order["kind"] != Kind.LIMIT:
        return False
    return send(desk, Request.MODIFY, order_id, order["side"], Kind.LIMIT, 0, 0, price_ticks, lots)


@compiled
def exposure(desk: Desk, side: int) -> int:
    """Return the lots that orders of a side may still fill, as far as we know."""
    lots = 0
    for place in range(desk.state[0]["working"]):
        order = desk.orders[desk.working[place]]
        if order["side"] == side:
            lots += order["remaining_lots"]
    return lots


__all__ = [
    "Side",
    "best_ask",
    "best_bid",
    "cancel",
    "exposure",
    "modify",
    "quote",
    "send",
    "submit",
]
