"""The tables of market data.

`candles` is partitioned by year and `ticks` by month of their time; `partitions.py` makes the
pieces on demand, and a default partition takes what comes before its piece exists. Volumes and
sizes get more digits than prices: penny coins trade in trillions.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import NUMERIC, BigInteger, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.platform.database import Amount, Base, Timestamp

SCHEMA = "market"
Size = Annotated[Decimal, mapped_column(NUMERIC(28, 8))]
Instant = Annotated[datetime, mapped_column(Timestamp)]


class InstrumentRow(Base):
    """One instrument; see `core.instruments.Instrument`."""

    __tablename__ = "instruments"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012 - SQLAlchemy's own protocol

    symbol: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    asset_class: Mapped[str]
    base: Mapped[str]
    quote: Mapped[str]
    tick_size: Mapped[Amount]
    lot_size: Mapped[Amount]
    calendar: Mapped[str]
    shortable: Mapped[bool]
    tradable: Mapped[bool]
    updated_at: Mapped[Instant] = mapped_column(server_default=func.now())


class SessionRow(Base):
    """One trading session of an exchange calendar."""

    __tablename__ = "sessions"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012

    calendar: Mapped[str] = mapped_column(primary_key=True)
    opens_at: Mapped[Instant] = mapped_column(primary_key=True)
    closes_at: Mapped[Instant]


class CandleRow(Base):
    """A closed candle. Daily and longer candles carry their date at 00:00 UTC, as a label."""

    __tablename__ = "candles"
    __table_args__ = {"schema": SCHEMA, "postgresql_partition_by": "RANGE (starts_at)"}  # noqa: RUF012

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    starts_at: Mapped[Instant] = mapped_column(primary_key=True)
    open: Mapped[Amount]
    high: Mapped[Amount]
    low: Mapped[Amount]
    close: Mapped[Amount]
    volume: Mapped[Size | None]
    source: Mapped[str]


class TickRow(Base):
    """A quote (`kind` Q: bid, ask and their sizes) or a trade (T: price, size, side).

    Distinct prints may agree in everything, so `ordinal` counts those of one moment. A file that is
    read again gives the same ordinals, which makes its import harmless.
    """

    __tablename__ = "ticks"
    __table_args__ = {"schema": SCHEMA, "postgresql_partition_by": "RANGE (at)"}  # noqa: RUF012

    symbol: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[Instant] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bid: Mapped[Amount | None]
    ask: Mapped[Amount | None]
    bid_size: Mapped[Size | None]
    ask_size: Mapped[Size | None]
    price: Mapped[Amount | None]
    size: Mapped[Size | None]
    side: Mapped[str | None]


class ImportRow(Base):
    """One import of a file, and what became of its rows."""

    __tablename__ = "imports"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None]
    symbol: Mapped[str]
    kind: Mapped[str]
    timeframe: Mapped[str | None]
    file_name: Mapped[str]
    sha256: Mapped[str]
    source: Mapped[str]
    rows: Mapped[int]
    accepted: Mapped[int]
    stored: Mapped[int]
    quarantined: Mapped[dict[str, Any]] = mapped_column(JSONB)
    flags: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Instant]


class QuarantineRow(Base):
    """A row of a file or an event of a feed that was not believed, as it came, with the reason."""

    __tablename__ = "quarantine"
    __table_args__ = (
        Index("ix_quarantine_import_id", "import_id"),
        Index("ix_quarantine_symbol_created_at", "symbol", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    import_id: Mapped[UUID | None]
    symbol: Mapped[str]
    source: Mapped[str]
    row_number: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str]
    raw: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Instant] = mapped_column(server_default=func.now())


class FeedRow(Base):
    """The state of a feed for one symbol, as the watchdog last saw it."""

    __tablename__ = "feeds"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012

    source: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    last_event_at: Mapped[Instant | None]
    last_received_at: Mapped[Instant | None]
    changed_at: Mapped[Instant]


class HistoricalRequestRow(Base):
    """A request of the asynchronous history pair, and its result once the worker has it."""

    __tablename__ = "historical_requests"
    __table_args__ = (
        Index("ix_historical_requests_user_id_created_at", "user_id", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    symbol: Mapped[str]
    start_at: Mapped[Instant]
    end_at: Mapped[Instant]
    status: Mapped[str] = mapped_column(server_default=text("'PENDING'"))
    detail: Mapped[str | None]
    result: Mapped[list[Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Instant]
    finished_at: Mapped[Instant | None]


class DatasetRow(Base):
    """One dataset of an owner (none: the platform's); its file is named by its content.

    `kind` is candles, quotes or trades; `step_ns` the length of candles. `report` is what was found
    when it was made, `actions` the corporate actions that came with it, `derivation` what was done
    to `parent_id` to make it.
    """

    __tablename__ = "datasets"
    __table_args__ = (
        Index("ix_datasets_owner_id_created_at", "owner_id", "created_at"),
        Index("ix_datasets_sha256", "sha256"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID | None]
    name: Mapped[str]
    symbols: Mapped[list[Any]] = mapped_column(JSONB)
    kind: Mapped[str]
    timeframe: Mapped[str]
    step_ns: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[Instant]
    last_at: Mapped[Instant]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    source: Mapped[str]
    file_name: Mapped[str]
    adjustment: Mapped[str]
    report: Mapped[dict[str, Any]] = mapped_column(JSONB)
    actions: Mapped[list[Any]] = mapped_column(JSONB)
    parent_id: Mapped[UUID | None]
    derivation: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Instant]
