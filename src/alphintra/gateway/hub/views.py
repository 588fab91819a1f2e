"""How quotes and candles look on the stream: as in the answers of `/market-data`."""

from datetime import datetime
from decimal import Decimal

import msgspec

from alphintra.core import money
from alphintra.core.clock import to_datetime
from alphintra.core.market_data import Bar
from alphintra.market import Candle, LatestQuote


class QuoteView(msgspec.Struct, frozen=True):
    """The latest of a symbol. A source of candles only has no bid and ask, just the last close."""

    symbol: str
    bid: str | None
    ask: str | None
    bid_size: str | None
    ask_size: str | None
    last: str | None
    last_size: str | None
    at: datetime
    source: str
    is_live: bool


class CandleView(msgspec.Struct, frozen=True):
    """A candle; `closed` is false while it may still change."""

    symbol: str
    timeframe: str
    starts_at: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    closed: bool


def quote(latest: LatestQuote, *, is_live: bool) -> QuoteView:
    """Return a quote as clients see it."""
    return QuoteView(
        symbol=latest.symbol,
        bid=_text(latest.bid),
        ask=_text(latest.ask),
        bid_size=_text(latest.bid_size),
        ask_size=_text(latest.ask_size),
        last=_text(latest.last),
        last_size=_text(latest.last_size),
        at=to_datetime(latest.at_ns),
        source=latest.source,
        is_live=is_live,
    )


def candle(symbol: str, bar: Bar) -> CandleView:
    """Return a candle as clients see it."""
    return CandleView(
        symbol=symbol,
        timeframe=bar.timeframe,
        starts_at=to_datetime(bar.ts_ns),
        open=money.text(bar.open),
        high=money.text(bar.high),
        low=money.text(bar.low),
        close=money.text(bar.close),
        volume=_text(bar.volume),
        closed=bar.closed,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else money.text(value)


def stored_candle(symbol: str, timeframe: str, candle: Candle) -> CandleView:
    """Return a closed candle as clients see it."""
    return CandleView(
        symbol=symbol,
        timeframe=timeframe,
        starts_at=candle.starts_at,
        open=money.text(candle.open),
        high=money.text(candle.high),
        low=money.text(candle.low),
        close=money.text(candle.close),
        volume=_text(candle.volume),
        closed=True,
    )
