"""Whether the terms of an order are well formed: against themselves and the instrument."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from alphintra.core import money
from alphintra.core.instruments import Instrument
from alphintra.core.orders import OrderClass, OrderType, TimeInForce
from alphintra.trading import risk
from alphintra.trading.commands import Terms

#: Beyond this the parts of an order would not fit NUMERIC(20,8).
VALUE_MAX = Decimal(10) ** 11
#: Digits before and behind the point that a number may have at all.
_DIGITS = 30
EXIT_TIMES_IN_FORCE = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD})
TRAIL_PERCENT_STEP = Decimal("0.01")


class OrderRefusal(StrEnum):
    """Why an order is not well formed, in the order in which it is looked at."""

    UNKNOWN_SYMBOL = "unknown_symbol"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    QUANTITY_OR_NOTIONAL = "quantity_or_notional"
    NOTIONAL_NEEDS_MARKET_ORDER = "notional_needs_market_order"
    PRICE_MISSING = "price_missing"
    PRICE_NOT_ALLOWED = "price_not_allowed"
    STOP_PRICE_MISSING = "stop_price_missing"
    STOP_PRICE_NOT_ALLOWED = "stop_price_not_allowed"
    TRAIL_INVALID = "trail_invalid"
    TRAIL_NOT_ALLOWED = "trail_not_allowed"
    TIME_IN_FORCE_NOT_ALLOWED = "time_in_force_not_allowed"
    NO_AUCTION = "no_auction"
    EXPIRES_AT_MISSING = "expires_at_missing"
    EXPIRES_AT_NOT_ALLOWED = "expires_at_not_allowed"
    EXPIRES_AT_IN_THE_PAST = "expires_at_in_the_past"
    POST_ONLY_NOT_ALLOWED = "post_only_not_allowed"
    EXITS_DO_NOT_MATCH_CLASS = "exits_do_not_match_class"
    EXITS_OUT_OF_ORDER = "exits_out_of_order"
    NUMBER_NOT_USABLE = "number_not_usable"
    PRICE_NOT_ON_TICK = "price_not_on_tick"
    QUANTITY_NOT_ON_LOT = "quantity_not_on_lot"
    NO_PRICE_FOR_NOTIONAL = "no_price_for_notional"
    NOTIONAL_BELOW_ONE_LOT = "notional_below_one_lot"
    ORDER_TOO_LARGE = "order_too_large"
    OCO_NEEDS_POSITION = "oco_needs_position"


class Malformed(Exception):
    """The terms contradict themselves or the instrument; says which rule and how."""

    def __init__(self, refusal: OrderRefusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.detail = detail


def validate(terms: Terms, instrument: Instrument, at: datetime) -> None:
    """Check the terms against themselves and the instrument.

    Raises:
        Malformed: the first rule that they break.
    """
    _validate_numbers(terms)
    _validate_amount(terms)
    _validate_prices(terms)
    _validate_time(terms, at)
    _validate_exits(terms)
    for price in _prices(terms):
        if price <= 0 or price >= VALUE_MAX or not instrument.price_is_on_tick(price):
            raise Malformed(
                OrderRefusal.PRICE_NOT_ON_TICK,
                f"{money.text(price)} is no positive multiple of the tick {instrument.tick_size}",
            )
    if terms.quantity is not None and not (
        0 < terms.quantity < VALUE_MAX and instrument.quantity_is_on_lot(terms.quantity)
    ):
        raise Malformed(
            OrderRefusal.QUANTITY_NOT_ON_LOT,
            f"{terms.quantity} is not a positive multiple of the lot {instrument.lot_size}",
        )


def _validate_numbers(terms: Terms) -> None:
    """Refuse what is no number, or one that nobody can reckon with: it would stop the desk."""
    parts = [terms, *(one for one in (terms.take_profit, terms.stop_loss) if one is not None)]
    for part in parts:
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if isinstance(value, Decimal) and not (
                value.is_finite() and value.adjusted() < _DIGITS and _exponent(value) > -_DIGITS
            ):
                raise Malformed(OrderRefusal.NUMBER_NOT_USABLE, f"{name} is no usable number")


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # it is finite
    return exponent


def _validate_amount(terms: Terms) -> None:
    if (terms.quantity is None) == (terms.notional is None):
        raise Malformed(OrderRefusal.QUANTITY_OR_NOTIONAL, "give either quantity or notional")
    if terms.notional is not None and (
        terms.type is not OrderType.MARKET or not 0 < terms.notional < VALUE_MAX
    ):
        raise Malformed(
            OrderRefusal.NOTIONAL_NEEDS_MARKET_ORDER,
            "notional is for MARKET orders and must be positive",
        )


def _validate_prices(terms: Terms) -> None:
    kind = terms.type
    if kind.has_limit and terms.price is None:
        raise Malformed(OrderRefusal.PRICE_MISSING, f"a {kind} order needs a price")
    if not kind.has_limit and terms.price is not None:
        raise Malformed(OrderRefusal.PRICE_NOT_ALLOWED, f"a {kind} order has no price")
    if kind.has_stop and terms.stop_price is None:
        raise Malformed(OrderRefusal.STOP_PRICE_MISSING, f"a {kind} order needs a stop_price")
    if not kind.has_stop and terms.stop_price is not None:
        raise Malformed(OrderRefusal.STOP_PRICE_NOT_ALLOWED, f"a {kind} order has no stop_price")
    trails = [trail for trail in (terms.trail, terms.trail_percent) if trail is not None]
    if kind is OrderType.TRAILING_STOP:
        if len(trails) != 1 or trails[0] <= 0:
            raise Malformed(
                OrderRefusal.TRAIL_INVALID,
                "a TRAILING_STOP order needs either trail or trail_percent, above zero",
            )
        percent = terms.trail_percent
        if percent is not None and (percent >= risk.HUNDRED or percent % TRAIL_PERCENT_STEP):
            raise Malformed(
                OrderRefusal.TRAIL_INVALID,
                f"trail_percent must be below 100, in steps of {TRAIL_PERCENT_STEP}",
            )
    elif trails:
        raise Malformed(OrderRefusal.TRAIL_NOT_ALLOWED, f"a {kind} order has no trail")


def _validate_time(terms: Terms, at: datetime) -> None:
    in_force = terms.time_in_force
    is_brief = in_force in {TimeInForce.IOC, TimeInForce.FOK} or in_force.is_for_auction
    if is_brief and terms.type not in {OrderType.MARKET, OrderType.LIMIT}:
        raise Malformed(
            OrderRefusal.TIME_IN_FORCE_NOT_ALLOWED,
            f"{in_force} is for MARKET and LIMIT orders",
        )
    if terms.post_only and (terms.type is not OrderType.LIMIT or is_brief):
        raise Malformed(
            OrderRefusal.POST_ONLY_NOT_ALLOWED, "post_only is for LIMIT orders that may rest"
        )
    if in_force is TimeInForce.GTD:
        if terms.expires_at is None:
            raise Malformed(OrderRefusal.EXPIRES_AT_MISSING, "a GTD order needs expires_at")
        if terms.expires_at <= at:
            raise Malformed(OrderRefusal.EXPIRES_AT_IN_THE_PAST, "expires_at has passed")
    elif terms.expires_at is not None:
        raise Malformed(OrderRefusal.EXPIRES_AT_NOT_ALLOWED, "expires_at is for GTD orders")


_EXITS = {
    OrderClass.SIMPLE: {(False, False)},
    OrderClass.BRACKET: {(True, True)},
    OrderClass.OTO: {(True, False), (False, True)},
    OrderClass.OCO: {(False, True)},
}


def _validate_exits(terms: Terms) -> None:
    given = (terms.take_profit is not None, terms.stop_loss is not None)
    if given not in _EXITS[terms.order_class] or (
        terms.order_class is OrderClass.OCO
        and (terms.type is not OrderType.LIMIT or terms.time_in_force not in EXIT_TIMES_IN_FORCE)
    ):
        raise Malformed(
            OrderRefusal.EXITS_DO_NOT_MATCH_CLASS,
            "SIMPLE has no exits, BRACKET has take_profit and stop_loss, OTO has one of them;"
            " OCO is a resting LIMIT order (the take-profit) with a stop_loss",
        )
    if terms.stop_loss is None:
        return
    profit = terms.price if terms.order_class is OrderClass.OCO else None
    if terms.take_profit is not None:
        profit = terms.take_profit.price
    exit_side = terms.side if terms.order_class is OrderClass.OCO else terms.side.opposite
    # A selling exit takes its profit above and its loss below; a buying one the other way round.
    if profit is not None and (profit - terms.stop_loss.stop_price) * exit_side.sign >= 0:
        raise Malformed(
            OrderRefusal.EXITS_OUT_OF_ORDER,
            "the take-profit and the stop-loss lie on the wrong sides of each other",
        )


def _prices(terms: Terms) -> Iterator[Decimal]:
    candidates = [terms.price, terms.stop_price, terms.trail]
    if terms.take_profit is not None:
        candidates.append(terms.take_profit.price)
    if terms.stop_loss is not None:
        candidates += [terms.stop_loss.stop_price, terms.stop_loss.price]
    return (price for price in candidates if price is not None)
