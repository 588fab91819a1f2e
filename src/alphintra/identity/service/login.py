"""Login. One request carries all factors, so there is no half-logged-in state that could be
misused.

The order matters: the attempt is counted before the password is hashed, the same for accounts that
do and do not exist; only who has the right password learns that a second factor is on or that the
account is disabled.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import select

from alphintra.core.clock import NS_PER_SECOND, now, to_ns
from alphintra.core.errors import Problem
from alphintra.core.ids import SessionId
from alphintra.identity import emails, passwords, throttle
from alphintra.identity.devices import Device
from alphintra.identity.errors import (
    AccountDisabled,
    InvalidCredentials,
    PasswordMalformed,
    TotpInvalid,
    TotpRequired,
)
from alphintra.identity.events import UserEventType, publish_user_event
from alphintra.identity.models import Session, TotpFactor, User
from alphintra.identity.refresh_tokens import new_salt
from alphintra.identity.runtime import Change, Identity
from alphintra.identity.service.codes import spend_code
from alphintra.identity.service.rows import (
    Client,
    active_factor,
    end_sessions,
    live_sessions,
    lock_user,
)
from alphintra.identity.throttle import Bucket

SESSIONS_PER_USER_MAX: Final = 50
_WRONG: Final = "e-mail address or password is wrong"
LOGINS = Counter("alphintra_logins_total", "Logins, by their outcome", ["outcome"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What somebody who wants to log in sent."""

    email: str
    password: str = field(repr=False)
    client: Client
    totp_code: str | None = field(default=None, repr=False)
    recovery_code: str | None = field(default=None, repr=False)
    device_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a login or a refresh gives. `device_token` is given at login only."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_s: int
    device_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """The account as it was when the password was compared."""

    user_id: UUID
    password_hash: str
    has_factor: bool


async def log_in(identity: Identity, attempt: Attempt) -> Tokens:
    """Start a session.

    Raises:
        InvalidCredentials: wrong address or password.
        TotpRequired, TotpInvalid: the second factor is on and was missing or wrong.
        AccountDisabled: by an administrator.
        TooManyAttempts: this account, device or network address has used up its attempts.
        LoginBusy: more logins wait than this process takes on.
    """
    try:
        tokens = await _log_in(identity, attempt)
    except Problem as problem:
        LOGINS.labels(problem.code).inc()
        raise
    LOGINS.labels("success").inc()
    return tokens


async def _log_in(identity: Identity, attempt: Attempt) -> Tokens:
    email = emails.canonical(attempt.email)
    now_ns = identity.services.clock.now_ns()
    device = identity.device_tokens.read(attempt.device_token, email=email, now_ns=now_ns)
    buckets = _buckets(email, attempt.client.address, device)
    identity.throttle.check_memory(*buckets)
    with identity.door.entered(known_device=device is not None):
        async with identity.door.connection:
            known, buckets = await _count_and_look_up(identity, attempt, email, device, buckets)
        replacement = await _check_password(identity, attempt.password, known)
        assert known is not None
        async with identity.door.connection:
            await identity.throttle.give_back(*buckets)
            user, session = await _check_code_and_start(
                identity, attempt, known, replacement, device
            )
    return Tokens(
        access_token=await identity.access_tokens.issue(user, session),
        refresh_token=identity.refresh_tokens.text(SessionId(session.id), 0, session.salt),
        expires_in_s=identity.access_tokens.lifetime_s,
        device_token=identity.device_tokens.text(session.device_id, email=email, now_ns=now_ns),
    )


async def _count_and_look_up(
    identity: Identity,
    attempt: Attempt,
    email: str,
    device: Device | None,
    buckets: tuple[Bucket, ...],
) -> tuple[_Known | None, tuple[Bucket, ...]]:
    """Count the attempt; return the account, if there is one, and what was counted."""
    await identity.throttle.take(*buckets)
    async with identity.services.database.reading() as session:
        row = (
            await session.execute(
                select(User, TotpFactor.confirmed_at)
                .outerjoin(TotpFactor, TotpFactor.user_id == User.id)
                .where(User.email == email)
            )
        ).one_or_none()
    if row is None:
        return None, buckets
    user, confirmed_at = row
    if device and to_ns(user.password_changed_at) >= device.issued_at_ns + NS_PER_SECOND:
        # It logged in with a password that is not the password any more: a device like any other.
        unknown = _buckets(email, attempt.client.address, None)
        await identity.throttle.take(*unknown)
        buckets = (*buckets, *unknown)
    return _Known(user.id, user.password_hash, confirmed_at is not None), buckets


async def _check_password(identity: Identity, password: str, known: _Known | None) -> str | None:
    """Compare the password; return a better hash of it, where there is one.

    Raises:
        InvalidCredentials: it is wrong, or there is no such account, which takes as long.
    """
    try:
        normalised = passwords.normalise(password)
    except PasswordMalformed:
        raise InvalidCredentials(_WRONG) from None
    verdict = await identity.passwords.verify(normalised, known.password_hash if known else None)
    if not verdict.right:
        raise InvalidCredentials(_WRONG)
    return verdict.replacement


async def _check_code_and_start(
    identity: Identity,
    attempt: Attempt,
    known: _Known,
    replacement: str | None,
    device: Device | None,
) -> tuple[User, Session]:
    if not known.has_factor:
        return await _start_session(identity, attempt, known, replacement, device)
    if not attempt.totp_code and not attempt.recovery_code:
        raise TotpRequired("send `totp_code` or `recovery_code` as well")
    bucket = throttle.codes_of(known.user_id, str(device.id) if device else "unknown")
    await identity.throttle.take(bucket)
    started = await _start_session(identity, attempt, known, replacement, device)
    await identity.throttle.give_back(bucket)
    return started


def _buckets(email: str, address: str, device: Device | None) -> tuple[Bucket, ...]:
    if device is not None:
        return (throttle.guesses_of_device(email, str(device.id)),)
    return (
        throttle.guesses_on_account(email),
        throttle.guesses_on_account_from(email, address),
        throttle.guesses_from(address),
    )


async def _start_session(
    identity: Identity,
    attempt: Attempt,
    known: _Known,
    replacement: str | None,
    device: Device | None,
) -> tuple[User, Session]:
    services = identity.services
    async with identity.changing() as change:
        user = await lock_user(change.session, known.user_id)
        factor = await active_factor(change.session, user.id)
        # Password or second factor changed while we were comparing: what was proven is void.
        if user.password_hash != known.password_hash or (factor is not None) != known.has_factor:
            raise InvalidCredentials(_WRONG)
        if user.disabled_at is not None:
            raise AccountDisabled("the account is disabled")
        if factor is not None and not await spend_code(
            identity,
            change.session,
            factor,
            totp_code=attempt.totp_code,
            recovery_code=attempt.recovery_code,
        ):
            raise TotpInvalid("the one-time code is wrong or was used before")
        if replacement is not None:
            user.password_hash = replacement
        await _make_room(change, user, identity)
        session = _new_session(identity, user, attempt.client, device)
        change.session.add(session)
        await publish_user_event(change.session, services, user.id, UserEventType.USER_LOGGED_IN)
    return user, session


async def _make_room(change: Change, user: User, identity: Identity) -> None:
    at = now(identity.services.clock)
    oldest = (await live_sessions(change.session, user.id, at, lock=True))[
        SESSIONS_PER_USER_MAX - 1 :
    ]
    end_sessions(change, oldest, at=at, reason="too_many_sessions")


def _new_session(identity: Identity, user: User, client: Client, device: Device | None) -> Session:
    services = identity.services
    at = now(services.clock)
    return Session(
        id=services.ids(),
        user_id=user.id,
        salt=new_salt(),
        generation=0,
        handed_out_at=at,
        device_id=device.id if device else services.ids(),
        address=client.address,
        user_agent=client.user_agent,
        authenticated_at=at,
        created_at=at,
        last_used_at=at,
        expires_at=at + timedelta(seconds=services.settings.session_s),
    )


async def password_matches(identity: Identity, *, email: str, password: str) -> bool:
    """Say whether this is the password of the account, for the operator's own commands.

    Counts no attempt and starts no session; it is not for requests from outside.
    """
    async with identity.services.database.reading() as session:
        stored = await session.scalar(
            select(User.password_hash).where(User.email == emails.canonical(email))
        )
    return (await identity.passwords.verify(passwords.normalise(password), stored)).right
