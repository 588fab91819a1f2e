"""Tables of trading. The desk that holds an account's lease is their only writer."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.platform.database import Base, Timestamp

SCHEMA = {"schema": "trading"}
#: What `core.orders.OPEN` means in SQL.
OPEN_STATUSES = text("status IN ('PENDING', 'ACCEPTED', 'PARTIALLY_FILLED')")


class AccountRow(Base):
    """A trading account. The three sequences count its events, topic by topic, without gaps."""

    __tablename__ = "accounts"
    __table_args__ = (Index(None, "shard"), SCHEMA)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(unique=True)
    shard: Mapped[int] = mapped_column(SmallInteger)
    venue: Mapped[str]
    currency: Mapped[str]
    leverage: Mapped[Decimal]
    short_selling: Mapped[bool]
    state: Mapped[str]
    limits: Mapped[dict[str, Any]] = mapped_column(JSONB)
    day: Mapped[date]
    day_start_equity: Mapped[Decimal]
    order_sequence: Mapped[int] = mapped_column(BigInteger)
    trade_sequence: Mapped[int] = mapped_column(BigInteger)
    position_sequence: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[datetime] = mapped_column(Timestamp)


class OrderRow(Base):
    """An order as it stands. How it came to that is in `order_history`."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("account_id", "client_order_id"),
        Index(None, "account_id", "created_at", "id"),
        Index(None, "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index("ix_orders_open", "account_id", postgresql_where=OPEN_STATUSES),
        {"schema": "trading", "postgresql_with": {"fillfactor": 80}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    user_id: Mapped[UUID]
    client_order_id: Mapped[str]
    terms_hash: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    type: Mapped[str]
    time_in_force: Mapped[str]
    order_class: Mapped[str]
    quantity: Mapped[Decimal]
    notional: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    stop_price: Mapped[Decimal | None]
    trail: Mapped[Decimal | None]
    trail_percent: Mapped[Decimal | None]
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    reduce_only: Mapped[bool]
    post_only: Mapped[bool]
    status: Mapped[str]
    filled_quantity: Mapped[Decimal]
    filled_value: Mapped[Decimal]
    fees: Mapped[Decimal]
    reject_reason: Mapped[str | None]
    parent_id: Mapped[UUID | None]
    sibling_id: Mapped[UUID | None]
    strategy_id: Mapped[UUID | None]
    signal_id: Mapped[UUID | None]
    venue: Mapped[str]
    triggered: Mapped[bool]
    water_mark: Mapped[Decimal | None]
    held_cash: Mapped[Decimal]
    held_quantity: Mapped[Decimal]
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    updated_at: Mapped[datetime] = mapped_column(Timestamp)


class OrderHistoryRow(Base):
    """One step in an order's life, with who caused it and the order as it was afterwards."""

    __tablename__ = "order_history"
    __table_args__ = SCHEMA

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    event_type: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str | None]
    #: `json`, not `jsonb`: a retry gets the first answer byte for byte.
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(Timestamp)


class TradeRow(Base):
    """One execution."""

    __tablename__ = "trades"
    __table_args__ = (
        Index(None, "account_id", "executed_at", "id"),
        Index(None, "order_id"),
        SCHEMA,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID]
    account_id: Mapped[UUID]
    user_id: Mapped[UUID]
    symbol: Mapped[str]
    side: Mapped[str]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    fee: Mapped[Decimal]
    liquidity: Mapped[str]
    realized_pnl: Mapped[Decimal]
    strategy_id: Mapped[UUID | None]
    executed_at: Mapped[datetime] = mapped_column(Timestamp)


class PositionRow(Base):
    """What an account holds of a symbol; `cost_basis` is signed like `quantity`, so nothing is
    rounded away.
    """

    __tablename__ = "positions"
    __table_args__ = (UniqueConstraint("account_id", "symbol"), SCHEMA)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    user_id: Mapped[UUID]
    symbol: Mapped[str]
    quantity: Mapped[Decimal]
    cost_basis: Mapped[Decimal]
    realized_pnl: Mapped[Decimal]
    fees: Mapped[Decimal]
    updated_at: Mapped[datetime] = mapped_column(Timestamp)


class EquityPointRow(Base):
    """One point of an account's equity curve."""

    __tablename__ = "equity_points"
    __table_args__ = SCHEMA

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(Timestamp, primary_key=True)
    equity: Mapped[Decimal]
    cash: Mapped[Decimal]


class TradingStateRow(Base):
    """A kill switch that is not ACTIVE: for the platform (`*`), or for a strategy."""

    __tablename__ = "trading_states"
    __table_args__ = SCHEMA

    scope: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str]
    set_at: Mapped[datetime] = mapped_column(Timestamp)


class LeaseRow(Base):
    """Which desk writes a shard. Every transaction of a desk checks its epoch."""

    __tablename__ = "desk_leases"
    __table_args__ = SCHEMA

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    desk_id: Mapped[UUID | None]
    address: Mapped[str]
    epoch: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)


class VenueRecordRow(Base):
    """A piece of what one desk's paper venue was told about one symbol; see `journal.py`.

    `is_restart`: a replay may begin in this piece. `body` is compressed MessagePack.
    """

    __tablename__ = "venue_records"
    __table_args__ = (Index(None, "symbol", "last_at"), Index(None, "last_at"), SCHEMA)

    desk_id: Mapped[UUID] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    first_at: Mapped[datetime] = mapped_column(Timestamp)
    last_at: Mapped[datetime] = mapped_column(Timestamp)
    entries: Mapped[int]
    is_restart: Mapped[bool]
    body: Mapped[bytes] = mapped_column(LargeBinary)
