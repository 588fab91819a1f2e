"""Which ticks and candles are believed. Pure; used by imports and by live feeds alike.

A reason is a stable word; `None` means believed. Prices off an instrument's tick are believed:
history is often adjusted or a mid-price, and only orders have to lie on the grid.
"""

from decimal import Decimal
from enum import StrEnum

from alphintra.core import money
from alphintra.core.market_data import Bar, Quote, Tick, Trade

#: NUMERIC(28,8) holds twenty digits before the point.
SIZE_LIMIT = Decimal(10) ** 20
#: A feed's clock may be this far ahead of ours.
FUTURE_TOLERANCE_NS = 5 * 1_000_000_000


class Reason(StrEnum):
    """Why a row or an event is in quarantine."""

    BAD_TIMESTAMP = "bad_timestamp"
    NONEXISTENT_LOCAL_TIME = "nonexistent_local_time"
    IN_THE_FUTURE = "in_the_future"
    OFF_GRID_TIME = "off_grid_time"
    NOT_A_NUMBER = "not_a_number"
    PRICE_MISSING = "price_missing"
    PRICE_NOT_POSITIVE = "price_not_positive"
    PRICE_OUT_OF_RANGE = "price_out_of_range"
    SIZE_MISSING = "size_missing"
    SIZE_NOT_POSITIVE = "size_not_positive"
    SIZE_NEGATIVE = "size_negative"
    SIZE_OUT_OF_RANGE = "size_out_of_range"
    OHLC_INCONSISTENT = "ohlc_inconsistent"
    CROSSED_QUOTE = "crossed_quote"
    DUPLICATE = "duplicate"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    WRONG_COLUMN_COUNT = "wrong_column_count"
    OTHER_SYMBOL = "other_symbol"
    PRICE_JUMP = "price_jump"


def check_price(price: Decimal | None) -> Reason | None:
    """Judge one price."""
    if price is None or price.is_nan():
        return Reason.PRICE_MISSING
    if price <= 0:
        return Reason.PRICE_NOT_POSITIVE
    if price >= money.LIMIT:
        return Reason.PRICE_OUT_OF_RANGE
    return None


def check_size(size: Decimal | None) -> Reason | None:
    """Judge a size that may be unknown or zero, but not negative."""
    if size is None:
        return None
    if size.is_nan():
        return Reason.NOT_A_NUMBER
    if size < 0:
        return Reason.SIZE_NEGATIVE
    if size >= SIZE_LIMIT:
        return Reason.SIZE_OUT_OF_RANGE
    return None


def check_quote(quote: Quote) -> Reason | None:
    """Judge a quote. A locked one (bid = ask) happens; a crossed one is an error of the feed."""
    return (
        check_price(quote.bid)
        or check_price(quote.ask)
        or (Reason.CROSSED_QUOTE if quote.bid > quote.ask else None)
        or check_size(quote.bid_size)
        or check_size(quote.ask_size)
    )


def check_trade(trade: Trade) -> Reason | None:
    """Judge a print."""
    return (
        check_price(trade.price)
        or check_size(trade.size)
        or (Reason.SIZE_NOT_POSITIVE if trade.size == 0 else None)
    )


def check_bar(bar: Bar) -> Reason | None:
    """Judge a candle."""
    for price in (bar.open, bar.high, bar.low, bar.close):
        if (reason := check_price(price)) is not None:
            return reason
    if not (bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high):
        return Reason.OHLC_INCONSISTENT
    return check_size(bar.volume)


def check_tick(tick: Tick) -> Reason | None:
    """Judge any market event by itself, without what came before it."""
    if isinstance(tick, Quote):
        return check_quote(tick)
    if isinstance(tick, Trade):
        return check_trade(tick)
    return check_bar(tick)


def mid(quote: Quote) -> Decimal:
    """Return the price in the middle of a quote, with eight places."""
    return money.divide(quote.bid + quote.ask, Decimal(2))
