"""What the HTTP face of market data speaks."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from alphintra.core.instruments import AssetClass
from alphintra.market.instruments import NAME_LENGTH_MAX
from alphintra.platform.http import DecimalString, Schema


class InstrumentView(Schema):
    """One instrument. `tick_size` and `lot_size` are the grids of prices and quantities."""

    symbol: str
    name: str
    asset_class: AssetClass
    base: str
    quote: str
    tick_size: DecimalString
    lot_size: DecimalString
    calendar: str
    shortable: bool
    tradable: bool


class InstrumentBody(Schema):
    """An instrument as it shall be; the symbol is in the path."""

    name: str = Field(min_length=1, max_length=NAME_LENGTH_MAX)
    asset_class: AssetClass
    base: str = Field(min_length=1, max_length=32)
    quote: str = Field(min_length=1, max_length=32)
    tick_size: DecimalString
    lot_size: DecimalString
    calendar: str = Field(default="ALWAYS", max_length=16)
    shortable: bool = True
    tradable: bool = True


class CandleView(Schema):
    """One candle. Daily and longer ones carry their date at 00:00 UTC; no volume means unknown."""

    starts_at: datetime
    open: DecimalString
    high: DecimalString
    low: DecimalString
    close: DecimalString
    volume: DecimalString | None


class QuoteView(Schema):
    """The latest of a symbol. A source of candles only has no bid and ask, just the last close.

    `at` is the source's time of its last event; `is_live` says whether it came within the time
    after which a feed counts as silent.
    """

    symbol: str
    bid: DecimalString | None
    ask: DecimalString | None
    bid_size: DecimalString | None
    ask_size: DecimalString | None
    last: DecimalString | None
    last_size: DecimalString | None
    at: datetime
    source: str
    is_live: bool


class TradeView(Schema):
    """One print; `side` is the aggressor's, where the source tells it."""

    at: datetime
    price: DecimalString
    size: DecimalString
    side: Literal["BUY", "SELL"] | None
    source: str


class StoredQuoteView(Schema):
    """One quote as a feed told it; a side that was empty is null."""

    at: datetime
    bid: DecimalString | None
    ask: DecimalString | None
    bid_size: DecimalString | None
    ask_size: DecimalString | None
    source: str


class SourceView(Schema):
    """One feed of one symbol: LIVE, STALE (silent for too long) or STOPPED (on purpose)."""

    source: str
    symbol: str
    state: Literal["LIVE", "STALE", "STOPPED"]
    last_event_at: datetime | None
    last_received_at: datetime | None
    changed_at: datetime


class ImportView(Schema):
    """What became of an imported file. `rows` = `accepted` + all of `quarantined`.

    `stored` counts accepted rows that were new or corrected what was there. `flags` count what was
    taken but deserves a look.
    """

    id: UUID
    symbol: str
    kind: Literal["candles", "quotes", "trades"]
    timeframe: str | None
    source: str
    rows: int
    accepted: int
    stored: int
    quarantined: dict[str, int]
    flags: dict[str, int]
    first_at: datetime | None
    last_at: datetime | None


class QuarantinedView(Schema):
    """A row that was not believed, as it was in the file or on the feed."""

    id: int
    import_id: UUID | None
    symbol: str
    source: str
    row_number: int | None
    reason: str
    raw: str
    created_at: datetime
