"""What happens to an account by itself: interest, corporate actions, liquidation. Compiled."""

import numpy as np

from alphintra.engine.chain import settle
from alphintra.engine.compile import part
from alphintra.engine.layout import NO_PRICE, NO_SLOT, Kind, Side
from alphintra.engine.portfolio.dealing import DAY_NS, book_deal, end_ticket, note, withdraw
from alphintra.engine.portfolio.money import book_of, standing, worsened
from alphintra.engine.portfolio.records import NO_ORDER, Cause, Desk, Status, What
from alphintra.engine.series import ActionKind

_KIND, _NUMERATOR, _DENOMINATOR, _AMOUNT = 4, 5, 6, 7
_DAYS_PER_YEAR = 365.0
_NOBODY_NS = -(2**62)


@part
def charge_interest(desk: Desk, ts_ns: int) -> None:
    """On the first event of a UTC day, charge what short positions have cost since the last."""
    head = desk.head[0]
    day = ts_ns // DAY_NS
    days = day - head["borrow_day"]
    if days <= 0:
        return
    head["borrow_day"] = day
    for number in range(len(desk.symbols)):
        symbol = desk.symbols[number]
        if symbol["position"] < 0 and symbol["borrow_rate"] > 0.0:
            value = -symbol["position"] * symbol["unit"] * symbol["mark"]
            interest = value * symbol["borrow_rate"] * days / _DAYS_PER_YEAR
            pay(desk, What.BORROW, number, -interest, ts_ns)


@part
def pay(desk: Desk, what: int, number: int, amount: float, ts_ns: int) -> None:
    """Move money without a fill, in the symbol's currency."""
    symbol = desk.symbols[number]
    desk.currencies[symbol["currency"]]["cash"] += amount
    row = note(desk, what, NO_ORDER, number, 0, ts_ns)
    row["cash"] = amount
    row["price"] = symbol["mark"]


@part
def liquidate(desk: Desk, ts_ns: int) -> None:
    """Close everything when equity is below the maintenance margin."""
    equity, _, maintenance, _ = standing(desk)
    if equity >= maintenance:
        return
    note(desk, What.LIQUIDATION, NO_ORDER, 0, Cause.LIQUIDATION, ts_ns)["cash"] = 0.0
    cancel_everything(desk, Cause.LIQUIDATION, ts_ns)
    close_positions(desk, Cause.LIQUIDATION, ts_ns)


@part
def cancel_everything(desk: Desk, cause: int, ts_ns: int) -> None:
    """Cancel every order that has not ended."""
    for number in range(len(desk.symbols)):
        if desk.symbols[number]["live"] > 0:
            cancel_symbol(desk, number, cause, ts_ns)


@part
def cancel_symbol(desk: Desk, number: int, cause: int, ts_ns: int) -> None:
    """Cancel every order of a symbol: those in its book in their order, then those to come."""
    book = book_of(desk, number)
    while book.state[0]["first"] != NO_SLOT:
        withdraw(desk, number, book.state[0]["first"], cause, ts_ns)
    for order in range(desk.head[0]["orders"] - 1, -1, -1):
        if desk.symbols[number]["live"] == 0:
            return
        ticket = desk.tickets[order]
        if ticket["symbol"] == number and ticket["status"] <= Status.OPEN:
            note(desk, What.CANCELED, order, number, cause, ts_ns)
            end_ticket(desk, order, Status.CANCELED, cause, ts_ns)


@part
def end_run(desk: Desk, closes: int) -> None:
    """Cancel all orders, and close all positions if asked to."""
    head = desk.head[0]
    head["row"] = max(0, head["cursor"] - 1)
    cancel_everything(desk, Cause.END, head["now_ns"])
    if closes:
        close_positions(desk, Cause.END, head["now_ns"])


@part
def close_positions(desk: Desk, cause: int, ts_ns: int) -> None:
    """Deal out of every position at its last price, at the usual costs."""
    for number in range(len(desk.symbols)):
        close_position(desk, number, cause, ts_ns)


@part
def close_position(desk: Desk, number: int, cause: int, ts_ns: int) -> None:
    """Deal out of a position at its last price, at the usual costs; delisting costs nothing."""
    symbol = desk.symbols[number]
    position = symbol["position"]
    if position == 0:
        return
    side = Side.SELL if position > 0 else Side.BUY
    met = symbol["mark"]
    price = met
    if cause != Cause.DELISTED:
        ticks = desk.states[number, 0]["slippage_ticks"]
        slipped = ticks * symbol["tick_over"] / symbol["tick_under"]
        sign = 1 - 2 * side
        price = worsened(symbol, sign, met + sign * slipped, abs(position), 0)
    book_deal(desk, number, NO_ORDER, side, abs(position), price, met, 0, cause, ts_ns)


@part
def act(desk: Desk, number: int, row: int) -> None:
    """Apply a corporate action."""
    ts_ns = desk.cells[0, row]
    symbol = desk.symbols[number]
    kind = desk.cells[_KIND, row]
    amount = desk.cells[_AMOUNT, row : row + 1].view(np.float64)[0]
    if kind == ActionKind.DIVIDEND:
        if symbol["position"] != 0:
            units = symbol["position"] * symbol["unit"]
            pay(desk, What.DIVIDEND, number, units * amount, ts_ns)
    elif kind == ActionKind.FUNDING:
        if symbol["position"] != 0:
            value = symbol["position"] * symbol["unit"] * symbol["mark"]
            pay(desk, What.FUNDING, number, -value * amount, ts_ns)
    elif kind == ActionKind.SPLIT:
        split(desk, number, desk.cells[_NUMERATOR, row], desk.cells[_DENOMINATOR, row], ts_ns)
    elif not symbol["delisted"]:
        symbol["delisted"] = 1
        note(desk, What.DELISTING, NO_ORDER, number, Cause.DELISTED, ts_ns)
        cancel_symbol(desk, number, Cause.DELISTED, ts_ns)
        close_position(desk, number, Cause.DELISTED, ts_ns)


@part
def split(desk: Desk, number: int, numerator: int, denominator: int, ts_ns: int) -> None:
    """Turn `denominator` units into `numerator`: the position, its price, the resting orders.

    What is left of a position below one lot is paid out at the last price.
    """
    symbol = desk.symbols[number]
    position = symbol["position"]
    if position != 0:
        lots = abs(position) * numerator // denominator
        left = abs(position) * numerator - lots * denominator  # in lots / denominator
        sign = 1 if position > 0 else -1
        symbol["position"] = sign * lots
        price = symbol["mark"] * denominator / numerator
        paid = sign * left / denominator * symbol["unit"] * price
        desk.currencies[symbol["currency"]]["cash"] += paid
        if lots == 0 and position < 0:
            desk.head[0]["shorts"] -= 1
        row = note(desk, What.SPLIT, NO_ORDER, number, Cause.SPLIT, ts_ns)
        row["lots"] = lots - abs(position)
        row["cash"] = paid
        row["price"] = price
    symbol["mark"] = symbol["mark"] * denominator / numerator
    book = book_of(desk, number)
    for row_of_side in range(2):
        book.sides[row_of_side]["opposite_price_ticks"] = NO_PRICE
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        following = order["next"]
        ticket = desk.tickets[order["owner"]]
        unsized = ticket["weight"] == ticket["weight"] and ticket["lots"] == 0
        lots = order["remaining_lots"] * numerator // denominator
        if lots == 0 and not unsized:
            withdraw(desk, number, slot, Cause.SPLIT, ts_ns)
        elif not unsized:
            _split_prices(order, numerator, denominator)
            if order["mark_price_ticks"] != NO_PRICE:  # of a trailing stop
                order["mark_price_ticks"] = _share(
                    order["mark_price_ticks"], denominator, numerator
                )
            order["remaining_lots"] = lots
            ticket["lots"] = ticket["filled_lots"] * numerator // denominator + lots
            ticket["filled_lots"] = ticket["filled_lots"] * numerator // denominator
            ticket["limit_price_ticks"] = order["limit_price_ticks"]
            ticket["stop_price_ticks"] = order["stop_price_ticks"]
            ticket["trail_ticks"] = order["trail_ticks"]
        slot = following
    settle(book, _NOBODY_NS, ts_ns)  # which only draws the fences anew
    for order_number in range(desk.head[0]["orders"]):
        ticket = desk.tickets[order_number]
        if ticket["symbol"] == number and ticket["status"] <= Status.WAITING:
            _split_prices(ticket, numerator, denominator)
            ticket["lots"] = ticket["lots"] * numerator // denominator


@part
def _split_prices(order, numerator: int, denominator: int) -> None:  # type: ignore[no-untyped-def]
    """Set an order's prices to those of the new units, to the nearest tick."""
    if order["limit_price_ticks"] != NO_PRICE:
        order["limit_price_ticks"] = _share(order["limit_price_ticks"], denominator, numerator)
    if order["stop_price_ticks"] != NO_PRICE:
        order["stop_price_ticks"] = _share(order["stop_price_ticks"], denominator, numerator)
    if order["kind"] == Kind.TRAILING_STOP and order["trail_ticks"] > 0:
        order["trail_ticks"] = max(1, _share(order["trail_ticks"], denominator, numerator))


@part
def _share(ticks: int, over: int, under: int) -> int:
    """Return ticks × over / under, rounded half up."""
    return (2 * ticks * over + under) // (2 * under)
