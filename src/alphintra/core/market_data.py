"""Market events, and how they travel.

Prices and sizes are exact decimals (strings on the wire); times are nanoseconds since the UNIX
epoch. `ts_ns` is the source's own time of the event; for a bar it is the START of the bar.
A size of `None` means that the source does not tell it.
"""

from decimal import Decimal
from typing import Literal

import msgspec

FEED_SUBJECT = "market_data_feed"

Timeframe = Literal["1s", "5s", "15s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1mo"]


class Quote(msgspec.Struct, frozen=True, tag="quote", tag_field="kind"):
    """The best bid and ask."""

    ts_ns: int
    bid: Decimal
    ask: Decimal
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None


class Trade(msgspec.Struct, frozen=True, tag="trade", tag_field="kind"):
    """One print. `side` is the aggressor's, where the source tells it."""

    ts_ns: int
    price: Decimal
    size: Decimal
    side: Literal["BUY", "SELL"] | None = None


class Bar(msgspec.Struct, frozen=True, tag="bar", tag_field="kind"):
    """A candle. `closed` is false for the running one, which may still change."""

    ts_ns: int
    timeframe: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None = None
    closed: bool = True


Tick = Quote | Trade | Bar


class FeedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What one message on `market_data_feed.<SYMBOL>` carries: ticks in time order.

    `sequence` counts the batches of (source, symbol) without gaps, so that a reader notices loss.
    """

    symbol: str
    source: str
    sequence: int
    ticks: tuple[Tick, ...]


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `market_data_status` carries: a feed's state for one symbol, as the watchdog sees it."""

    symbol: str
    source: str
    state: Literal["LIVE", "STALE", "STOPPED"]
    at_ns: int


_encoder = msgspec.json.Encoder(decimal_format="string")
_batch_decoder = msgspec.json.Decoder(FeedBatch)
_status_decoder = msgspec.json.Decoder(FeedStatus)

STATUS_SUBJECT = "market_data_status"


def encode(message: FeedBatch | FeedStatus) -> bytes:
    """Return the message as JSON."""
    return _encoder.encode(message)


def decode_batch(body: bytes) -> FeedBatch:
    """Read a feed message.

    Raises:
        msgspec.ValidationError: not a feed batch.
    """
    return _batch_decoder.decode(body)


def decode_status(body: bytes) -> FeedStatus:
    """Read a status message.

    Raises:
        msgspec.ValidationError: not a feed status.
    """
    return _status_decoder.decode(body)
