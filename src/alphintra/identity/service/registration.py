"""New users."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.core.ids import UserId
from alphintra.identity import emails, passwords
from alphintra.identity.errors import EmailTaken
from alphintra.identity.events import UserEventType, publish_audit_event, publish_user_event
from alphintra.identity.models import User
from alphintra.identity.permissions import Role
from alphintra.identity.runtime import Identity
from alphintra.identity.throttle import taken_addresses_from


async def register(
    identity: Identity,
    *,
    email: str,
    password: str,
    first_name: str = "",
    last_name: str = "",
    address: str,
) -> User:
    """Make a TRADER, for somebody who came by HTTP from `address`.

    An address that is taken is answered as such: until an e-mail can tell its owner instead, the
    alternative is to let people believe that they have an account. What a search for accounts would
    need is bounded per network address, and then refused for taken and free addresses alike.

    Raises:
        EmailInvalid, EmailTaken: the e-mail address cannot be used.
        PasswordTooShort and its like: the password breaks a rule.
        TooManyAttempts: this network address met too many taken e-mail addresses.
        LoginBusy: the queue of passwords to hash is full.
    """
    canonical = emails.checked(email)
    chosen = passwords.check_rules(password, email=canonical)
    bucket = taken_addresses_from(address)
    await identity.throttle.check(bucket)
    password_hash = await identity.passwords.hash(chosen)
    try:
        return await _insert(
            identity,
            email=canonical,
            password_hash=password_hash,
            first_name=first_name,
            last_name=last_name,
            roles=[Role.TRADER],
            by_operator=False,
        )
    except EmailTaken:
        await identity.throttle.take(bucket)
        raise


async def create_user(
    identity: Identity,
    *,
    email: str,
    password: str,
    roles: frozenset[Role] = frozenset({Role.TRADER}),
    first_name: str = "",
    last_name: str = "",
) -> UserId:
    """Make a user with any roles, for the operator's command line; return the id.

    Raises:
        EmailInvalid, EmailTaken: the e-mail address cannot be used.
        PasswordTooShort and its like: the password breaks a rule.
    """
    canonical = emails.checked(email)
    chosen = passwords.check_rules(password, email=canonical)
    user = await _insert(
        identity,
        email=canonical,
        password_hash=await identity.passwords.hash(chosen),
        first_name=first_name,
        last_name=last_name,
        roles=sorted(roles),
        by_operator=True,
    )
    return UserId(user.id)


async def find_user(identity: Identity, email: str) -> UserId | None:
    """Return the id of the user with this e-mail address, or `None`."""
    async with identity.services.database.reading() as session:
        found = await session.scalar(select(User.id).where(User.email == emails.canonical(email)))
    return None if found is None else UserId(found)


async def user_named(session: AsyncSession, name: str) -> UserId | None:
    """Return the id of the enabled user with this e-mail address or id, or `None`."""
    try:
        is_meant = User.id == UUID(name)
    except ValueError:
        is_meant = User.email == emails.canonical(name)
    found = await session.scalar(select(User.id).where(is_meant, User.disabled_at.is_(None)))
    return None if found is None else UserId(found)


async def _insert(
    identity: Identity,
    *,
    email: str,
    password_hash: str,
    first_name: str,
    last_name: str,
    roles: list[Role],
    by_operator: bool,
) -> User:
    services = identity.services
    at = now(services.clock)
    async with services.database.transaction() as session:
        user: User | None = await session.scalar(
            insert(User)
            .values(
                id=services.ids(),
                email=email,
                password_hash=password_hash,
                password_changed_at=at,
                first_name=first_name,
                last_name=last_name,
                roles=[str(role) for role in roles],
                created_at=at,
                updated_at=at,
            )
            .on_conflict_do_nothing(index_elements=[User.email])
            .returning(User)
        )
        if user is None:
            raise EmailTaken("there is an account with this e-mail address already")
        await publish_user_event(session, services, user.id, UserEventType.USER_REGISTERED)
        if by_operator:
            await publish_audit_event(
                session,
                services,
                actor_id=None,
                action="user.create",
                subject=str(user.id),
                roles=" ".join(roles),
            )
    return user
