"""A user's own account: profile and password."""

from dataclasses import dataclass

from alphintra.core.clock import now
from alphintra.core.ids import SessionId, UserId
from alphintra.identity import passwords
from alphintra.identity.errors import StepUpFailed, UserNotFound
from alphintra.identity.events import UserEventType, publish_user_event
from alphintra.identity.models import User
from alphintra.identity.runtime import Identity
from alphintra.identity.service import step_up
from alphintra.identity.service.rows import (
    active_factor,
    end_sessions,
    live_sessions,
    lock_user,
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A user and whether the second factor is on."""

    user: User
    totp_enabled: bool


async def profile(identity: Identity, *, user_id: UserId) -> Profile:
    """Return the user.

    Raises:
        UserNotFound: there is none.
    """
    async with identity.services.database.reading() as session:
        user = await session.get(User, user_id)
        if user is None:
            raise UserNotFound("there is no such user")
        return Profile(user, await active_factor(session, user_id) is not None)


async def update_profile(
    identity: Identity, *, user_id: UserId, first_name: str, last_name: str
) -> Profile:
    """Change what a user may change alone."""
    services = identity.services
    async with services.database.transaction() as session:
        user = await lock_user(session, user_id)
        user.first_name, user.last_name = first_name, last_name
        user.updated_at = now(services.clock)
        await publish_user_event(session, services, user_id, UserEventType.PROFILE_UPDATED)
        return Profile(user, await active_factor(session, user_id) is not None)


async def change_password(
    identity: Identity,
    *,
    user_id: UserId,
    session_id: SessionId,
    proof: step_up.Proof,
    new_password: str,
) -> None:
    """Set another password and end all other sessions. API keys stay: they were made with a proof.

    Raises:
        StepUpRequired, StepUpFailed: the present password (and with the second factor on a code) is
            demanded.
        PasswordTooShort and its like: the new password breaks a rule.
        TooManyAttempts, LoginBusy: see `log_in`.
    """
    services = identity.services
    before = await profile(identity, user_id=user_id)
    chosen = passwords.check_rules(new_password, email=before.user.email)
    await step_up.confirm(
        identity, user_id=user_id, session_id=session_id, proof=proof, password_always=True
    )
    password_hash = await identity.passwords.hash(chosen)
    at = now(services.clock)
    async with identity.changing() as change:
        user = await lock_user(change.session, user_id)
        if user.password_hash != before.user.password_hash:
            raise StepUpFailed("the password was changed meanwhile")
        user.password_hash, user.password_changed_at, user.updated_at = password_hash, at, at
        live = await live_sessions(change.session, user_id, at, lock=True)
        others = [one for one in live if one.id != session_id]
        end_sessions(change, others, at=at, reason="password_changed")
        await publish_user_event(change.session, services, user_id, UserEventType.PASSWORD_CHANGED)
