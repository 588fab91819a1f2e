"""The pieces of the partitioned tables, made before they are needed.

Candles lie in years, ticks in months: a piece should hold millions of rows, and the daily candles
of a century should not need a thousand pieces. What has no piece yet falls into the default
partition and is found there by every query; only removing old data by dropping a piece does not
reach it.
"""

from datetime import UTC, datetime
from typing import Final, Literal

import psycopg
import structlog
from psycopg import sql

Table = Literal["candles", "ticks"]

#: Of `pg_advisory_xact_lock`: two writers that miss the same piece make it once.
_LOCK: Final = 0x616C_7068_03
_LOCK_TIMEOUT_MS: Final = 5_000
#: An import that spans more leaves the rest to the default partition.
PIECES_MAX: Final = 240

log = structlog.get_logger(__name__)


def piece_of(table: Table, at: datetime) -> tuple[str, datetime, datetime]:
    """Return name, first instant and end of the piece that `at` belongs to."""
    at = at.astimezone(UTC)
    start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if table == "candles":
        start = start.replace(month=1)
        return f"candles_{start:%Y}", start, start.replace(year=start.year + 1)
    end = (
        start.replace(year=start.year + 1, month=1)
        if start.month == 12
        else start.replace(month=start.month + 1)
    )
    return f"ticks_{start:%Y_%m}", start, end


async def ensure(
    connection: psycopg.AsyncConnection, table: Table, first: datetime, last: datetime
) -> None:
    """Make the missing pieces of `table` for all times from `first` to `last`.

    Must not be called within a transaction that goes on: each piece is made and committed by
    itself.
    """
    at = first
    for _ in range(PIECES_MAX):
        if at > last:
            return
        name, start, end = piece_of(table, at)
        await _make(connection, table, name, start, end)
        at = end


async def _make(
    connection: psycopg.AsyncConnection, table: Table, name: str, start: datetime, end: datetime
) -> None:
    found = await connection.execute("SELECT to_regclass(%s)", (f"market.{name}",))
    row = await found.fetchone()
    if row is not None and row[0] is not None:
        return
    try:
        async with connection.transaction():
            await connection.execute(
                sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK_TIMEOUT_MS)
            )
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            await connection.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS market.{} PARTITION OF market.{} "
                    "FOR VALUES FROM ({}) TO ({})"
                ).format(
                    sql.Identifier(name),
                    sql.Identifier(table),
                    sql.Literal(start.isoformat()),
                    sql.Literal(end.isoformat()),
                )
            )
    except (psycopg.errors.CheckViolation, psycopg.errors.LockNotAvailable) as error:
        # Rows of this time are in the default partition already, or the table is busy: stay there.
        log.warning("partition_not_made", piece=name, error=str(error))
