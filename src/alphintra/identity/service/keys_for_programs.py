"""API keys: made with a fresh proof, shown once, revoked at once."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from alphintra.core.clock import now
from alphintra.core.ids import ApiKeyId, SessionId, UserId
from alphintra.identity import api_keys
from alphintra.identity.errors import (
    ApiKeyNotFound,
    ExpiryInPast,
    ScopeNotDelegable,
    ScopeNotHeld,
    TooManyApiKeys,
)
from alphintra.identity.events import UserEventType, publish_user_event
from alphintra.identity.models import ApiKey
from alphintra.identity.permissions import delegable, permissions_of
from alphintra.identity.revocations import Revocation, Subject
from alphintra.identity.runtime import Identity
from alphintra.identity.service import step_up
from alphintra.identity.service.rows import lock_user
from alphintra.platform.security import Permission

KEYS_PER_USER_MAX: Final = 50
EXPIRY_MAX: Final = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and, this once, the text of it."""

    row: ApiKey
    text: str = field(repr=False)


async def create_api_key(
    identity: Identity,
    *,
    user_id: UserId,
    session_id: SessionId,
    proof: step_up.Proof,
    name: str,
    scopes: frozenset[Permission],
    expires_at: datetime | None,
) -> NewKey:
    """Make a key that may do what `scopes` say, as long as its owner may do it as well.

    Raises:
        ScopeNotDelegable, ScopeNotHeld: a scope that no key, or not this owner's key, may carry.
        ExpiryInPast: `expires_at` is not in the next five years.
        StepUpRequired, StepUpFailed, TooManyAttempts: see `step_up.confirm`.
        TooManyApiKeys: revoke one first.
    """
    services = identity.services
    at = now(services.clock)
    if refused := scopes - delegable(scopes):
        raise ScopeNotDelegable("API keys cannot carry these scopes", refused=sorted(refused))
    if expires_at is not None and not at < expires_at <= at + EXPIRY_MAX:
        raise ExpiryInPast("the expiry has to lie within the next five years")
    await step_up.confirm(identity, user_id=user_id, session_id=session_id, proof=proof)
    secret = api_keys.new_secret()
    async with services.database.transaction() as session:
        user = await lock_user(session, user_id)
        if missing := scopes - permissions_of(user.roles):
            raise ScopeNotHeld("the owner may not do that either", missing=sorted(missing))
        count = await session.scalar(
            select(func.count()).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        )
        if (count or 0) >= KEYS_PER_USER_MAX:
            raise TooManyApiKeys(f"an account may have {KEYS_PER_USER_MAX} API keys")
        row = ApiKey(
            id=services.ids(),
            user_id=user_id,
            name=name,
            secret_hash=api_keys.secret_hash(secret),
            scopes=sorted(scopes),
            created_at=at,
            expires_at=expires_at,
        )
        session.add(row)
        await publish_user_event(session, services, user_id, UserEventType.API_KEY_CREATED)
    return NewKey(row, api_keys.text(ApiKeyId(row.id), secret))


async def list_api_keys(identity: Identity, *, user_id: UserId) -> list[ApiKey]:
    """Return the user's keys that are not revoked, the newest first."""
    async with identity.services.database.reading() as session:
        found = await session.scalars(
            select(ApiKey)
            .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
            .order_by(ApiKey.id.desc())
        )
        return list(found)


async def revoke_api_key(identity: Identity, *, user_id: UserId, key_id: ApiKeyId) -> None:
    """Revoke one of the user's keys, everywhere within a second.

    Raises:
        ApiKeyNotFound: there is none with that id, it is revoked, or it is somebody else's.
    """
    services = identity.services
    async with identity.changing() as change:
        key = await change.session.get(ApiKey, key_id, with_for_update=True)
        if key is None or key.user_id != user_id or key.revoked_at is not None:
            raise ApiKeyNotFound("there is no such API key")
        key.revoked_at = now(services.clock)
        change.revoke(Revocation(Subject.API_KEY, key_id))
        await publish_user_event(change.session, services, user_id, UserEventType.API_KEY_REVOKED)
