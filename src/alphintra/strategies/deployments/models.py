"""Tables of deployments. The runner that holds a deployment's lease writes what it lives through;
people write their wishes, and their yes or no.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.platform.database import Amount, Base, Timestamp

SCHEMA = {"schema": "strategies"}


def _its_deployment() -> ForeignKey:
    return ForeignKey("strategies.deployments.id", ondelete="CASCADE")


class DeploymentRow(Base):
    """One strategy version at work.

    `source` is the text that runs, so that what a deployment did can be explained for ever.
    `frames` counts what it has lived through; `epoch` moves with every new owner, and every write
    of an owner checks it.
    """

    __tablename__ = "deployments"
    __table_args__ = (
        Index(None, "user_id", "created_at", "id"),
        Index(
            "ix_deployments_active",
            "status",
            postgresql_where=text("status NOT IN ('STOPPED', 'FAILED')"),
        ),
        {"schema": "strategies", "postgresql_with": {"fillfactor": 70}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    strategy_id: Mapped[UUID]
    version_id: Mapped[UUID]
    version: Mapped[int]
    name: Mapped[str]
    source: Mapped[str]
    sha256: Mapped[str]
    #: The parameters that the version declares, with their ranges.
    declared: Mapped[dict[str, Any]] = mapped_column(JSONB)
    mode: Mapped[str]
    symbols: Mapped[list[Any]] = mapped_column(JSONB)
    timeframe: Mapped[str]
    capital: Mapped[Amount]
    warmup: Mapped[int]
    #: The one source of market data that it follows; none: any.
    feed: Mapped[str | None]
    seed: Mapped[int] = mapped_column(BigInteger)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    parameters_revision: Mapped[int]
    #: The revision that its process was told.
    parameters_applied: Mapped[int]
    #: `terms.Terms`: limits, schedule, approval, what happens to missed candles.
    terms: Mapped[dict[str, Any]] = mapped_column(JSONB)

    wish: Mapped[str]
    status: Mapped[str]
    reason_code: Mapped[str | None]
    reason: Mapped[str | None]
    #: STOPPED or FAILED, once it is on its way there.
    ends_as: Mapped[str | None]
    frames: Mapped[int] = mapped_column(BigInteger)
    last_close_ns: Mapped[int | None] = mapped_column(BigInteger)
    deaths: Mapped[int] = mapped_column(SmallInteger)
    next_try_at: Mapped[datetime | None] = mapped_column(Timestamp)

    owner: Mapped[UUID | None]
    owner_lock: Mapped[int | None]
    epoch: Mapped[int] = mapped_column(BigInteger)
    lease_expires_at: Mapped[datetime | None] = mapped_column(Timestamp)

    cash: Mapped[Amount]
    equity: Mapped[Amount]
    peak_equity: Mapped[Amount]
    day: Mapped[date]
    day_equity: Mapped[Amount]
    realized_pnl: Mapped[Amount]
    fees: Mapped[Amount]
    fills: Mapped[int]
    positions: Mapped[list[Any]] = mapped_column(JSONB)

    created_at: Mapped[datetime] = mapped_column(Timestamp)
    started_at: Mapped[datetime | None] = mapped_column(Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column(Timestamp)
    updated_at: Mapped[datetime] = mapped_column(Timestamp)


class FrameRow(Base):
    """One thing that a deployment has lived through, as its process was told it (MessagePack).

    All of them in their order, told to a fresh process, give the same state.
    """

    __tablename__ = "deployment_frames"
    __table_args__ = (Index(None, "deployment_id", "at"), SCHEMA)

    deployment_id: Mapped[UUID] = mapped_column(_its_deployment(), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(Timestamp)


class SignalRow(Base):
    """One decision: an order to place, or one to take back. Its id follows from the deployment and
    the order's name.
    """

    __tablename__ = "signals"
    __table_args__ = (
        UniqueConstraint("deployment_id", "kind", "name"),
        Index(None, "deployment_id", "created_at", "id"),
        Index(None, "deployment_id", "frame"),
        Index(
            "ix_signals_unfinished",
            "deployment_id",
            postgresql_where=text("is_live OR NOT is_told"),
        ),
        SCHEMA,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    deployment_id: Mapped[UUID] = mapped_column(_its_deployment())
    user_id: Mapped[UUID]
    strategy_id: Mapped[UUID]
    frame: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    name: Mapped[str]
    #: STRATEGY, or PLATFORM for what stopping and liquidating cause.
    origin: Mapped[str]
    symbol: Mapped[str]
    action: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    confidence: Mapped[Amount]
    reason: Mapped[str]
    because: Mapped[dict[str, Any]] = mapped_column(JSONB)
    candle_ns: Mapped[int | None] = mapped_column(BigInteger)
    trace_id: Mapped[str]
    status: Mapped[str]
    code: Mapped[str | None]
    detail: Mapped[str | None]
    order_id: Mapped[UUID | None]
    #: The strategy was told that nothing comes of it, or need not be told.
    is_told: Mapped[bool]
    #: Its orders may still change.
    is_live: Mapped[bool]
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    decided_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created_at: Mapped[datetime] = mapped_column(Timestamp)


class LogRow(Base):
    """A line of a deployment's log: the strategy's own, or what the platform did with it."""

    __tablename__ = "deployment_logs"
    __table_args__ = (Index(None, "deployment_id", "id"), SCHEMA)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    deployment_id: Mapped[UUID] = mapped_column(_its_deployment())
    at: Mapped[datetime] = mapped_column(Timestamp)
    kind: Mapped[str]
    message: Mapped[str]


class PointRow(Base):
    """One point of a deployment's equity curve, by its own book."""

    __tablename__ = "deployment_equity"
    __table_args__ = SCHEMA

    deployment_id: Mapped[UUID] = mapped_column(_its_deployment(), primary_key=True)
    at: Mapped[datetime] = mapped_column(Timestamp, primary_key=True)
    equity: Mapped[Amount]
    cash: Mapped[Amount]
    exposure: Mapped[Amount]


class HostRow(Base):
    """A process that runs deployments, so that they can be shared out."""

    __tablename__ = "deployment_hosts"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(Timestamp)


class CertificateRow(Base):
    """Whether a replay of a deployed day gives what was decided and booked that day."""

    __tablename__ = "parity_certificates"
    __table_args__ = (Index(None, "deployment_id", "day"), SCHEMA)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    deployment_id: Mapped[UUID] = mapped_column(_its_deployment())
    user_id: Mapped[UUID]
    strategy_id: Mapped[UUID]
    version_id: Mapped[UUID]
    day: Mapped[date]
    verdict: Mapped[str]
    frames: Mapped[int]
    signals: Mapped[int]
    orders: Mapped[int]
    fills: Mapped[int]
    differences: Mapped[list[Any]] = mapped_column(JSONB)
    notes: Mapped[list[Any]] = mapped_column(JSONB)
    is_whole_day: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(Timestamp)
