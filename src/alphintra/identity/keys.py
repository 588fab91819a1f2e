"""The keys that sign access tokens: RSA 3072, sealed in the database, replaced by age or on demand.

There is always a CURRENT key, which signs, and a NEXT one, which is published already; so whoever
keeps a copy of our key set for a while knows a key before it signs. A RETIRED key verifies until
the last token that it signed has expired.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import structlog
from joserfc.jwk import RSAKey
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.core.ids import UserId
from alphintra.identity.events import publish_audit_event
from alphintra.identity.models import SigningKeyRow
from alphintra.identity.revocations import SIGNING_KEYS_CHANGED, Revocations, announce
from alphintra.platform.sealing import Sealer
from alphintra.platform.services import Services

KEY_BITS: Final = 3072
ALGORITHM: Final = "RS256"
#: Keys are read again this often, and at most this often for a `kid` that we do not know.
RELOAD_S: Final = 60.0
RELOAD_UNKNOWN_S: Final = 5.0
#: How long after its retirement a key may still have signed: a process reloads at least this often.
RETIREMENT_MARGIN_S: Final = 300
ADVISORY_LOCK: Final = 0x616C_7068_03

log = structlog.get_logger(__name__)


class Status(StrEnum):
    """Where a key is in its life."""

    NEXT = "NEXT"
    CURRENT = "CURRENT"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys as one reading of the table found them."""

    signing: RSAKey
    signing_kid: str
    verifying: dict[str, RSAKey]
    public: list[dict[str, Any]]  # JSON objects (RFC 7517)


class Keyring:
    """The signing keys, as one process knows them."""

    def __init__(self, services: Services, sealer: Sealer, revocations: Revocations) -> None:
        self._services = services
        self._sealer = sealer
        self._revocations = revocations
        self._keys: KeySet | None = None
        self._loaded_at_s = float("-inf")
        self._loading = asyncio.Lock()
        revocations.on_keys_changed(self._forget)

    async def signing(self) -> tuple[str, RSAKey]:
        """Return the key that signs, and its id."""
        keys = await self._load(older_than_s=RELOAD_S)
        return keys.signing_kid, keys.signing

    async def verifying(self, kid: str) -> RSAKey | None:
        """Return the public key with that id, if it is one of ours and still counts."""
        keys = await self._load(older_than_s=RELOAD_S)
        if kid not in keys.verifying:
            keys = await self._load(older_than_s=RELOAD_UNKNOWN_S)
        return keys.verifying.get(kid)

    async def jwks(self) -> dict[str, Any]:
        """Return the JSON Web Key Set: the next key, the current one and the retired that still
        count.
        """
        keys = await self._load(older_than_s=RELOAD_S)
        return {"keys": keys.public}

    async def rotate(self, *, actor_id: UserId | None = None, compromised: bool = False) -> str:
        """Let the NEXT key sign from now on; return its id.

        Args:
            compromised: forget the key that signed until now at once, and with it all access
            tokens;
                sessions stay, clients refresh.
        """
        fresh = await asyncio.to_thread(_generate)
        async with self._services.database.transaction() as session:
            await _lock(session)
            kid = await self._advance(session, fresh, compromised=compromised)
            await publish_audit_event(
                session,
                self._services,
                actor_id=actor_id,
                action="signing_key.rotate",
                subject=kid,
                compromised=str(compromised).lower(),
            )
            await announce(session, self._services.clock, [SIGNING_KEYS_CHANGED])
        self._revocations.apply([SIGNING_KEYS_CHANGED])
        log.info("signing_key_rotated", kid=kid, compromised=compromised)
        return kid

    def _forget(self) -> None:
        self._loaded_at_s = float("-inf")

    async def _load(self, *, older_than_s: float) -> KeySet:
        loop = asyncio.get_running_loop()
        if self._keys is not None and loop.time() - self._loaded_at_s < older_than_s:
            return self._keys
        async with self._loading:
            if self._keys is None or loop.time() - self._loaded_at_s >= older_than_s:
                asked_at_s = loop.time()
                self._keys = await self._read_or_make()
                self._loaded_at_s = asked_at_s
            return self._keys

    async def _read_or_make(self) -> KeySet:
        rows = await self._rows()
        if not any(row.status == Status.CURRENT for row in rows):
            await self._make_first()
            rows = await self._rows()
        current = next(row for row in rows if row.status == Status.CURRENT)
        age = now(self._services.clock) - (current.activated_at or current.created_at)
        if age > timedelta(seconds=self._services.settings.signing_key_s):
            await self._rotate_by_age(current.kid)
            rows = await self._rows()
        return self._key_set(rows)

    async def _rows(self) -> Sequence[SigningKeyRow]:
        async with self._services.database.reading() as session:
            rows = (await session.scalars(select(SigningKeyRow))).all()
        return [row for row in rows if not self._is_past(row)]

    def _is_past(self, row: SigningKeyRow) -> bool:
        return row.retired_at is not None and row.retired_at < self._forgotten_before()

    def _forgotten_before(self) -> datetime:
        kept_s = self._services.settings.access_token_s + RETIREMENT_MARGIN_S
        return now(self._services.clock) - timedelta(seconds=kept_s)

    def _key_set(self, rows: Sequence[SigningKeyRow]) -> KeySet:
        current = next(row for row in rows if row.status == Status.CURRENT)
        der = self._sealer.open(current.private_key_sealed, place=_place(current.kid))
        order = {Status.CURRENT: 0, Status.NEXT: 1, Status.RETIRED: 2}
        public = [row.public_jwk for row in sorted(rows, key=lambda row: order[Status(row.status)])]
        return KeySet(
            signing=RSAKey.import_key(der),
            signing_kid=current.kid,
            verifying={row.kid: RSAKey.import_key(row.public_jwk) for row in rows},
            public=public,
        )

    async def _make_first(self) -> None:
        first, second = await asyncio.gather(
            asyncio.to_thread(_generate), asyncio.to_thread(_generate)
        )
        async with self._services.database.transaction() as session:
            await _lock(session)
            if await _find(session, Status.CURRENT) is None:
                session.add(self._row(first, Status.CURRENT))
                session.add(self._row(second, Status.NEXT))

    async def _rotate_by_age(self, kid: str) -> None:
        fresh = await asyncio.to_thread(_generate)
        async with self._services.database.transaction() as session:
            await _lock(session)
            current = await _find(session, Status.CURRENT)
            if current is None or current.kid != kid:
                return  # another process was faster
            activated = await self._advance(session, fresh, compromised=False)
            await publish_audit_event(
                session,
                self._services,
                actor_id=None,
                action="signing_key.rotate",
                subject=activated,
                reason="age",
            )
            await announce(session, self._services.clock, [SIGNING_KEYS_CHANGED])
        log.info("signing_key_rotated", kid=activated, reason="age")

    async def _advance(self, session: AsyncSession, fresh: RSAKey, *, compromised: bool) -> str:
        """CURRENT becomes RETIRED (or goes), NEXT becomes CURRENT, `fresh` becomes NEXT."""
        at = now(self._services.clock)
        current = await _find(session, Status.CURRENT)
        following = await _find(session, Status.NEXT)
        if current is not None:
            if compromised:
                await session.delete(current)
            else:
                current.status, current.retired_at = Status.RETIRED, at
        await session.flush()  # at most one row may be CURRENT at any moment
        if following is None:
            following = self._row(await asyncio.to_thread(_generate), Status.CURRENT)
            session.add(following)
        following.status, following.activated_at = Status.CURRENT, at
        await session.flush()
        session.add(self._row(fresh, Status.NEXT))
        await session.execute(
            delete(SigningKeyRow).where(SigningKeyRow.retired_at < self._forgotten_before())
        )
        return following.kid

    def _row(self, key: RSAKey, status: Status) -> SigningKeyRow:
        at = now(self._services.clock)
        kid = key.thumbprint()
        return SigningKeyRow(
            kid=kid,
            status=status,
            private_key_sealed=self._sealer.seal(key.as_der(private=True), place=_place(kid)),
            public_jwk={
                **key.as_dict(private=False),
                "kid": kid,
                "use": "sig",
                "alg": ALGORITHM,
            },
            created_at=at,
            activated_at=at if status is Status.CURRENT else None,
        )


def _generate() -> RSAKey:
    return RSAKey.generate_key(KEY_BITS)


def _place(kid: str) -> str:
    return f"identity.signing_keys/{kid}/private_key_sealed"


async def _lock(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})


async def _find(session: AsyncSession, status: Status) -> SigningKeyRow | None:
    found: SigningKeyRow | None = await session.scalar(
        select(SigningKeyRow).where(SigningKeyRow.status == status)
    )
    return found
