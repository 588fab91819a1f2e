"""Turning two-factor authentication on and off."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import delete

from alphintra.core.clock import now
from alphintra.core.ids import SessionId, UserId
from alphintra.identity import totp
from alphintra.identity.errors import (
    TotpAlreadyEnabled,
    TotpCodeWrong,
    TotpNotEnabled,
    TotpNotSetUp,
)
from alphintra.identity.events import UserEventType, publish_user_event
from alphintra.identity.models import RecoveryCode, Session, TotpFactor
from alphintra.identity.runtime import Change, Identity
from alphintra.identity.service import step_up
from alphintra.identity.service.codes import seed_place
from alphintra.identity.service.rows import (
    active_factor,
    end_sessions,
    live_sessions,
    lock_user,
)
from alphintra.identity.throttle import proofs_in_session

#: Within this time after its login a session may set up the second factor without the password.
RECENT_LOGIN_S: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What an authenticator app needs; shown once."""

    secret: str = field(repr=False)
    provisioning_uri: str = field(repr=False)


async def set_up(
    identity: Identity, *, user_id: UserId, session_id: SessionId, password: str | None
) -> Setup:
    """Make a secret, which counts only once `verify` has seen a code of it; replaces an unverified
    one.

    Raises:
        TotpAlreadyEnabled: turn it off first.
        StepUpRequired, StepUpFailed: the login is not recent and the password was missing or wrong.
    """
    services = identity.services
    async with services.database.reading() as session:
        if await active_factor(session, user_id) is not None:
            raise TotpAlreadyEnabled("two-factor authentication is on already")
        login = await session.get_one(Session, session_id)
        recent = now(services.clock) - login.authenticated_at <= timedelta(seconds=RECENT_LOGIN_S)
    # A stolen token of an old login must not lock the owner out of the account.
    if not recent:
        proof = step_up.Proof(password=password)
        await step_up.confirm(identity, user_id=user_id, session_id=session_id, proof=proof)
    seed = totp.new_seed()
    async with services.database.transaction() as session:
        user = await lock_user(session, user_id)
        if await active_factor(session, user_id) is not None:
            raise TotpAlreadyEnabled("two-factor authentication is on already")
        await session.merge(
            TotpFactor(
                user_id=user_id,
                seed_sealed=identity.seeds.seal(seed, place=seed_place(user_id)),
                last_step=0,
                confirmed_at=None,
                created_at=now(services.clock),
            )
        )
    return Setup(
        secret=totp.seed_text(seed),
        provisioning_uri=totp.provisioning_uri(seed, email=user.email),
    )


async def verify(
    identity: Identity, *, user_id: UserId, session_id: SessionId, code: str
) -> list[str]:
    """Turn it on and end the other sessions, which never showed a code; return the recovery codes.

    Raises:
        TotpNotSetUp, TotpAlreadyEnabled: there is nothing to verify.
        TotpCodeWrong: the code is not one of the secret.
        TooManyAttempts: this session has used up its attempts.
    """
    services = identity.services
    bucket = proofs_in_session(session_id)
    await identity.throttle.take(bucket)
    at = now(services.clock)
    async with identity.changing() as change:
        await lock_user(change.session, user_id)
        factor = await change.session.get(TotpFactor, user_id, populate_existing=True)
        if factor is None:
            raise TotpNotSetUp("there is no secret to verify")
        if factor.confirmed_at is not None:
            raise TotpAlreadyEnabled("two-factor authentication is on already")
        seed = identity.seeds.open(factor.seed_sealed, place=seed_place(user_id))
        step = totp.matching_step(
            seed, code, now_ns=services.clock.now_ns(), after_step=factor.last_step
        )
        if step is None:
            raise TotpCodeWrong("the code does not belong to the secret")
        factor.last_step, factor.confirmed_at = step, at
        codes = await _replace_recovery_codes(identity, change, user_id)
        await _end_others(change, user_id, session_id, identity, reason="totp_enabled")
        await publish_user_event(change.session, services, user_id, UserEventType.TOTP_ENABLED)
    await identity.throttle.give_back(bucket)
    return codes


async def disable(
    identity: Identity, *, user_id: UserId, session_id: SessionId, proof: step_up.Proof
) -> None:
    """Turn it off and end the other sessions.

    Raises:
        TotpNotEnabled: it is off.
        StepUpRequired, StepUpFailed: password and code are demanded.
        TooManyAttempts: this session has used up its attempts.
    """
    services = identity.services
    async with services.database.reading() as session:
        if await active_factor(session, user_id) is None:
            raise TotpNotEnabled("two-factor authentication is off")
    await step_up.confirm(
        identity, user_id=user_id, session_id=session_id, proof=proof, password_always=True
    )
    async with identity.changing() as change:
        await lock_user(change.session, user_id)
        factor = await active_factor(change.session, user_id)
        if factor is None:
            raise TotpNotEnabled("two-factor authentication is off")
        await change.session.delete(factor)
        await change.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        await _end_others(change, user_id, session_id, identity, reason="totp_disabled")
        await publish_user_event(change.session, services, user_id, UserEventType.TOTP_DISABLED)


async def _replace_recovery_codes(identity: Identity, change: Change, user_id: UserId) -> list[str]:
    at = now(identity.services.clock)
    codes = totp.new_recovery_codes()
    await change.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    change.session.add_all(
        RecoveryCode(
            user_id=user_id,
            code_hash=totp.recovery_code_hash(identity.recovery_code_key, code),
            created_at=at,
        )
        for code in codes
    )
    return codes


async def _end_others(
    change: Change, user_id: UserId, session_id: SessionId, identity: Identity, *, reason: str
) -> None:
    at = now(identity.services.clock)
    live = await live_sessions(change.session, user_id, at, lock=True)
    end_sessions(change, [one for one in live if one.id != session_id], at=at, reason=reason)
