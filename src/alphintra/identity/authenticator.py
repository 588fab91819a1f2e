"""Who is calling: access tokens and API keys, from memory wherever that is safe.

A credential that was verified is remembered by its SHA-256, so the next request with it costs two
dictionary look-ups. What ends it meanwhile is heard of through `revocations.py`, and asked at every
request.
"""

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from alphintra.core.clock import NS_PER_SECOND, Clock, now, to_ns
from alphintra.core.errors import NotAuthenticated
from alphintra.core.ids import ApiKeyId, UserId
from alphintra.identity import api_keys
from alphintra.identity.errors import (
    ApiKeyInvalid,
    CredentialsAmbiguous,
    SessionEnded,
    TokenSuperseded,
)
from alphintra.identity.models import ApiKey, User
from alphintra.identity.permissions import delegable, permissions_of
from alphintra.identity.revocations import Revocations
from alphintra.identity.tokens import AccessTokens, VerifiedToken
from alphintra.platform.database import Database
from alphintra.platform.security import Permission, Principal

if TYPE_CHECKING:
    from alphintra.identity.runtime import Identity

#: Credentials remembered per process; about 1 kB each.
REMEMBERED_MAX: Final = 20_000
#: An API key is read again this often, also to note that it is in use.
API_KEY_REREAD_S: Final = 60
_ABSENT: Final = "send an access token as `Authorization: Bearer …` or an API key as `X-API-Key`"


class IdentityAuthenticator:
    """The authenticator of one process. Made by `build_authenticator`, closed with `close`."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        tokens: AccessTokens,
        revocations: Revocations,
    ) -> None:
        self._database = database
        self._clock = clock
        self._tokens = tokens
        self._revocations = revocations
        self._remembered: dict[bytes, VerifiedToken] = {}
        #: All of identity in this process; our own routes find it here.
        self.identity: Identity
        revocations.on_keys_changed(self._remembered.clear)

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        """Return who is calling, by the headers of a request or of a WebSocket's handshake.

        Raises:
            NotAuthenticated: no credentials, or none that hold; the code says why.
            AuthenticationUnavailable: revocations cannot be read at the moment.
        """
        return await self.authenticate_credential(_credential(connection.headers))

    async def authenticate_credential(self, credential: str) -> Principal:
        """Return whose access token or API key this is; for what arrives by another way than
        headers.

        Raises:
            NotAuthenticated: it does not hold; the code says why.
            AuthenticationUnavailable: revocations cannot be read at the moment.
        """
        if not self._revocations.is_fresh():
            await self._revocations.ready()
        digest = hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
        found = self._remembered.get(digest)
        if found is None or found.expires_at_ns <= self._clock.now_ns():
            found = await self._verify(credential)
            self._remember(digest, found)
        if not self._revocations.allows(found.principal):
            del self._remembered[digest]
            found = await self._second_look(digest, credential, found.principal)
        return found.principal

    def still_valid(self, principal: Principal) -> bool:
        """Say whether a principal still stands; see `platform.security.Authenticator`."""
        if not self._revocations.is_fresh() or not self._revocations.allows(principal):
            return False
        return principal.ends_at_ns is None or self._clock.now_ns() < principal.ends_at_ns

    async def close(self) -> None:
        """Stop listening for revocations and end the threads that hash passwords."""
        await self._revocations.close()
        self.identity.passwords.close()

    def _remember(self, digest: bytes, found: VerifiedToken) -> None:
        if len(self._remembered) >= REMEMBERED_MAX:
            # The oldest tenth; most of it has expired. Whoever is still active is verified again.
            for old in list(self._remembered)[: REMEMBERED_MAX // 10]:
                del self._remembered[old]
        self._remembered[digest] = found

    async def _verify(self, credential: str) -> VerifiedToken:
        if credential.startswith(api_keys.PREFIX):
            return await self._read_api_key(credential)
        return await self._tokens.verify(credential)

    async def _second_look(
        self, digest: bytes, credential: str, principal: Principal
    ) -> VerifiedToken:
        """What was remembered does not stand any more. A key may still stand, with other rights."""
        if principal.api_key_id is None:
            if self._revocations.has_ended(principal):
                raise SessionEnded("the session has ended; log in again")
            raise TokenSuperseded("the user's rights have changed since; refresh the token")
        found = await self._verify(credential)
        if not self._revocations.allows(found.principal):
            raise ApiKeyInvalid("the API key is not valid")
        self._remember(digest, found)
        return found

    async def _read_api_key(self, credential: str) -> VerifiedToken:
        presented = api_keys.parse(credential)
        if presented is None:
            raise ApiKeyInvalid("the API key is not valid")
        at = now(self._clock)
        async with self._database.transaction() as session:
            row = (
                await session.execute(
                    select(ApiKey, User)
                    .join(User, User.id == ApiKey.user_id)
                    .where(ApiKey.id == presented.id)
                )
            ).one_or_none()
            if row is None:
                raise ApiKeyInvalid("the API key is not valid")
            key, user = row
            if (
                not presented.matches(key.secret_hash)
                or key.revoked_at is not None
                or (key.expires_at is not None and key.expires_at <= at)
                or user.disabled_at is not None
            ):
                raise ApiKeyInvalid("the API key is not valid")
            if key.last_used_at is None or at - key.last_used_at > timedelta(
                seconds=API_KEY_REREAD_S
            ):
                key.last_used_at = at
        return _verified_key(key, user, until_ns=to_ns(at) + API_KEY_REREAD_S * NS_PER_SECOND)


def _verified_key(key: ApiKey, user: User, *, until_ns: int) -> VerifiedToken:
    known = set(Permission)
    scopes = frozenset(Permission(scope) for scope in key.scopes if scope in known)
    ends_at_ns = None if key.expires_at is None else to_ns(key.expires_at)
    principal = Principal(
        user_id=UserId(user.id),
        permissions=delegable(scopes & permissions_of(user.roles)),
        roles=frozenset(user.roles),
        api_key_id=ApiKeyId(key.id),
        plan=user.plan,
        version=user.version,
        ends_at_ns=ends_at_ns,
    )
    return VerifiedToken(principal, until_ns if ends_at_ns is None else min(until_ns, ends_at_ns))


def _credential(headers: Headers) -> str:
    authorization = headers.getlist("authorization")
    keys = headers.getlist("x-api-key")
    if len(authorization) + len(keys) > 1:
        raise CredentialsAmbiguous("send one credential, once")
    if keys and keys[0].startswith(api_keys.PREFIX):
        return keys[0]
    if keys:
        raise ApiKeyInvalid("the API key is not valid")
    if not authorization:
        raise NotAuthenticated(_ABSENT)
    scheme, _, credential = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not credential:
        raise NotAuthenticated(_ABSENT)
    return credential
