"""Access tokens: JWT (RFC 9068), RS256, verified by every process by itself.

The header must have exactly the three members that we write. So `jku`, `x5u`, `jwk`, `crit` and
whatever else could lead a verifier astray are refused unread, and `alg` and `typ` have one value
each.
"""

import asyncio
import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from alphintra.core.clock import NS_PER_SECOND, Clock, to_ns
from alphintra.core.ids import SessionId, UserId
from alphintra.identity.errors import TokenExpired, TokenInvalid
from alphintra.identity.keys import ALGORITHM, Keyring
from alphintra.identity.models import Session, User
from alphintra.identity.permissions import permissions_of
from alphintra.platform.security import Permission, Principal

TYPE: Final = "at+jwt"
AUDIENCE: Final = "alphintra"
#: How much the clocks of two of our machines may differ.
LEEWAY_S: Final = 5
LENGTH_MAX: Final = 8_192
# Strict base64url: decoders that skip foreign characters would take many spellings of one token.
_FORM: Final = re.compile(
    r"([A-Za-z0-9_-]{16,512})\.[A-Za-z0-9_-]{16,7000}\.[A-Za-z0-9_-]{512}", re.ASCII
)


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    typ: str
    kid: str


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token says. Times are seconds since the epoch.

    `ver` is the version of the user's rights, `sxp` the end of the session.
    """

    iss: str
    aud: str
    sub: UUID
    sid: UUID
    jti: str
    iat: int
    nbf: int
    exp: int
    sxp: int
    ver: int
    scope: str
    roles: tuple[str, ...]
    plan: str


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that holds, and until when."""

    principal: Principal
    expires_at_ns: int


_encoder = msgspec.json.Encoder()
_header_decoder = msgspec.json.Decoder(_Header)
_claims_decoder = msgspec.json.Decoder(Claims)


class AccessTokens:
    """Issues and verifies access tokens."""

    def __init__(self, keyring: Keyring, clock: Clock, *, issuer: str, lifetime_s: int) -> None:
        self._keyring = keyring
        self._clock = clock
        self._issuer = issuer
        self.lifetime_s = lifetime_s

    async def issue(self, user: User, session: Session) -> str:
        """Return a token for the session with the user's present rights."""
        at_s = self._clock.now_ns() // NS_PER_SECOND
        session_end_s = to_ns(session.expires_at) // NS_PER_SECOND
        claims = Claims(
            iss=self._issuer,
            aud=AUDIENCE,
            sub=user.id,
            sid=session.id,
            jti=uuid4().hex,
            iat=at_s,
            nbf=at_s,
            exp=min(at_s + self.lifetime_s, session_end_s),
            sxp=session_end_s,
            ver=user.version,
            scope=" ".join(sorted(permissions_of(user.roles))),
            roles=tuple(user.roles),
            plan=user.plan,
        )
        kid, key = await self._keyring.signing()
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": kid}
        # Signing takes milliseconds, which belong to other requests.
        return await asyncio.to_thread(
            jws.serialize_compact, header, _encoder.encode(claims), key, [ALGORITHM]
        )

    async def verify(self, token: str) -> VerifiedToken:
        """Check form, header, signature and claims.

        Raises:
            TokenInvalid: not a token of ours, or not for this use.
            TokenExpired: it was one.
        """
        header = _header(token)
        key = await self._keyring.verifying(header.kid)
        if key is None:
            raise TokenInvalid("the access token is not valid")
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload
            claims = _claims_decoder.decode(payload)
        except (JoseError, msgspec.DecodeError, ValueError) as error:
            raise TokenInvalid("the access token is not valid") from error
        self._check(claims)
        return VerifiedToken(_principal(claims), (claims.exp + LEEWAY_S) * NS_PER_SECOND)

    def _check(self, claims: Claims) -> None:
        at_s = self._clock.now_ns() // NS_PER_SECOND
        if claims.iss != self._issuer or claims.aud != AUDIENCE:
            raise TokenInvalid("the access token is not for this service")
        if max(claims.iat, claims.nbf) > at_s + LEEWAY_S:
            raise TokenInvalid("the access token is from the future")
        if claims.exp + LEEWAY_S <= at_s:
            raise TokenExpired("the access token has expired")


def _header(token: str) -> _Header:
    match = _FORM.fullmatch(token) if len(token) <= LENGTH_MAX else None
    if match is None:
        raise TokenInvalid("the access token is not valid")
    try:
        raw = base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4))
        header = _header_decoder.decode(raw)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise TokenInvalid("the access token is not valid") from error
    if header.alg != ALGORITHM or header.typ != TYPE:
        raise TokenInvalid("the access token is not valid")
    return header


def _principal(claims: Claims) -> Principal:
    known = set(Permission)
    return Principal(
        user_id=UserId(claims.sub),
        permissions=frozenset(Permission(one) for one in claims.scope.split() if one in known),
        roles=frozenset(claims.roles),
        session_id=SessionId(claims.sid),
        plan=claims.plan,
        version=claims.ver,
        ends_at_ns=claims.sxp * NS_PER_SECOND,
    )
