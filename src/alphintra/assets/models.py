"""Tables of the ledger."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import NUMERIC, BigInteger, CheckConstraint, Identity, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.platform.database import Base, Timestamp


class LedgerAccountRow(Base):
    """One owner's amount of one asset in one bucket; the balance is kept by the database itself."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("owner_id", "asset", "bucket"),
        CheckConstraint("may_be_negative OR balance >= 0", name="not_overdrawn"),
        {"schema": "assets", "postgresql_with": {"fillfactor": 60}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    asset: Mapped[str]
    bucket: Mapped[str]
    balance: Mapped[Decimal] = mapped_column(NUMERIC(28, 8), server_default="0")
    may_be_negative: Mapped[bool]


class PostingRow(Base):
    """One movement: `amount` of `asset` leaves `source` and enters `destination`. Append-only."""

    __tablename__ = "postings"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("source <> destination", name="two_accounts"),
        Index(None, "source", "id"),
        Index(None, "destination", "id"),
        {"schema": "assets"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    transaction_id: Mapped[UUID]
    kind: Mapped[str]
    source: Mapped[UUID]
    destination: Mapped[UUID]
    asset: Mapped[str]
    amount: Mapped[Decimal]
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
