"""Sessions: refresh, logout, list, revoke.

Refresh rotates: each refresh token is good once. What happens when an old one comes back:

- It arrived before its successor was handed to anybody: requests that overlapped, such as two tabs.
The
  slower ones get `refresh_superseded` and nothing is revoked. To make that interval mean something,
  a successor is handed out `HAND_OUT_S` after it was made.
- It is the predecessor and comes with the `Idempotency-Key` of the request that used it, within
  `RETRY_S`: a client whose answer was lost. It gets the same successor again. A thief of the token
  does not know the key.
- Anything else: the token was copied. The session ends, access tokens included.
"""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final
from uuid import UUID

from alphintra.core.clock import now
from alphintra.core.ids import SessionId, UserId
from alphintra.identity.errors import (
    AccountDisabled,
    RefreshSuperseded,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionNotFound,
)
from alphintra.identity.events import UserEventType, publish_user_event
from alphintra.identity.models import Session, User
from alphintra.identity.refresh_tokens import PresentedToken, parse
from alphintra.identity.runtime import Change, Identity
from alphintra.identity.service.login import Tokens
from alphintra.identity.service.rows import Client, end_sessions, live_sessions

HAND_OUT_S: Final = 0.1
RETRY_S: Final = 60
#: Enough for a session that is refreshed every minute for years.
GENERATION_MAX: Final = 2**31 - 1


class _Outcome(Enum):
    ROTATED = auto()
    REPEATED = auto()
    SUPERSEDED = auto()
    REUSED = auto()
    INVALID = auto()
    DISABLED = auto()


@dataclass(frozen=True, slots=True)
class _Refreshed:
    outcome: _Outcome
    user: User | None = None
    session: Session | None = None


async def refresh(
    identity: Identity, *, refresh_token: str, client: Client, retry_key: str | None = None
) -> Tokens:
    """Exchange a refresh token for new tokens with the user's present rights.

    Args:
        retry_key: the request's `Idempotency-Key`, where it had one.

    Raises:
        RefreshTokenInvalid: not ours, or its session has ended.
        RefreshTokenReused: it was used before; the session has been ended.
        RefreshSuperseded: an overlapping request was faster; nothing was revoked.
        AccountDisabled: by an administrator.
    """
    arrived_at = now(identity.services.clock)
    presented = parse(refresh_token)
    if presented is None:
        raise RefreshTokenInvalid("the refresh token is not valid")
    key_hash = hashlib.sha256(retry_key.encode()).digest() if retry_key else None
    # The outcome is told after the commit: ending the session has to last.
    async with identity.changing() as change:
        done = await _rotate(identity, change, presented, client, key_hash, arrived_at)
    match done.outcome:
        case _Outcome.INVALID:
            raise RefreshTokenInvalid("the refresh token is not valid")
        case _Outcome.DISABLED:
            raise AccountDisabled("the account is disabled")
        case _Outcome.SUPERSEDED:
            raise RefreshSuperseded("another refresh with this token was faster")
        case _Outcome.REUSED:
            raise RefreshTokenReused("the token was used before; its session has been ended")
        case _Outcome.ROTATED:
            await asyncio.sleep(HAND_OUT_S)
        case _Outcome.REPEATED:
            pass
    assert done.user is not None
    assert done.session is not None
    session_id = SessionId(done.session.id)
    return Tokens(
        access_token=await identity.access_tokens.issue(done.user, done.session),
        refresh_token=identity.refresh_tokens.text(
            session_id, done.session.generation, done.session.salt
        ),
        expires_in_s=identity.access_tokens.lifetime_s,
    )


async def _rotate(
    identity: Identity,
    change: Change,
    presented: PresentedToken,
    client: Client,
    key_hash: bytes | None,
    arrived_at: datetime,
) -> _Refreshed:
    services = identity.services
    session = await change.session.get(Session, presented.session_id, with_for_update=True)
    if session is None or not identity.refresh_tokens.is_genuine(presented, session.salt):
        return _Refreshed(_Outcome.INVALID)
    user = await change.session.get_one(User, session.user_id)
    at = now(services.clock)
    idle = timedelta(seconds=services.settings.session_idle_s)
    if session.ended_at is not None or at >= min(session.expires_at, session.last_used_at + idle):
        return _Refreshed(_Outcome.INVALID)
    if user.disabled_at is not None:
        return _Refreshed(_Outcome.DISABLED)
    if presented.generation == session.generation < GENERATION_MAX:
        session.generation += 1
        session.retry_key_hash = key_hash
        session.last_used_at = at
        session.handed_out_at = at + timedelta(seconds=HAND_OUT_S)
        session.address, session.user_agent = client.address, client.user_agent
        return _Refreshed(_Outcome.ROTATED, user, session)
    if presented.generation == session.generation - 1:
        if _is_retry(session, key_hash, at):
            return _Refreshed(_Outcome.REPEATED, user, session)
        if arrived_at <= session.handed_out_at:
            return _Refreshed(_Outcome.SUPERSEDED)
    end_sessions(change, [session], at=at, reason="refresh_token_reused")
    await publish_user_event(change.session, services, user.id, UserEventType.REFRESH_TOKEN_REUSED)
    return _Refreshed(_Outcome.REUSED)


def _is_retry(session: Session, key_hash: bytes | None, at: datetime) -> bool:
    if key_hash is None or session.retry_key_hash is None:
        return False
    in_time = at <= session.handed_out_at + timedelta(seconds=RETRY_S)
    return in_time and hmac.compare_digest(key_hash, session.retry_key_hash)


async def log_out(identity: Identity, *, user_id: UserId, session_id: SessionId) -> None:
    """End the session of the caller."""
    await _end(
        identity,
        user_id,
        only=session_id,
        reason="logout",
        event=UserEventType.USER_LOGGED_OUT,
    )


async def log_out_everywhere(identity: Identity, *, user_id: UserId) -> None:
    """End all sessions of the caller. API keys stay."""
    await _end(
        identity,
        user_id,
        only=None,
        reason="logout_everywhere",
        event=UserEventType.USER_LOGGED_OUT,
    )


async def revoke_session(identity: Identity, *, user_id: UserId, session_id: SessionId) -> None:
    """End one of the caller's sessions.

    Raises:
        SessionNotFound: there is none with that id, it has ended, or it is somebody else's.
    """
    ended = await _end(
        identity,
        user_id,
        only=session_id,
        reason="revoked",
        event=UserEventType.SESSION_REVOKED,
    )
    if not ended:
        raise SessionNotFound("there is no such session")


async def list_sessions(identity: Identity, *, user_id: UserId) -> list[Session]:
    """Return the caller's sessions that have not ended, the most recently used first."""
    services = identity.services
    at = now(services.clock)
    idle = timedelta(seconds=services.settings.session_idle_s)
    async with services.database.reading() as session:
        found = await live_sessions(session, user_id, at)
    return [one for one in found if one.last_used_at + idle > at]


async def _end(
    identity: Identity,
    user_id: UserId,
    *,
    only: UUID | None,
    reason: str,
    event: UserEventType,
) -> bool:
    at = now(identity.services.clock)
    async with identity.changing() as change:
        live = await live_sessions(change.session, user_id, at, lock=True)
        ending = [one for one in live if only is None or one.id == only]
        end_sessions(change, ending, at=at, reason=reason)
        if ending:
            await publish_user_event(change.session, identity.services, user_id, event)
    return bool(ending)
