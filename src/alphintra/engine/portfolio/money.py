"""What positions are worth, what dealing costs, what the account can carry. Compiled.

Money is `float64`: sums are formed in one order, so a run repeated gives the same bytes.
"""

from math import floor, sqrt
from typing import Any

from alphintra.engine.compile import part
from alphintra.engine.layout import Book, Lifetime
from alphintra.engine.portfolio.records import Cause, Desk

#: Rounding of sums must not cost a lot: a need that is larger by this share still fits.
SLACK = 1e-9


@part
def book_of(desk: Desk, number: int) -> Book:
    """Return the book of a symbol; the room for hits and events is shared."""
    return Book(desk.states[number], desk.sides[number], desk.slots[number], desk.hits, desk.events)


@part
def price_of(symbol: Any, ticks: int) -> float:
    """Return a price in currency."""
    return float(ticks * symbol["tick_over"] / symbol["tick_under"])


@part
def rate_of(desk: Desk, currency: int) -> float:
    """Return what one unit of a currency is worth in the base."""
    terms = desk.currencies[currency]
    if terms["pair"] < 0:
        return float(terms["rate"])
    mark = desk.symbols[terms["pair"]]["mark"]
    return float(1.0 / mark if terms["inverse"] else mark)


@part
def cash_of(desk: Desk) -> float:
    """Return all cash in the base."""
    total = 0.0
    for currency in range(len(desk.currencies)):
        cash = desk.currencies[currency]["cash"]
        if cash != 0.0:
            total += cash * rate_of(desk, currency)
    return total


@part
def standing(desk: Desk) -> tuple[float, float, float, float]:
    """Return equity, initial margin, maintenance margin and gross position value, in the base."""
    equity, initial, maintenance, gross = cash_of(desk), 0.0, 0.0, 0.0
    for number in range(len(desk.symbols)):
        symbol = desk.symbols[number]
        if symbol["position"] != 0:
            value = (
                symbol["position"]
                * symbol["unit"]
                * symbol["mark"]
                * rate_of(desk, symbol["currency"])
            )
            equity += value
            initial += abs(value) * symbol["initial"]
            maintenance += abs(value) * symbol["maintenance"]
            gross += abs(value)
    return equity, initial, maintenance, gross


@part
def scanned_shortfall(desk: Desk) -> bool:
    """Say that equity is below the maintenance margin at the marks of a scan."""
    equity, maintenance = 0.0, 0.0
    for currency in range(len(desk.currencies)):
        terms = desk.currencies[currency]
        if terms["cash"] != 0.0:
            equity += terms["cash"] * scanned_rate(desk, currency)
    for number in range(len(desk.symbols)):
        symbol = desk.symbols[number]
        if symbol["position"] != 0:
            value = (
                symbol["position"]
                * symbol["unit"]
                * symbol["scanned_mark"]
                * scanned_rate(desk, symbol["currency"])
            )
            equity += value
            maintenance += abs(value) * symbol["maintenance"]
    return equity < maintenance


@part
def scanned_rate(desk: Desk, currency: int) -> float:
    """Return `rate_of` at the marks of a scan."""
    terms = desk.currencies[currency]
    if terms["pair"] < 0:
        return float(terms["rate"])
    mark = desk.symbols[terms["pair"]]["scanned_mark"]
    return float(1.0 / mark if terms["inverse"] else mark)


@part
def fee_rate_of(desk: Desk, number: int, is_maker: int) -> float:
    """Return the share of a fill's value that is its fee, by what has been traded so far."""
    symbol = desk.symbols[number]
    rate = symbol["maker_rate"] if is_maker else symbol["rate"]
    for row in range(symbol["tiers"]):
        if symbol["traded"] >= desk.tiers[number, row, 0]:
            rate = desk.tiers[number, row, 1]
    return float(rate)


@part
def fee_of(
    desk: Desk, number: int, lots: int, price: float, is_maker: int, is_first: bool
) -> float:
    """Return the fee of a fill in the symbol's currency; negative for a rebate."""
    symbol = desk.symbols[number]
    fee = lots * symbol["unit"] * price * fee_rate_of(desk, number, is_maker)
    fee += lots * symbol["lot_size"] * symbol["per_unit"]
    if is_first:
        fee += symbol["per_order"]
    if fee >= 0.0:
        fee = min(max(fee, symbol["minimum"]), symbol["maximum"])
    return float(fee)


@part
def worsened(symbol: Any, sign: int, price: float, lots: int, volume_lots: int) -> float:
    """Return what an order without a limit deals at when it meets a price."""
    share = symbol["worse"]
    if symbol["impact"] > 0.0 and volume_lots > 0:
        share += symbol["impact"] * sqrt(lots / volume_lots)
    return float(price * (1.0 + sign * share)) if share != 0.0 else price


@part
def equity_with(desk: Desk, number: int, price: float) -> tuple[float, float]:
    """Return equity with one symbol at `price`, and the initial margin of all others."""
    equity, initial, _, _ = standing(desk)
    symbol = desk.symbols[number]
    if symbol["position"] != 0:
        rate = rate_of(desk, symbol["currency"])
        held = symbol["position"] * symbol["unit"] * rate
        equity += held * price - held * symbol["mark"]
        initial -= abs(held * symbol["mark"]) * symbol["initial"]
    return equity, initial


@part
def target_lots(desk: Desk, number: int, weight: float, price: float, is_first: bool) -> int:
    """Return the position that is worth `weight` of equity at `price`, its fee included.

    When the position has to turn its sign, the fee of closing it is taken off equity first.
    """
    symbol = desk.symbols[number]
    if weight == 0.0:
        return 0
    sign = 1 if weight > 0.0 else -1
    rate = rate_of(desk, symbol["currency"])
    if len(desk.symbols) == 1 and len(desk.currencies) == 1:
        equity = desk.currencies[0]["cash"] + symbol["position"] * symbol["unit"] * price
    else:
        equity, _ = equity_with(desk, number, price)
    if symbol["position"] * sign < 0:
        equity -= fee_of(desk, number, abs(symbol["position"]), price, 0, is_first) * rate
    if equity <= 0.0:
        return 0
    per_lot = price * symbol["unit"] * rate * (1.0 + fee_rate_of(desk, number, 0))
    lots: int = floor(abs(weight) * equity / per_lot)
    return sign * lots


@part
def carried_lots(
    desk: Desk, number: int, sign: int, closing: int, opening: int, price: float, is_maker: int,
    is_first: bool,
) -> int:  # fmt: skip
    """Return how many of `opening` lots the account can carry, after `closing` at that price."""
    symbol = desk.symbols[number]
    rate = rate_of(desk, symbol["currency"])
    equity, initial = equity_with(desk, number, price)
    after = abs(symbol["position"] + sign * closing)
    per_lot = price * symbol["unit"] * rate * symbol["initial"]
    free = equity - initial - after * per_lot + SLACK * max(1.0, abs(equity))
    if closing > 0:
        free -= fee_of(desk, number, closing, price, is_maker, is_first) * rate
        is_first = False
    low, high = 0, opening + 1  # `low` fits, `high` does not
    lots = opening
    while high - low > 1:
        fee = fee_of(desk, number, lots, price, is_maker, is_first) * rate
        if lots * per_lot + fee <= free:
            low = lots
        else:
            high = lots
        lots = (low + high) // 2
    return low


@part
def permitted_lots(
    desk: Desk, number: int, side: int, lots: int, ticket: Any, price: float, is_maker: int
) -> tuple[int, int]:
    """Return how much of an order the account may deal at `price`, and why not all of it.

    Of an order that fills whole or not at all that is all or nothing.
    """
    symbol = desk.symbols[number]
    sign = 1 - 2 * side
    closing = min(lots, max(0, -sign * symbol["position"]))
    if closing == lots:
        return lots, Cause.NONE
    whole = ticket["lifetime"] == Lifetime.FOK
    part_of_it = 0 if whole else closing
    if ticket["reduce_only"]:
        return part_of_it, Cause.NOTHING_TO_REDUCE
    if sign < 0 and not (desk.head[0]["allow_short"] and symbol["shortable"]):
        return part_of_it, Cause.SHORT_NOT_ALLOWED
    opening = lots - closing
    carried = carried_lots(
        desk, number, sign, closing, opening, price, is_maker, ticket["filled_lots"] == 0
    )
    if carried == opening:
        return lots, Cause.NONE
    if whole:
        return 0, Cause.BUYING_POWER
    if not desk.head[0]["shrink"]:
        carried = 0
    return closing + carried, Cause.BUYING_POWER
