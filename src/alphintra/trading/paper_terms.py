"""Between the venue's decimals and the simulator's integers: orders and market data, one way."""

from __future__ import annotations  # the simulator is only loaded with the first order

import calendar
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from alphintra.core import money
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
)
from alphintra.engine import Side as Row
from alphintra.trading.venue import VenueOrder, VenueRefusal

if TYPE_CHECKING:
    from alphintra.engine import MarketSimulator

_PERCENT_PER_BPS: Final = Decimal("0.01")

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
    TimeInForce.OPG: Lifetime.OPG,
    TimeInForce.CLS: Lifetime.CLS,
}
_LIMITED: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
_FOR_AUCTIONS: Final = frozenset({OrderType.MARKET, OrderType.LIMIT})
_STOPPED: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_TIMED: Final = frozenset({TimeInForce.DAY, TimeInForce.GTD, TimeInForce.OPG, TimeInForce.CLS})
#: How long after its auction's time an order waits for an event that holds it.
AUCTION_WAIT_NS: Final = {
    TimeInForce.OPG: 900 * NS_PER_SECOND,
    TimeInForce.CLS: 10 * NS_PER_SECOND,
}
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
    auction_ns: int


def terms_of(order: VenueOrder, instrument: Instrument) -> Terms | VenueRefusal:
    """Translate an order, or return the first rule that its terms break."""
    lots = _lots_of(order, instrument)
    if isinstance(lots, VenueRefusal):
        return lots
    limit_price_ticks = _ticks_of(order.price, order.type in _LIMITED, instrument)
    if isinstance(limit_price_ticks, VenueRefusal):
        return limit_price_ticks
    stop_price_ticks = _ticks_of(order.stop_price, order.type in _STOPPED, instrument)
    if isinstance(stop_price_ticks, VenueRefusal):
        return stop_price_ticks
    trail = _trail_of(order, instrument)
    if isinstance(trail, VenueRefusal):
        return trail
    if refusal := _lifetime_refusal(order):
        return refusal
    expires_ns = NEVER_NS if order.expires_ns is None else order.expires_ns
    auction_ns = NEVER_NS
    if order.time_in_force.is_for_auction:
        auction_ns, expires_ns = expires_ns, expires_ns + AUCTION_WAIT_NS[order.time_in_force]
    return Terms(
        lots=lots,
        limit_price_ticks=limit_price_ticks,
        stop_price_ticks=stop_price_ticks,
        trail_ticks=trail[0],
        trail_bps=trail[1],
        expires_ns=expires_ns,
        auction_ns=auction_ns,
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


def _whole_steps(value: Decimal, step: Decimal) -> int | None:
    """Return how many steps `value` is, or `None` when it lies between two."""
    if not value.is_finite():
        return None
    count = money.steps(value, step)
    return count if step * count == value else None


def _lots_of(order: VenueOrder, instrument: Instrument) -> int | VenueRefusal:
    """Return what remains of the order in lots."""
    lots = _whole_steps(order.quantity, instrument.lot_size)
    if lots is None:
        return VenueRefusal.QUANTITY_NOT_ON_LOT
    if order.filled_quantity:
        lots -= instrument.quantity_lots(order.filled_quantity)
    if lots <= 0:
        return VenueRefusal.QUANTITY_NOT_ABOVE_FILLED
    return lots if lots < MAGNITUDE_LIMIT else VenueRefusal.QUANTITY_OUT_OF_RANGE


def _ticks_of(price: Decimal | None, is_needed: bool, instrument: Instrument) -> int | VenueRefusal:
    if price is None:
        return VenueRefusal.PRICE_MISSING if is_needed else NO_PRICE
    if not is_needed:
        return VenueRefusal.PRICE_NOT_ALLOWED
    ticks = _whole_steps(price, instrument.tick_size)
    if ticks is None:
        return VenueRefusal.PRICE_NOT_ON_TICK
    return ticks if 0 < ticks < MAGNITUDE_LIMIT else VenueRefusal.PRICE_OUT_OF_RANGE


def _trail_of(order: VenueOrder, instrument: Instrument) -> tuple[int, int] | VenueRefusal:
    """Return the trail in ticks and in basis points; one of them is zero, or both."""
    amount, percent = order.trail_amount, order.trail_percent
    if order.type is not OrderType.TRAILING_STOP:
        return (0, 0) if amount is None and percent is None else VenueRefusal.TRAIL_INVALID
    if percent is None:
        ticks = _ticks_of(amount, True, instrument)
        return VenueRefusal.TRAIL_INVALID if isinstance(ticks, VenueRefusal) else (ticks, 0)
    bps = _whole_steps(percent, _PERCENT_PER_BPS)
    if amount is not None or bps is None or not 0 < bps <= BPS:
        return VenueRefusal.TRAIL_INVALID
    return 0, bps


def _lifetime_refusal(order: VenueOrder) -> VenueRefusal | None:
    if order.time_in_force in _TIMED and order.expires_ns is None:
        return VenueRefusal.EXPIRY_MISSING
    rests = LIFETIMES[order.time_in_force] is Lifetime.REST
    if order.post_only and not (rests and order.type in _LIMITED):
        return VenueRefusal.POST_ONLY_NOT_ALLOWED
    if order.time_in_force.is_for_auction and order.type not in _FOR_AUCTIONS:
        return VenueRefusal.AUCTION_NOT_ALLOWED
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
