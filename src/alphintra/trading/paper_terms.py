"""Between the venue's decimals and the simulator's integers: orders and market data, one way."""

import calendar
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

import msgspec

from alphintra.core.clock import NS_PER_SECOND, to_datetime
from alphintra.core.instruments import Instrument
from alphintra.core.market_data import Bar, Quote, Trade
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.engine import (
    BPS,
    MAGNITUDE_LIMIT,
    NEVER_NS,
    NO_PRICE,
    UNKNOWN_SIZE,
    Event,
    Kind,
    Lifetime,
    MarketSimulator,
)
from alphintra.engine import Side as Row
from alphintra.trading.venue import VenueOrder, VenueRefusal

_BPS_PER_PERCENT: Final = 100

ROWS: Final = {Side.BUY: Row.BUY, Side.SELL: Row.SELL}
KINDS: Final = {
    OrderType.MARKET: Kind.MARKET,
    OrderType.LIMIT: Kind.LIMIT,
    OrderType.STOP: Kind.STOP,
    OrderType.STOP_LIMIT: Kind.STOP_LIMIT,
    OrderType.TRAILING_STOP: Kind.TRAILING_STOP,
}
LIFETIMES: Final = {
    TimeInForce.DAY: Lifetime.REST,
    TimeInForce.GTC: Lifetime.REST,
    TimeInForce.GTD: Lifetime.REST,
    TimeInForce.IOC: Lifetime.IOC,
    TimeInForce.FOK: Lifetime.FOK,
}
_TIMED: Final = frozenset({TimeInForce.DAY, TimeInForce.GTD})
_TIMEFRAME_S: Final = {
    "1s": 1,
    "5s": 5,
    "15s": 15,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "4h": 14_400,
    "1d": 86_400,
    "1w": 604_800,
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """An order's terms in the simulator's integers; `lots` is what remains."""

    lots: int
    limit_price_ticks: int
    stop_price_ticks: int
    trail_ticks: int
    trail_bps: int
    expires_ns: int


def refusal_of(order: VenueOrder, instrument: Instrument) -> VenueRefusal | None:
    """Return the first rule that the order's terms break, if any."""
    return (
        _quantity_refusal(order, instrument)
        or _prices_refusal(order, instrument)
        or _trail_refusal(order, instrument)
        or _lifetime_refusal(order)
    )


def change_refusal_of(before: VenueOrder, after: VenueOrder) -> VenueRefusal | None:
    """Say whether one open order may turn into another."""
    same = (
        before.symbol == after.symbol
        and before.side is after.side
        and before.type is after.type
        and before.post_only == after.post_only
        and LIFETIMES[before.time_in_force] is LIFETIMES[after.time_in_force]
    )
    return None if same else VenueRefusal.CHANGE_NOT_ALLOWED


def terms_of(order: VenueOrder, instrument: Instrument) -> Terms:
    """Translate an order that `refusal_of` has nothing against."""
    trail_bps = 0
    if order.trail_percent is not None:
        trail_bps = int(order.trail_percent * _BPS_PER_PERCENT)
    trail = order.trail_amount
    return Terms(
        lots=instrument.quantity_lots(order.quantity - order.filled_quantity),
        limit_price_ticks=_ticks_or_none(order.price, instrument),
        stop_price_ticks=_ticks_or_none(order.stop_price, instrument),
        trail_ticks=0 if trail is None else instrument.price_ticks(trail),
        trail_bps=trail_bps,
        expires_ns=NEVER_NS if order.expires_ns is None else order.expires_ns,
    )


def _ticks_or_none(price: Decimal | None, instrument: Instrument) -> int:
    return NO_PRICE if price is None else instrument.price_ticks(price)


def _quantity_refusal(order: VenueOrder, instrument: Instrument) -> VenueRefusal | None:
    if not (order.quantity.is_finite() and instrument.quantity_is_on_lot(order.quantity)):
        return VenueRefusal.QUANTITY_NOT_ON_LOT
    lots = instrument.quantity_lots(order.quantity - order.filled_quantity)
    if lots <= 0:
        return VenueRefusal.QUANTITY_NOT_ABOVE_FILLED
    return None if lots < MAGNITUDE_LIMIT else VenueRefusal.QUANTITY_OUT_OF_RANGE


def _prices_refusal(order: VenueOrder, instrument: Instrument) -> VenueRefusal | None:
    has_limit, has_stop = order.price is not None, order.stop_price is not None
    if order.type.has_limit > has_limit or order.type.has_stop > has_stop:
        return VenueRefusal.PRICE_MISSING
    if order.type.has_limit < has_limit or order.type.has_stop < has_stop:
        return VenueRefusal.PRICE_NOT_ALLOWED
    for price in (order.price, order.stop_price):
        if price is not None and (refusal := _price_refusal(price, instrument)):
            return refusal
    return None


def _price_refusal(price: Decimal, instrument: Instrument) -> VenueRefusal | None:
    if not (price.is_finite() and instrument.price_is_on_tick(price)):
        return VenueRefusal.PRICE_NOT_ON_TICK
    if not 0 < instrument.price_ticks(price) < MAGNITUDE_LIMIT:
        return VenueRefusal.PRICE_OUT_OF_RANGE
    return None


def _trail_refusal(order: VenueOrder, instrument: Instrument) -> VenueRefusal | None:
    trails = (order.trail_amount is not None) + (order.trail_percent is not None)
    if trails != (order.type is OrderType.TRAILING_STOP):
        return VenueRefusal.TRAIL_INVALID
    if order.trail_amount is not None:
        return _price_refusal(order.trail_amount, instrument)
    if order.trail_percent is not None:
        bps = order.trail_percent * _BPS_PER_PERCENT
        if not bps.is_finite() or bps != int(bps) or not 0 < bps <= BPS:
            return VenueRefusal.TRAIL_INVALID
    return None


def _lifetime_refusal(order: VenueOrder) -> VenueRefusal | None:
    if order.time_in_force in _TIMED and order.expires_ns is None:
        return VenueRefusal.EXPIRY_MISSING
    rests = LIFETIMES[order.time_in_force] is Lifetime.REST
    if order.post_only and not (rests and order.type.has_limit):
        return VenueRefusal.POST_ONLY_NOT_ALLOWED
    return None


def _size_lots(instrument: Instrument, size: Decimal | None) -> int:
    """Return a size of the market in lots; one beyond counting does not limit anybody."""
    if size is None:
        return UNKNOWN_SIZE
    lots = instrument.quantity_lots(size)
    return lots if lots < MAGNITUDE_LIMIT else UNKNOWN_SIZE


def show_quote(simulator: MarketSimulator, instrument: Instrument, quote: Quote) -> list[Event]:
    """Show a quote; a side at zero or below is empty. Between ticks, it is rounded to the worse."""
    bid = ask = NO_PRICE
    if quote.bid >= instrument.tick_size:
        bid = instrument.price_ticks(quote.bid, ROUND_FLOOR)
    if quote.ask > 0:
        ask = instrument.price_ticks(quote.ask, ROUND_CEILING)
    return simulator.on_quote(
        bid,
        ask,
        ts_ns=quote.ts_ns,
        bid_lots=_size_lots(instrument, quote.bid_size),
        ask_lots=_size_lots(instrument, quote.ask_size),
    )


def show_trade(simulator: MarketSimulator, instrument: Instrument, trade: Trade) -> list[Event]:
    """Show a print. Between ticks, it is rounded to the nearest."""
    return simulator.on_trade(
        instrument.price_ticks(trade.price),
        _size_lots(instrument, trade.size),
        ts_ns=trade.ts_ns,
    )


def show_bar(simulator: MarketSimulator, instrument: Instrument, bar: Bar) -> list[Event]:
    """Show a bar. Between ticks, its range is made smaller, not larger."""
    opening = instrument.price_ticks(bar.open)
    closing = instrument.price_ticks(bar.close)
    high = max(instrument.price_ticks(bar.high, ROUND_FLOOR), opening, closing)
    low = min(instrument.price_ticks(bar.low, ROUND_CEILING), opening, closing)
    return simulator.on_bar(
        opening,
        high,
        low,
        closing,
        open_ns=bar.ts_ns,
        close_ns=bar_end_ns(bar),
        volume_lots=_size_lots(instrument, bar.volume),
    )


def bar_end_ns(bar: Bar) -> int:
    """Return when the bar ends: a month by the calendar in UTC, every other one by its length."""
    length_s = _TIMEFRAME_S.get(bar.timeframe)
    if length_s is None:
        began = to_datetime(bar.ts_ns)
        length_s = 86_400 * calendar.monthrange(began.year, began.month)[1]
    return bar.ts_ns + length_s * NS_PER_SECOND
