"""The table of research: what was asked for, how far it is, and where its result lies."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.platform.database import Base, Timestamp


class RunRow(Base):
    """One backtest or search. The worker that computes it is its writer while it is RUNNING."""

    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "user_id", "created_at", "id"),
        Index(
            "ix_runs_unfinished", "status", postgresql_where=text("status IN ('QUEUED', 'RUNNING')")
        ),
        {"schema": "research"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    kind: Mapped[str]
    name: Mapped[str]
    strategy: Mapped[str]
    #: Of a strategy of the user's own: which, in which version; null for one of the library.
    strategy_id: Mapped[UUID | None]
    strategy_version: Mapped[int | None]
    strategy_version_id: Mapped[UUID | None]
    strategy_sha256: Mapped[str | None]
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str]
    progress: Mapped[float]
    remaining_s: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(SmallInteger)
    cancel_requested: Mapped[bool]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    result_sha256: Mapped[str | None]
    result_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    started_at: Mapped[datetime | None] = mapped_column(Timestamp)
    #: When the worker last said that it is alive.
    seen_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
