"""Rows that several use cases need, locked in the one order that cannot deadlock: user, then the
rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.identity.errors import UserNotFound
from alphintra.identity.models import Session, TotpFactor, User
from alphintra.identity.revocations import Revocation, Subject
from alphintra.identity.runtime import Change

ADDRESS_LENGTH_MAX = 64
USER_AGENT_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a request came from, cut to what we keep."""

    address: str
    user_agent: str = ""


async def lock_user(session: AsyncSession, user_id: UUID) -> User:
    """Return the user's row, which nobody else changes until this transaction ends.

    Raises:
        UserNotFound: there is none.
    """
    user = await session.get(User, user_id, with_for_update=True, populate_existing=True)
    if user is None:
        raise UserNotFound("there is no such user")
    return user


async def active_factor(session: AsyncSession, user_id: UUID) -> TotpFactor | None:
    """Return the user's second factor, if it is on."""
    factor = await session.get(TotpFactor, user_id, populate_existing=True)
    return factor if factor is not None and factor.confirmed_at is not None else None


async def live_sessions(
    session: AsyncSession, user_id: UUID, at: datetime, *, lock: bool = False
) -> list[Session]:
    """Return the sessions that have not ended, the most recently used first.

    Whoever is about to end them locks them, so that a refresh under way cannot slip through.
    """
    statement = select(Session).where(
        Session.user_id == user_id, Session.ended_at.is_(None), Session.expires_at > at
    )
    if lock:
        # Locked in the order of ids, so that two who end the same sessions never wait for each
        # other.
        await session.execute(
            statement.with_only_columns(Session.id).order_by(Session.id).with_for_update()
        )
    found = await session.scalars(statement.order_by(Session.last_used_at.desc(), Session.id))
    return list(found)


def end_sessions(change: Change, sessions: Iterable[Session], *, at: datetime, reason: str) -> None:
    """End sessions: their refresh tokens in this transaction, their access tokens everywhere."""
    for one in sessions:
        one.ended_at, one.end_reason = at, reason
        change.revoke(Revocation(Subject.SESSION, one.id))


def rights_changed(change: Change, user: User, *, at: datetime) -> None:
    """Make everything stale that knew the user's rights as they were."""
    user.version += 1
    user.updated_at = at
    change.revoke(Revocation(Subject.USER, user.id, user.version))
