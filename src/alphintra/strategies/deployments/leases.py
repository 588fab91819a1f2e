"""Which process runs which deployment: leased, shared out, taken over.

A process proves that it lives by a session lock on a connection that it keeps: when it dies,
PostgreSQL frees the lock and others take over at once. One that hangs loses its leases when they
expire. Either way the epoch moves on, and whatever the old one still writes is refused.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert as upsert

from alphintra.core.clock import now
from alphintra.platform.database import Database, DatabaseUnavailable
from alphintra.platform.services import Services
from alphintra.strategies.deployments.commands import wake
from alphintra.strategies.deployments.models import HostRow
from alphintra.strategies.deployments.step import Lease

LEASE_S: Final = 15
RENEW_S: Final = 2.0
#: A process that was not seen for so long gets no share.
SEEN_S: Final = 10
#: First key of the processes' advisory locks; the second is their own.
LOCK_CLASS: Final = 0x6465_706C

_RENEW: Final = text("""
UPDATE strategies.deployments
SET lease_expires_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE owner = :owner
RETURNING id, epoch
""")
#: Of those that nobody has, or whoever has them is gone.
_TAKE: Final = text("""
UPDATE strategies.deployments
SET owner = :owner, owner_lock = :lock, epoch = epoch + 1,
    lease_expires_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE id IN (
    SELECT id FROM strategies.deployments
    WHERE status NOT IN ('STOPPED', 'FAILED')
      AND (owner IS NULL OR lease_expires_at < clock_timestamp() OR NOT EXISTS (
        SELECT 1 FROM pg_locks AS held
        WHERE held.locktype = 'advisory' AND held.classid::bigint = :lock_class
          AND held.objid::bigint = deployments.owner_lock AND held.objsubid = 2 AND held.granted
          AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      ))
    ORDER BY updated_at LIMIT :most FOR UPDATE SKIP LOCKED
)
RETURNING id, epoch
""")
_SHARES: Final = text("""
SELECT
    (SELECT count(*) FROM strategies.deployments WHERE status NOT IN ('STOPPED', 'FAILED')),
    -- One that has just died was seen a moment ago, and one that hangs still has its lock.
    least(
        (SELECT count(*) FROM strategies.deployment_hosts
         WHERE seen_at > clock_timestamp() - make_interval(secs => :seconds)),
        (SELECT count(*) FROM pg_locks AS held
         WHERE held.locktype = 'advisory' AND held.classid::bigint = :lock_class
           AND held.objsubid = 2 AND held.granted
           AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    )
""")
_GIVE_BACK: Final = text("""
UPDATE strategies.deployments
SET owner = NULL, owner_lock = NULL, lease_expires_at = NULL
WHERE owner = :owner AND (CAST(:id AS uuid) IS NULL OR id = :id)
RETURNING id
""")


@dataclass(slots=True)
class Leases:
    """The leases of one process. `open` first; all of them are given back with `close`."""

    services: Services
    owner: UUID
    _lock: int = field(default_factory=lambda: random.SystemRandom().getrandbits(31))
    _connection: psycopg.AsyncConnection | None = None

    async def open(self) -> None:
        """Prove that this process lives.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        try:
            self._connection = await self._database.connect_raw(autocommit=True)
            await self._connection.execute(
                "SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, self._lock]
            )
        except psycopg.Error as error:
            raise DatabaseUnavailable("the database is not reachable at the moment") from error

    async def renew(self) -> dict[UUID, int]:
        """Prolong the leases; return which there still are, with their epochs.

        Raises:
            DatabaseUnavailable: the database is away, or the connection that proves this process.
        """
        await self._prove()
        async with self._database.transaction() as session:
            await session.execute(
                upsert(HostRow)
                .values(id=self.owner, seen_at=now(self.services.clock))
                .on_conflict_do_update(
                    index_elements=["id"], set_={"seen_at": text("clock_timestamp()")}
                )
            )
            rows = await session.execute(_RENEW, {"seconds": LEASE_S, "owner": self.owner})
            return {row.id: row.epoch for row in rows}

    async def share(self) -> int:
        """Return how many deployments this process should run at most: its share, rounded up."""
        async with self._database.reading() as session:
            given = {"seconds": SEEN_S, "lock_class": LOCK_CLASS}
            row = (await session.execute(_SHARES, given)).one()
        deployments, hosts = row
        return -(-int(deployments) // max(1, int(hosts)))

    async def take(self, most: int) -> list[Lease]:
        """Lease up to so many deployments that nobody runs.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        async with self._database.transaction() as session:
            rows = await session.execute(
                _TAKE,
                {
                    "owner": self.owner,
                    "lock": self._lock,
                    "seconds": LEASE_S,
                    "lock_class": LOCK_CLASS,
                    "most": most,
                },
            )
            return [Lease(row.id, self.owner, row.epoch) for row in rows]

    async def give_back(
        self, deployment_id: UUID | None = None, *, tells_others: bool = False
    ) -> None:
        """Let others run one deployment, or all that this process has.

        Args:
            tells_others: they take it at once, not when they look the next time.

        Raises:
            DatabaseUnavailable: the database is away; the leases expire by themselves.
        """
        async with self._database.transaction() as session:
            given = {"owner": self.owner, "id": deployment_id}
            for row in await session.execute(_GIVE_BACK, given):
                if tells_others:
                    await wake(session, row.id)

    async def close(self) -> None:
        """Give everything back, and be gone."""
        try:
            async with self._database.transaction() as session:
                old = now(self.services.clock) - timedelta(days=1)
                await session.execute(
                    delete(HostRow).where((HostRow.id == self.owner) | (HostRow.seen_at < old))
                )
            # Whoever hears of it has its share of them by then.
            await self.give_back(tells_others=True)
        finally:
            if self._connection is not None:
                await self._connection.close()

    async def _prove(self) -> None:
        assert self._connection is not None
        try:
            await self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise DatabaseUnavailable("the connection to the database was lost") from error

    @property
    def _database(self) -> Database:
        return self.services.database
