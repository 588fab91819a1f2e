"""What administrators do to users. Each act leaves an audit event in the same transaction."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.core.ids import UserId
from alphintra.identity import emails
from alphintra.identity.errors import LastAdministrator, NotOnYourself, UserNotFound
from alphintra.identity.events import UserEventType, publish_audit_event, publish_user_event
from alphintra.identity.models import User
from alphintra.identity.permissions import Role
from alphintra.identity.runtime import Identity
from alphintra.identity.service.rows import (
    end_sessions,
    live_sessions,
    lock_user,
    rights_changed,
)

#: Held by whoever takes ADMIN away, so that two of them cannot take the last two at once.
ADVISORY_LOCK = 0x616C_7068_04


@dataclass(frozen=True, slots=True)
class After:
    """Where a page begins: behind this user."""

    created_at: datetime
    id: UUID


async def list_users(
    identity: Identity, *, limit: int, after: After | None, email: str | None
) -> list[User]:
    """Return up to `limit` users, the newest first; with `email`, the one with that address."""
    statement = select(User).order_by(User.created_at.desc(), User.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(User.created_at, User.id) < (after.created_at, after.id))
    if email is not None:
        statement = statement.where(User.email == emails.canonical(email))
    async with identity.services.database.reading() as session:
        return list(await session.scalars(statement))


async def get_user(identity: Identity, *, user_id: UserId) -> User:
    """Return one user.

    Raises:
        UserNotFound: there is none.
    """
    async with identity.services.database.reading() as session:
        user = await session.get(User, user_id)
    if user is None:
        raise UserNotFound("there is no such user")
    return user


async def set_roles(
    identity: Identity, *, actor_id: UserId | None, user_id: UserId, roles: frozenset[Role]
) -> User:
    """Replace a user's roles; access tokens and connections with the old ones are void within a
    second.

    Args:
        actor_id: who does it; `None` is the operator at the command line.

    Raises:
        UserNotFound: there is none.
        NotOnYourself: administrators do not change their own roles.
        LastAdministrator: nobody else could administer the platform.
    """
    services = identity.services
    if actor_id == user_id:
        raise NotOnYourself("ask another administrator to change your roles")
    async with identity.changing() as change:
        user = await _lock_for_administration(change.session, user_id)
        wanted = sorted(str(role) for role in roles)
        before = sorted(user.roles)
        if before == wanted:
            return user
        if Role.ADMIN not in roles:
            await _keep_an_administrator(change.session, user)
        user.roles = wanted
        rights_changed(change, user, at=now(services.clock))
        await publish_user_event(change.session, services, user_id, UserEventType.ROLES_CHANGED)
        await publish_audit_event(
            change.session,
            services,
            actor_id=actor_id,
            action="user.set_roles",
            subject=str(user_id),
            before=" ".join(before),
            after=" ".join(wanted),
        )
    return user


async def disable_user(
    identity: Identity, *, actor_id: UserId | None, user_id: UserId, reason: str
) -> User:
    """Keep a user out: sessions end, API keys stop, within a second. Repeating it changes nothing.

    Raises:
        UserNotFound: there is none.
        NotOnYourself: nobody disables the own account.
        LastAdministrator: nobody else could administer the platform.
    """
    services = identity.services
    if actor_id == user_id:
        raise NotOnYourself("ask another administrator to disable your account")
    async with identity.changing() as change:
        user = await _lock_for_administration(change.session, user_id)
        if user.disabled_at is not None:
            return user
        await _keep_an_administrator(change.session, user)
        at = now(services.clock)
        user.disabled_at, user.disabled_reason = at, reason
        rights_changed(change, user, at=at)
        live = await live_sessions(change.session, user_id, at, lock=True)
        end_sessions(change, live, at=at, reason="account_disabled")
        await publish_user_event(change.session, services, user_id, UserEventType.USER_DISABLED)
        await publish_audit_event(
            change.session,
            services,
            actor_id=actor_id,
            action="user.disable",
            subject=str(user_id),
            reason=reason,
        )
    return user


async def enable_user(
    identity: Identity, *, actor_id: UserId | None, user_id: UserId, reason: str
) -> User:
    """Let a disabled user in again; the sessions of before stay ended, the API keys work again.

    Raises:
        UserNotFound: there is none.
    """
    services = identity.services
    async with identity.changing() as change:
        user = await lock_user(change.session, user_id)
        if user.disabled_at is None:
            return user
        user.disabled_at = user.disabled_reason = None
        rights_changed(change, user, at=now(services.clock))
        await publish_user_event(change.session, services, user_id, UserEventType.USER_ENABLED)
        await publish_audit_event(
            change.session,
            services,
            actor_id=actor_id,
            action="user.enable",
            subject=str(user_id),
            reason=reason,
        )
    return user


async def _lock_for_administration(session: AsyncSession, user_id: UserId) -> User:
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    return await lock_user(session, user_id)


async def _keep_an_administrator(session: AsyncSession, user: User) -> None:
    if Role.ADMIN not in user.roles or user.disabled_at is not None:
        return
    others = await session.scalar(
        select(func.count()).where(
            User.roles.contains([str(Role.ADMIN)]), User.disabled_at.is_(None), User.id != user.id
        )
    )
    if not others:
        raise LastAdministrator("make another administrator first")
