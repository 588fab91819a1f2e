"""One publisher per feed: whoever holds the feed's lock in the database.

The lock belongs to a connection of its own. When that breaks, the lock is gone, and so must be the
publisher: `hold` fails then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Final

import psycopg

from alphintra.market.errors import FeedInUse
from alphintra.platform.database import Database, DatabaseUnavailable

CHECK_S: Final = 2.0


class FeedLock:
    """A lock that is held. `hold` returns only by an error: when it is lost."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    async def hold(self) -> None:
        """Watch over the lock.

        Raises:
            DatabaseUnavailable: it is lost with its connection.
        """
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self._connection.execute("SELECT 1")
            except (psycopg.Error, OSError) as error:
                raise DatabaseUnavailable("the lock on the feed is lost") from error


def _key(name: str) -> int:
    digest = blake2b(f"alphintra.market.feed/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


@asynccontextmanager
async def feed_lock(database: Database, name: str) -> AsyncIterator[FeedLock]:
    """Take the lock of the feed `name`.

    Raises:
        FeedInUse: another process has it.
        DatabaseUnavailable: the database is away.
    """
    try:
        connection = await database.connect_raw(autocommit=True)
    except (psycopg.Error, OSError) as error:
        raise DatabaseUnavailable("the database is not reachable at the moment") from error
    try:
        try:
            answer = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(name),))
            row = await answer.fetchone()
        except (psycopg.Error, OSError) as error:
            raise DatabaseUnavailable("the database is not reachable at the moment") from error
        if row is None or not row[0]:
            raise FeedInUse(f"the feed {name} is being published by another process", feed=name)
        yield FeedLock(connection)
    finally:
        await connection.close()
