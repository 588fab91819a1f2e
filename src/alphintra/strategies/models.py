"""The tables of strategies: the draft that is edited, its versions, and who else may see it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.platform.database import Base, Timestamp

SCHEMA = "strategies"


class StrategyRow(Base):
    """A strategy as its owner edits it: the draft. What runs is a version."""

    __tablename__ = "strategies"
    __table_args__ = (Index(None, "user_id", "created_at", "id"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    name: Mapped[str]
    type: Mapped[str]
    description: Mapped[str]
    #: Python; empty for NO_CODE, whose Python follows from the blocks.
    code: Mapped[str]
    blocks: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    #: Chosen values by name, in place of the declared defaults.
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    #: What the newest version declares: kind, default and range by name.
    declared: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str]
    #: The number of the newest version; 0 when there is none.
    version: Mapped[int]
    published_version: Mapped[int | None]
    #: Whether the draft differs from the newest version.
    changed: Mapped[bool]
    template: Mapped[str | None]
    #: Counts the changes; who changes says which one was seen.
    revision: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    updated_at: Mapped[datetime] = mapped_column(Timestamp)


class VersionRow(Base):
    """A strategy as it was at a moment. Its content never changes: a trigger refuses it."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("strategy_id", "number"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    strategy_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.strategies.id"))
    number: Mapped[int]
    #: The Python that runs; of NO_CODE as it was written from the blocks at that moment.
    code: Mapped[str]
    blocks: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    declared: Mapped[dict[str, Any]] = mapped_column(JSONB)
    #: Of `code`.
    sha256: Mapped[str]
    note: Mapped[str]
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    #: When it was first published or deployed; from then on it cannot be deleted either.
    frozen_at: Mapped[datetime | None] = mapped_column(Timestamp)


class ShareRow(Base):
    """Somebody else's right to a strategy."""

    __tablename__ = "shares"
    __table_args__ = (Index(None, "user_id"), {"schema": SCHEMA})

    strategy_id: Mapped[UUID] = mapped_column(
        ForeignKey(f"{SCHEMA}.strategies.id"), primary_key=True
    )
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    right: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(Timestamp)
