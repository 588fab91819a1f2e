"""How quotes and candles look on the stream: as in the answers of `/market-data`."""

from datetime import datetime
from decimal import Decimal

import msgspec

from alphintra.core import money
from alphintra.core.clock import to_datetime
from alphintra.core.market_data import Bar, Quote


class QuoteView(msgspec.Struct, frozen=True):
    """The best bid and ask of a symbol."""

    symbol: str
    source: str
    bid: str
    ask: str
    bid_size: str | None
    ask_size: str | None
    at: datetime


class CandleView(msgspec.Struct, frozen=True):
    """A candle; `closed` is false while it may still change. `start` is the time at which it
    begins.
    """

    symbol: str
    timeframe: str
    start: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    closed: bool


def quote(symbol: str, source: str, one: Quote) -> QuoteView:
    """Return a quote as clients see it."""
    return QuoteView(
        symbol=symbol,
        source=source,
        bid=money.text(one.bid),
        ask=money.text(one.ask),
        bid_size=_text(one.bid_size),
        ask_size=_text(one.ask_size),
        at=to_datetime(one.ts_ns),
    )


def candle(symbol: str, bar: Bar) -> CandleView:
    """Return a candle as clients see it."""
    return CandleView(
        symbol=symbol,
        timeframe=bar.timeframe,
        start=to_datetime(bar.ts_ns),
        open=money.text(bar.open),
        high=money.text(bar.high),
        low=money.text(bar.low),
        close=money.text(bar.close),
        volume=_text(bar.volume),
        closed=bar.closed,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else money.text(value)
