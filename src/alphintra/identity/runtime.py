"""All of identity that lives as long as a process: keys, caches, threads, and the use cases over
them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.identity.authenticator import IdentityAuthenticator
from alphintra.identity.devices import DeviceTokens
from alphintra.identity.door import Door
from alphintra.identity.keys import Keyring
from alphintra.identity.passwords import Passwords
from alphintra.identity.refresh_tokens import RefreshTokens
from alphintra.identity.revocations import Revocation, Revocations, announce
from alphintra.identity.throttle import Throttle
from alphintra.identity.tokens import AccessTokens
from alphintra.platform.sealing import Sealer, derive_key, master_key
from alphintra.platform.services import Services


@dataclass(slots=True)
class Change:
    """A transaction that may end sessions or change rights: what it revokes is heard everywhere."""

    session: AsyncSession
    revocations: list[Revocation] = field(default_factory=list)

    def revoke(self, *revocations: Revocation) -> None:
        """Announce these with the commit."""
        self.revocations.extend(revocations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The parts that use cases are made of."""

    services: Services
    passwords: Passwords
    door: Door
    throttle: Throttle
    revocations: Revocations
    keyring: Keyring
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    device_tokens: DeviceTokens
    seeds: Sealer
    recovery_code_key: bytes

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[Change]:
        """Run one transaction whose revocations hold in this process as soon as it is committed,
        and in the others as soon as they hear of it.

        Raises:
            DatabaseUnavailable: the server is away; the outcome is unknown.
        """
        async with self.services.database.transaction() as session:
            change = Change(session)
            yield change
            await announce(session, self.services.clock, change.revocations)
        self.revocations.apply(change.revocations)


def build_identity(services: Services, *, passwords: Passwords | None = None) -> Identity:
    """Put identity together for a process or a command.

    Args:
        passwords: a hasher of another cost, for tests.

    Raises:
        MasterKeyInvalid: the settings hold no usable master key.
    """
    master = master_key(services.settings)
    revocations = Revocations(services.database, services.clock)
    keyring = Keyring(services, Sealer(master, purpose="identity/signing-keys"), revocations)
    return Identity(
        services=services,
        passwords=passwords or Passwords(),
        door=Door(),
        throttle=Throttle(services.database, services.clock),
        revocations=revocations,
        keyring=keyring,
        access_tokens=AccessTokens(
            keyring,
            services.clock,
            issuer=services.settings.public_url,
            lifetime_s=services.settings.access_token_s,
        ),
        refresh_tokens=RefreshTokens(derive_key(master, "identity/refresh-tokens")),
        device_tokens=DeviceTokens(derive_key(master, "identity/device-tokens")),
        seeds=Sealer(master, purpose="identity/totp-seeds"),
        recovery_code_key=derive_key(master, "identity/recovery-codes"),
    )


def build_authenticator(
    services: Services, *, passwords: Passwords | None = None
) -> IdentityAuthenticator:
    """Return the authenticator of this process; it begins to work at the first request.

    Put it on `app.state.authenticator`, where identity's own routes look for it as well, and
    `close` it at the end.

    Raises:
        MasterKeyInvalid: the settings hold no usable master key.
    """
    identity = build_identity(services, passwords=passwords)
    authenticator = IdentityAuthenticator(
        database=services.database,
        clock=services.clock,
        tokens=identity.access_tokens,
        revocations=identity.revocations,
    )
    authenticator.identity = identity
    return authenticator
