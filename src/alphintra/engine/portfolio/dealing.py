"""A fill and what follows from it: money, position, siblings, children. Compiled.

Every change is written to the journal in the order in which it happens.
"""

from typing import Any

from alphintra.engine.chain import cancel_slot, fence_in, finish, has_limit, sign_of
from alphintra.engine.compile import part
from alphintra.engine.layout import NEVER_NS, NO_PRICE, NO_SLOT, EventKind, Side
from alphintra.engine.matching import deal_price, execute, reach, touch
from alphintra.engine.portfolio.money import (
    book_of,
    fee_of,
    permitted_lots,
    price_of,
    target_lots,
    worsened,
)
from alphintra.engine.portfolio.records import NO_ORDER, NO_ROW, Cause, Desk, Status, What
from alphintra.engine.steps import enter

DAY_NS = 86_400_000_000_000


@part
def note(desk: Desk, what: int, order: int, number: int, cause: int, ts_ns: int) -> Any:
    """Append a row to the journal and return it."""
    head = desk.head[0]
    row = desk.journal[head["journal"]]
    head["journal"] += 1
    row["what"] = what
    row["order"] = order
    row["symbol"] = number
    row["side"] = desk.tickets[order]["side"] if order >= 0 else 0
    row["lots"] = 0
    row["price"] = 0.0
    row["fee"] = 0.0
    row["cash"] = 0.0
    row["slippage"] = 0.0
    row["position"] = desk.symbols[number]["position"]
    row["is_maker"] = 0
    row["cause"] = cause
    row["ts_ns"] = ts_ns
    row["row"] = head["row"]
    return row


@part
def end_ticket(desk: Desk, order: int, status: int, cause: int, ts_ns: int) -> None:
    """End an order; children that waited for its first fill end with it."""
    ticket = desk.tickets[order]
    ticket["status"] = status
    ticket["cause"] = cause
    ticket["ended_ns"] = ts_ns
    ticket["slot"] = NO_SLOT
    desk.symbols[ticket["symbol"]]["live"] -= 1
    desk.head[0]["live"] -= 1
    if status == Status.FILLED or ticket["filled_lots"] > 0:
        return
    child = ticket["first_child"]
    while child != NO_ORDER:
        waiting = desk.tickets[child]
        if waiting["status"] == Status.WAITING:
            note(desk, What.CANCELED, child, waiting["symbol"], Cause.PARENT_ENDED, ts_ns)
            waiting["status"] = Status.CANCELED
            waiting["cause"] = Cause.PARENT_ENDED
            waiting["ended_ns"] = ts_ns
            desk.symbols[waiting["symbol"]]["live"] -= 1
            desk.head[0]["live"] -= 1
        child = waiting["next_child"]


@part
def harvest(desk: Desk, number: int) -> None:
    """Write the events of a symbol's book, other than fills, to the journal."""
    book = book_of(desk, number)
    state = book.state[0]
    for index in range(state["events"]):
        event = book.events[index]
        order = book.orders[event["handle"] & 0xFFFFFFFF]["owner"]
        if event["kind"] == EventKind.TRIGGERED:
            row = note(desk, What.TRIGGERED, order, number, 0, event["ts_ns"])
            symbol = desk.symbols[number]
            row["price"] = price_of(symbol, event["price_ticks"])
        elif event["kind"] == EventKind.EXPIRED:
            row = note(desk, What.EXPIRED, order, number, 0, event["ts_ns"])
            row["lots"] = event["lots"]
            end_ticket(desk, order, Status.EXPIRED, 0, event["ts_ns"])
        else:
            row = note(desk, What.CANCELED, order, number, event["reason"], event["ts_ns"])
            row["lots"] = event["lots"]
            end_ticket(desk, order, Status.CANCELED, event["reason"], event["ts_ns"])
    state["events"] = 0


@part
def withdraw(desk: Desk, number: int, slot: int, cause: int, ts_ns: int) -> None:
    """Cancel an open order for a reason of the account's."""
    book = book_of(desk, number)
    cancel_slot(book, slot, cause, ts_ns)
    harvest(desk, number)


@part
def settle_deal(
    desk: Desk, number: int, order: int, side: int, lots: int, price: float, met: float,
    is_maker: int, cause: int, ts_ns: int,
) -> None:  # fmt: skip
    """Book one fill that does not turn the position's sign."""
    symbol = desk.symbols[number]
    sign = 1 - 2 * side
    is_first = order < 0 or desk.tickets[order]["filled_lots"] == 0
    fee = 0.0
    if cause != Cause.DELISTED:
        fee = fee_of(desk, number, lots, price, is_maker, is_first)
    value = lots * symbol["unit"] * price
    was_short = symbol["position"] < 0
    symbol["position"] += sign * lots
    symbol["traded"] += value
    is_short = symbol["position"] < 0
    if is_short and not was_short:
        if desk.head[0]["shorts"] == 0:
            desk.head[0]["borrow_day"] = ts_ns // DAY_NS
        desk.head[0]["shorts"] += 1
    elif was_short and not is_short:
        desk.head[0]["shorts"] -= 1
    change = -sign * value - fee
    desk.currencies[symbol["currency"]]["cash"] += change
    row = note(desk, What.FILL, order, number, cause, ts_ns)
    row["side"] = side
    row["lots"] = lots
    row["price"] = price
    row["fee"] = fee
    row["cash"] = change
    row["slippage"] = sign * (price - met) * lots * symbol["unit"]
    row["is_maker"] = is_maker
    if order >= 0:
        ticket = desk.tickets[order]
        ticket["filled_lots"] += lots
        ticket["value"] += value
        ticket["fees"] += fee


@part
def book_deal(
    desk: Desk, number: int, order: int, side: int, lots: int, price: float, met: float,
    is_maker: int, cause: int, ts_ns: int,
) -> None:  # fmt: skip
    """Book a fill; one that turns the position's sign becomes two: it closes, then it opens."""
    sign = 1 - 2 * side
    closing = min(lots, max(0, -sign * desk.symbols[number]["position"]))
    if closing > 0:
        settle_deal(desk, number, order, side, closing, price, met, is_maker, cause, ts_ns)
        if desk.symbols[number]["position"] == 0:
            drop_reducers(desk, number, order, ts_ns)
    if lots > closing:
        opening = lots - closing
        settle_deal(desk, number, order, side, opening, price, met, is_maker, cause, ts_ns)


@part
def drop_reducers(desk: Desk, number: int, but: int, ts_ns: int) -> None:
    """The position is gone: cancel the open orders that were there to reduce it."""
    book = book_of(desk, number)
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        following = order["next"]
        if order["owner"] != but and desk.tickets[order["owner"]]["reduce_only"]:
            withdraw(desk, number, slot, Cause.NOTHING_TO_REDUCE, ts_ns)
        slot = following


@part
def take_from_siblings(desk: Desk, order: int, lots: int, ts_ns: int) -> None:
    """What one order of a ring has filled is no longer wanted from the others."""
    other = desk.tickets[order]["ring"]
    while other != order:
        ticket = desk.tickets[other]
        number = ticket["symbol"]
        if ticket["status"] == Status.OPEN:
            book = book_of(desk, number)
            open_order = book.orders[ticket["slot"]]
            unsized = ticket["weight"] == ticket["weight"] and ticket["lots"] == 0
            if open_order["remaining_lots"] <= lots or unsized:
                withdraw(desk, number, ticket["slot"], Cause.SIBLING_FILLED, ts_ns)
            else:
                open_order["remaining_lots"] -= lots
                ticket["lots"] -= lots
                row = note(desk, What.REDUCED, other, number, Cause.SIBLING_FILLED, ts_ns)
                row["lots"] = lots
        elif ticket["status"] == Status.WAITING or ticket["status"] == Status.SENT:
            note(desk, What.CANCELED, other, number, Cause.SIBLING_FILLED, ts_ns)
            end_ticket(desk, other, Status.CANCELED, Cause.SIBLING_FILLED, ts_ns)
        other = ticket["ring"]


@part
def feed_children(desk: Desk, order: int, lots: int) -> None:
    """Give the children what their parent has filled; `raise_children` brings them in."""
    child = desk.tickets[order]["first_child"]
    while child != NO_ORDER:
        ticket = desk.tickets[child]
        if ticket["status"] == Status.WAITING:
            desk.head[0]["raising"] = order
            if ticket["follows"]:
                ticket["lots"] += lots
        elif ticket["status"] == Status.OPEN and ticket["follows"]:
            ticket["lots"] += lots
            desk.slots[ticket["symbol"], ticket["slot"]]["remaining_lots"] += lots
        child = ticket["next_child"]


@part
def is_unsized(ticket: Any) -> bool:
    """Say that the order's quantity is decided when it meets a price."""
    return bool(ticket["weight"] == ticket["weight"] and ticket["lots"] == 0)


@part
def size(desk: Desk, order: int, buy_ticks: int, sell_ticks: int) -> int:
    """Turn an order's target weight into its side and quantity, and return this.

    0: there is nothing to do; -1: nobody is on the side that it needs.
    """
    ticket = desk.tickets[order]
    number = ticket["symbol"]
    symbol = desk.symbols[number]
    slippage = desk.states[number, 0]["slippage_ticks"]
    some = buy_ticks if buy_ticks != NO_PRICE else sell_ticks
    wanted = target_lots(desk, number, ticket["weight"], price_of(symbol, some), True)
    side = Side.BUY if wanted >= symbol["position"] else Side.SELL
    sign = sign_of(side)
    ticks = buy_ticks if side == Side.BUY else sell_ticks
    if ticks == NO_PRICE:
        return -1
    price = worsened(symbol, sign, price_of(symbol, ticks + sign * slippage), 0, 0)
    wanted = target_lots(desk, number, ticket["weight"], price, True)
    lots = sign * (wanted - symbol["position"])
    if lots <= 0:
        return 0
    ticket["side"] = side
    ticket["lots"] = lots
    return int(lots)


@part
def deal_without_book(desk: Desk, order: int, ticks: int, ts_ns: int) -> None:
    """Let a weight order that is alone meet a price without limits of volume: `trade` in short."""
    ticket = desk.tickets[order]
    number = ticket["symbol"]
    symbol = desk.symbols[number]
    lots = size(desk, order, ticks, ticks)
    if lots == 0:
        note(desk, What.CANCELED, order, number, Cause.NOTHING_TO_DO, ts_ns)["lots"] = 1
        end_ticket(desk, order, Status.CANCELED, Cause.NOTHING_TO_DO, ts_ns)
        return
    side = ticket["side"]
    sign = sign_of(side)
    volume = desk.head[0]["volume_lots"]
    price = price_of(symbol, ticks + sign * desk.states[number, 0]["slippage_ticks"])
    worse = worsened(symbol, sign, price, lots, volume)
    permitted, cause = permitted_lots(desk, number, side, lots, ticket, worse, 0)
    if permitted == 0:
        note(desk, What.CANCELED, order, number, cause, ts_ns)["lots"] = lots
        end_ticket(desk, order, Status.CANCELED, cause, ts_ns)
        return
    if permitted < lots:
        note(desk, What.REDUCED, order, number, cause, ts_ns)["lots"] = lots - permitted
        ticket["lots"] = permitted
        worse = worsened(symbol, sign, price, permitted, volume)
    met = price_of(symbol, ticks)
    book_deal(desk, number, order, side, permitted, worse, met, 0, 0, ts_ns)
    end_ticket(desk, order, Status.FILLED, 0, ts_ns)


@part
def trade(desk: Desk, number: int, slot: int, source: int, ts_ns: int) -> None:
    """Let an active order deal at the moment at hand, as far as the account may."""
    head = desk.head[0]
    book = book_of(desk, number)
    order = book.orders[slot]
    owner = order["owner"]
    ticket = desk.tickets[owner]
    symbol = desk.symbols[number]
    buy_ticks, sell_ticks = head["buy_ticks"], head["sell_ticks"]
    if is_unsized(ticket):
        lots = size(desk, owner, buy_ticks, sell_ticks)
        if lots == 0:
            withdraw(desk, number, slot, Cause.NOTHING_TO_DO, ts_ns)
        if lots <= 0:
            return
        order["side"] = ticket["side"]
        order["remaining_lots"] = lots
    level = buy_ticks if order["side"] == Side.BUY else sell_ticks
    limited = has_limit(order)
    if limited and order["fresh"] and order["post_only"]:
        execute(book, slot, level, source, ts_ns)  # which refuses it
        harvest(desk, number)
        return
    side = order["side"]
    is_maker = int(limited and not order["fresh"])
    ticks = deal_price(book, order, level, source)
    price = price_of(symbol, ticks)
    if not limited:
        price = worsened(symbol, sign_of(side), price, order["remaining_lots"], head["volume_lots"])
    permitted, cause = permitted_lots(
        desk, number, side, order["remaining_lots"], ticket, price, is_maker
    )
    if permitted == 0:
        withdraw(desk, number, slot, cause, ts_ns)
        return
    if permitted < order["remaining_lots"]:
        row = note(desk, What.REDUCED, owner, number, cause, ts_ns)
        row["lots"] = order["remaining_lots"] - permitted
        ticket["lots"] -= order["remaining_lots"] - permitted
        order["remaining_lots"] = permitted
    accepted_ns = order["accepted_ns"]
    execute(book, slot, level, source, ts_ns)
    if book.state[0]["events"] == 0:
        return  # the volume is used up
    lots = book.events[0]["lots"]
    book.state[0]["events"] = 0
    if not limited:
        price = worsened(symbol, sign_of(side), price_of(symbol, ticks), lots, head["volume_lots"])
    met = price_of(symbol, level) if not limited else price
    ts_ns = max(ts_ns, accepted_ns)
    book_deal(desk, number, owner, side, lots, price, met, is_maker, 0, ts_ns)
    if order["remaining_lots"] == 0:
        end_ticket(desk, owner, Status.FILLED, 0, ts_ns)
    if ticket["ring"] != owner:
        take_from_siblings(desk, owner, lots, ts_ns)
    if ticket["first_child"] != NO_ORDER:
        feed_children(desk, owner, lots)


@part
def come_in(desk: Desk, order: int, accepted_ns: int) -> int:
    """Put an order into its book; return its slot."""
    ticket = desk.tickets[order]
    number = ticket["symbol"]
    book = book_of(desk, number)
    unsized = is_unsized(ticket)
    wakes_ns = NEVER_NS
    if ticket["auction_row"] != NO_ROW:
        wakes_ns = desk.cells[1, ticket["auction_row"]]
    slot = enter(
        book, ticket["side"], ticket["kind"], 1 if unsized else ticket["lots"],
        ticket["limit_price_ticks"], ticket["stop_price_ticks"], ticket["trail_ticks"],
        ticket["trail_bps"], ticket["lifetime"], ticket["post_only"], ticket["expires_ns"],
        wakes_ns, accepted_ns,
    )  # fmt: skip
    book.orders[slot]["owner"] = order
    ticket["slot"] = slot
    ticket["status"] = Status.OPEN
    ticket["accepted_ns"] = accepted_ns
    return slot


@part
def meet(desk: Desk, number: int, slot: int, source: int, ts_ns: int) -> None:
    """Let an order that came at this moment meet its price."""
    head = desk.head[0]
    book = book_of(desk, number)
    order = book.orders[slot]
    owner = order["owner"]
    level = head["buy_ticks"] if order["side"] == Side.BUY else head["sell_ticks"]
    if level != NO_PRICE:
        if order["dormant"]:
            touch(book, slot, level, True, ts_ns)
            harvest(desk, number)
        if not order["dormant"] and reach(book, order, level, source) >= 0:
            trade(desk, number, slot, source, ts_ns)
    if desk.tickets[owner]["status"] == Status.OPEN:
        finish(book, slot, ts_ns)
        harvest(desk, number)
    if desk.tickets[owner]["status"] == Status.OPEN:
        fence_in(book, slot)


@part
def raise_children(desk: Desk, source: int, accepted_ns: int, ts_ns: int) -> None:
    """Bring the waiting children of an order that has filled into the book, at this moment."""
    head = desk.head[0]
    parent = head["raising"]
    head["raising"] = NO_ORDER
    child = desk.tickets[parent]["first_child"]
    while child != NO_ORDER:
        ticket = desk.tickets[child]
        if ticket["status"] == Status.WAITING:
            slot = come_in(desk, child, accepted_ns)
            meet(desk, ticket["symbol"], slot, source, ts_ns)
        child = ticket["next_child"]
