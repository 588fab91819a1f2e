"""The outbox: an event is written in the transaction that made it true, and published from here."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, func, insert, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from alphintra.core.clock import to_datetime
from alphintra.platform.database import Base, Timestamp
from alphintra.platform.events import Event, encode

CHANNEL = "outbox"


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


class OutboxRow(Base):
    """One event. `(xid, seq)` is the order of publication: see `relay.py`."""

    __tablename__ = "outbox"
    __table_args__ = {"schema": "platform"}  # noqa: RUF012 - SQLAlchemy's own protocol

    xid: Mapped[int] = mapped_column(
        Xid8, primary_key=True, server_default=text("pg_current_xact_id()")
    )
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    event_id: Mapped[UUID]
    topic: Mapped[str]
    key: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class RelayCheckpoint(Base):
    """How far the relay has come, and which stream that is true of."""

    __tablename__ = "relay_checkpoint"
    __table_args__ = {"schema": "platform"}  # noqa: RUF012

    stream: Mapped[str] = mapped_column(primary_key=True)
    stream_identity: Mapped[str]
    stream_sequence: Mapped[int] = mapped_column(BigInteger)
    xid: Mapped[int] = mapped_column(Xid8)
    seq: Mapped[int] = mapped_column(BigInteger)


def outbox_values(one: Event) -> dict[str, object]:
    """Return the columns of the event's row; for writers that do bulk statements of their own."""
    return {
        "event_id": one.id,
        "topic": str(one.topic),
        "key": one.key,
        "body": encode(one).decode(),
        "created_at": to_datetime(one.occurred_at_ns),
    }


async def add(session: AsyncSession, *events: Event) -> None:
    """Write events into the transaction of `session`; they are published if and only if it
    commits.
    """
    await add_all(session, events)


async def add_all(session: AsyncSession, events: Sequence[Event]) -> None:
    """The same for a sequence, in one statement."""
    if events:
        await session.execute(insert(OutboxRow), [outbox_values(one) for one in events])
