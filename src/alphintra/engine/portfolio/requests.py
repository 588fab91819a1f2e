"""What the owner of the account asks for: orders, changes, cancellations. Compiled.

A request waits until it has arrived; those that have are dealt with before the next row happens.
"""

from math import isnan
from typing import Any

from alphintra.engine.chain import cancel_slot, fence_in
from alphintra.engine.compile import part
from alphintra.engine.layout import NO_PRICE, NO_SLOT, UNKNOWN_SIZE, Kind, Reason, Side, Source
from alphintra.engine.portfolio.dealing import (
    come_in,
    end_ticket,
    harvest,
    is_unsized,
    meet,
    note,
    raise_children,
)
from alphintra.engine.portfolio.money import book_of, carried_lots, price_of
from alphintra.engine.portfolio.records import NO_ORDER, Ask, Cause, Desk, Status, What
from alphintra.engine.portfolio.rows import set_moment
from alphintra.engine.steps import Amended, amend

#: What the compiled submit returns when an array has to grow first.
NO_ROOM_FOR_ORDER = -1
NO_ROOM_IN_BOOK = -2
NO_ROOM_FOR_REQUEST = -3


@part
def submit(
    desk: Desk,
    number: int,
    side: int,
    kind: int,
    lots: int,
    weight: float,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    lifetime: int,
    post_only: int,
    reduce_only: int,
    expires_ns: int,
    auction_row: int,
    parent: int,
    sibling: int,
    tag: int,
) -> int:
    """Send an order; return its id, or a negative number when an array has to grow first."""
    head = desk.head[0]
    symbol = desk.symbols[number]
    if head["orders"] == len(desk.tickets):
        return NO_ROOM_FOR_ORDER
    if symbol["live"] == desk.slots.shape[1]:
        return NO_ROOM_IN_BOOK
    if head["requests"] == len(desk.requests):
        return NO_ROOM_FOR_REQUEST
    order = head["orders"]
    head["orders"] += 1
    symbol["live"] += 1
    head["live"] += 1
    ticket = desk.tickets[order]
    ticket["symbol"] = number
    ticket["side"] = side
    ticket["kind"] = kind
    ticket["lots"] = lots
    ticket["weight"] = weight
    ticket["limit_price_ticks"] = limit_price_ticks
    ticket["stop_price_ticks"] = stop_price_ticks
    ticket["trail_ticks"] = trail_ticks
    ticket["trail_bps"] = trail_bps
    ticket["lifetime"] = lifetime
    ticket["post_only"] = post_only
    ticket["reduce_only"] = reduce_only
    ticket["expires_ns"] = expires_ns
    ticket["tag"] = tag
    ticket["auction_row"] = auction_row
    ticket["parent"] = parent
    ticket["follows"] = int(parent != NO_ORDER and lots == 0 and isnan(weight))
    ticket["first_child"] = ticket["next_child"] = NO_ORDER
    ticket["ring"] = order
    ticket["status"] = Status.SENT
    ticket["slot"] = NO_SLOT
    ticket["filled_lots"] = ticket["accepted_ns"] = ticket["ended_ns"] = ticket["cause"] = 0
    ticket["value"] = ticket["fees"] = 0.0
    ticket["submitted_ns"] = head["now_ns"]
    ticket["submitted_row"] = head["cursor"] - 1
    if parent != NO_ORDER:
        _join_family(desk, parent, order)
    if sibling != NO_ORDER:
        ticket["ring"] = desk.tickets[sibling]["ring"]
        desk.tickets[sibling]["ring"] = order
    request(desk, Ask.SUBMIT, order)
    return int(order)


@part
def _join_family(desk: Desk, parent: int, order: int) -> None:
    """Put an order behind its parent's other children: they come in in the order of their ids."""
    child = desk.tickets[parent]["first_child"]
    if child == NO_ORDER:
        desk.tickets[parent]["first_child"] = order
        return
    while desk.tickets[child]["next_child"] != NO_ORDER:
        child = desk.tickets[child]["next_child"]
    desk.tickets[child]["next_child"] = order


@part
def request(desk: Desk, ask: int, order: int) -> Any:
    """Append a request that arrives after the account's latency and return it."""
    head = desk.head[0]
    if head["asked"] == head["requests"]:
        head["asked"] = head["requests"] = 0  # all are dealt with: the room is free again
    row = desk.requests[head["requests"]]
    head["requests"] += 1
    row["ask"] = ask
    row["order"] = order
    row["arrives_ns"] = head["now_ns"] + head["latency_ns"]
    return row


@part
def cancel(desk: Desk, order: int) -> int:
    """Ask for an order's cancellation; negative when an array has to grow first."""
    if desk.head[0]["requests"] == len(desk.requests):
        return NO_ROOM_FOR_REQUEST
    request(desk, Ask.CANCEL, order)
    return 0


@part
def modify(
    desk: Desk, order: int, lots: int, limit_price_ticks: int, stop_price_ticks: int,
    trail_ticks: int, trail_bps: int, expires_ns: int,
) -> int:  # fmt: skip
    """Ask for other terms; `lots` is what shall remain; negative when an array has to grow."""
    if desk.head[0]["requests"] == len(desk.requests):
        return NO_ROOM_FOR_REQUEST
    row = request(desk, Ask.MODIFY, order)
    row["lots"] = lots
    row["limit_price_ticks"] = limit_price_ticks
    row["stop_price_ticks"] = stop_price_ticks
    row["trail_ticks"] = trail_ticks
    row["trail_bps"] = trail_bps
    row["expires_ns"] = expires_ns
    return 0


@part
def is_due(desk: Desk, until_ns: int) -> bool:
    """Say that a request has arrived up to this time."""
    head = desk.head[0]
    asked = head["asked"]
    return bool(asked < head["requests"] and desk.requests[asked]["arrives_ns"] <= until_ns)


@part
def answer(desk: Desk) -> None:
    """Deal with the request that has waited longest."""
    head = desk.head[0]
    row = desk.requests[head["asked"]]
    head["asked"] += 1
    order = row["order"]
    ticket = desk.tickets[order]
    arrives_ns = row["arrives_ns"]
    if row["ask"] == Ask.SUBMIT:
        if ticket["status"] == Status.SENT:
            _accept(desk, order, arrives_ns)
    elif row["ask"] == Ask.CANCEL:
        if ticket["status"] == Status.OPEN:
            book = book_of(desk, ticket["symbol"])
            cancel_slot(book, ticket["slot"], Reason.REQUESTED, arrives_ns)
            harvest(desk, ticket["symbol"])
        elif ticket["status"] == Status.WAITING:
            note(desk, What.CANCELED, order, ticket["symbol"], Cause.REQUESTED, arrives_ns)
            end_ticket(desk, order, Status.CANCELED, Cause.REQUESTED, arrives_ns)
    elif ticket["status"] == Status.OPEN and not is_unsized(ticket):
        _change(desk, order, row, arrives_ns)
    elif ticket["status"] == Status.WAITING:
        _rewrite(ticket, row)


@part
def _rewrite(ticket: Any, row: Any) -> None:
    if not ticket["follows"]:
        ticket["lots"] = ticket["filled_lots"] + row["lots"]
    ticket["limit_price_ticks"] = row["limit_price_ticks"]
    ticket["stop_price_ticks"] = row["stop_price_ticks"]
    ticket["trail_ticks"] = row["trail_ticks"]
    ticket["trail_bps"] = row["trail_bps"]
    ticket["expires_ns"] = row["expires_ns"]


@part
def _refuse(desk: Desk, order: int, cause: int, ts_ns: int) -> None:
    number = desk.tickets[order]["symbol"]
    note(desk, What.REJECTED, order, number, cause, ts_ns)
    end_ticket(desk, order, Status.REJECTED, cause, ts_ns)


@part
def _accept(desk: Desk, order: int, arrives_ns: int) -> None:
    """An order has come: it is refused, waits for its parent, or meets the last quote."""
    ticket = desk.tickets[order]
    number = ticket["symbol"]
    if desk.symbols[number]["delisted"]:
        _refuse(desk, order, Cause.DELISTED, arrives_ns)
        return
    parent = ticket["parent"]
    if parent != NO_ORDER:
        above = desk.tickets[parent]
        if above["filled_lots"] == 0:
            if above["status"] >= Status.FILLED:
                _refuse(desk, order, Cause.PARENT_ENDED, arrives_ns)
            else:
                ticket["status"] = Status.WAITING
                ticket["accepted_ns"] = arrives_ns
            return
        if ticket["follows"]:
            ticket["lots"] = above["filled_lots"]
    if ticket["expires_ns"] <= arrives_ns:
        note(desk, What.EXPIRED, order, number, 0, arrives_ns)
        end_ticket(desk, order, Status.EXPIRED, 0, arrives_ns)
        return
    if _is_beyond_means(desk, order):
        _refuse(desk, order, Cause.BUYING_POWER, arrives_ns)
        return
    slot = come_in(desk, order, arrives_ns)
    book = book_of(desk, number)
    if book.state[0]["quoted"]:
        ask = book.sides[Side.BUY]["opposite_price_ticks"]
        bid = book.sides[Side.SELL]["opposite_price_ticks"]
        set_moment(desk, ask, bid, UNKNOWN_SIZE)
        meet(desk, number, slot, Source.QUOTE, arrives_ns)
        if desk.head[0]["raising"] != NO_ORDER:
            raise_children(desk, Source.QUOTE, arrives_ns, arrives_ns)
    else:
        fence_in(book, slot)


@part
def _is_beyond_means(desk: Desk, order: int) -> bool:
    """Say that the account could not carry any of the order, or not all where it is not cut."""
    ticket = desk.tickets[order]
    number = ticket["symbol"]
    symbol = desk.symbols[number]
    if is_unsized(ticket) or ticket["reduce_only"] or ticket["kind"] >= Kind.STOP:
        return False
    sign = 1 - 2 * ticket["side"]
    closing = min(ticket["lots"], max(0, -sign * symbol["position"]))
    opening = ticket["lots"] - closing
    price = symbol["mark"]
    if ticket["limit_price_ticks"] != NO_PRICE:
        price = price_of(symbol, ticket["limit_price_ticks"])
    if opening == 0 or isnan(price):
        return False
    carried = carried_lots(desk, number, sign, closing, opening, price, 0, True)
    if desk.head[0]["shrink"]:
        return bool(closing + carried == 0)
    return bool(carried < opening)


@part
def _change(desk: Desk, order: int, row: Any, ts_ns: int) -> None:
    ticket = desk.tickets[order]
    number, slot = ticket["symbol"], ticket["slot"]
    book = book_of(desk, number)
    amended = amend(
        book, slot, row["lots"], row["limit_price_ticks"], row["stop_price_ticks"],
        row["trail_ticks"], row["trail_bps"], row["expires_ns"], ts_ns,
    )  # fmt: skip
    if amended == Amended.REFUSED:
        note(desk, What.REJECTED, order, number, Reason.POST_ONLY_WOULD_TAKE, ts_ns)
        return
    _rewrite(ticket, row)
    ticket["lots"] = ticket["filled_lots"] + row["lots"]
    if amended == Amended.STAYS:
        return
    if book.state[0]["quoted"]:
        ask = book.sides[Side.BUY]["opposite_price_ticks"]
        bid = book.sides[Side.SELL]["opposite_price_ticks"]
        set_moment(desk, ask, bid, UNKNOWN_SIZE)
        meet(desk, number, slot, Source.QUOTE, ts_ns)
        if desk.head[0]["raising"] != NO_ORDER:
            raise_children(desk, Source.QUOTE, ts_ns, ts_ns)
    else:
        fence_in(book, slot)
