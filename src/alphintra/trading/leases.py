"""Which desk writes which shard: one row a shard, with an epoch that every transaction of a desk
checks.

A desk proves that it lives by session locks on the connection it writes with: when its process or
its connection dies, PostgreSQL frees them and the next desk takes over at once. A desk that hangs
with its connection open is disconnected once its lease has expired: it may hang in the middle of a
transaction, which holds the rows that the next desk has to write. Either way the epoch moves on,
and whatever the old desk still sends is refused.
"""

from uuid import UUID

import psycopg

from alphintra.trading.errors import StoreFailed

LEASE_S = 6
RENEW_S = 2
#: First key of the shards' advisory locks; the second is the shard.
LOCK_CLASS = 0x6465_736B

_DISCONNECT_EXPIRED = """
SELECT pg_terminate_backend(pid) FROM (
    SELECT DISTINCT held.pid FROM pg_locks AS held
    JOIN trading.desk_leases AS lease ON lease.shard = held.objid::bigint
    WHERE held.locktype = 'advisory' AND held.classid::bigint = %s AND held.objsubid = 2
      AND held.granted AND held.pid <> pg_backend_pid()
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND lease.shard = ANY(%s) AND lease.expires_at < clock_timestamp()
) AS hung
"""
_TAKE = """
UPDATE trading.desk_leases
SET desk_id = %(desk_id)s, address = %(address)s, epoch = epoch + 1,
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE shard = ANY(%(shards)s)
  AND (shard = ANY(%(locked)s) OR expires_at < clock_timestamp())
RETURNING shard, epoch
"""
_RENEW = """
UPDATE trading.desk_leases SET expires_at = clock_timestamp() + make_interval(secs => %s)
WHERE desk_id = %s
"""
_RELEASE = """
UPDATE trading.desk_leases SET desk_id = NULL, address = '', expires_at = clock_timestamp()
WHERE desk_id = %s
"""


async def take(
    connection: psycopg.AsyncConnection, *, desk_id: UUID, address: str, shards: range
) -> dict[int, int]:
    """Lease what is free of `shards`; return the epochs by shard.

    Raises:
        StoreFailed: the database is away.
    """
    try:
        async with connection.transaction():
            await connection.execute(_DISCONNECT_EXPIRED, [LOCK_CLASS, list(shards)])
        async with connection.transaction():
            cursor = await connection.execute(
                "SELECT shard FROM unnest(%s::int[]) AS shard"
                " WHERE pg_try_advisory_lock(%s, shard)",
                [list(shards), LOCK_CLASS],
            )
            locked = [row[0] for row in await cursor.fetchall()]
            cursor = await connection.execute(
                _TAKE,
                {
                    "desk_id": desk_id,
                    "address": address,
                    "seconds": LEASE_S,
                    "shards": list(shards),
                    "locked": locked,
                },
            )
            return dict(await cursor.fetchall())
    except psycopg.Error as error:
        raise StoreFailed(str(error)) from error


async def renew(connection: psycopg.AsyncConnection, *, desk_id: UUID) -> int:
    """Prolong the desk's leases; return how many it still holds.

    Raises:
        StoreFailed: the database is away.
    """
    try:
        async with connection.transaction():
            cursor = await connection.execute(_RENEW, [LEASE_S, desk_id])
            return cursor.rowcount
    except psycopg.Error as error:
        raise StoreFailed(str(error)) from error


async def release(connection: psycopg.AsyncConnection, *, desk_id: UUID) -> None:
    """Give the leases back, so that another desk need not wait.

    Raises:
        StoreFailed: the database is away; the leases expire by themselves.
    """
    try:
        async with connection.transaction():
            await connection.execute(_RELEASE, [desk_id])
    except psycopg.Error as error:
        raise StoreFailed(str(error)) from error
