"""The venue's record in PostgreSQL: written beside the desk, in compressed pieces, read by parity.

A desk that is killed takes at most the last second of its record with it; the orders and fills of
that second are safe, and parity says that it cannot check them.
"""

import asyncio
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
import psycopg
import structlog
from prometheus_client import Counter
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import Clock, now, to_datetime
from alphintra.platform.database import Database
from alphintra.trading.journal import Block, Entry, Journal, Opened, time_of
from alphintra.trading.models import VenueRecordRow

FLUSH_S: Final = 1.0
PURGE_S: Final = 3_600.0
PURGE_ROWS: Final = 5_000
#: Fast: what is stored is mostly the same words again.
COMPRESSION: Final = 3

LOST = Counter("alphintra_venue_record_full_total", "Records that ended: the database was away")
log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder(decimal_format="string").encode
_decode = msgspec.msgpack.Decoder(list[Entry]).decode

_INSERT: Final = b"""
INSERT INTO trading.venue_records
    (desk_id, symbol, sequence, first_at, last_at, entries, is_restart, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_PURGE: Final = b"""
DELETE FROM trading.venue_records WHERE (desk_id, symbol, sequence) IN (
    SELECT desk_id, symbol, sequence FROM trading.venue_records WHERE last_at < %s LIMIT %s)
"""


def pack(entries: Sequence[Entry]) -> bytes:
    """Return entries as they are stored."""
    return zlib.compress(_encode(entries), COMPRESSION)


def unpack(body: bytes) -> list[Entry]:
    """Read what `pack` wrote.

    Raises:
        zlib.error, msgspec.DecodeError: it is damaged.
    """
    return _decode(zlib.decompress(body))


class JournalWriter:
    """Stores the records of a process's desks, one incarnation after the other."""

    def __init__(self, database: Database, clock: Clock, *, days: int) -> None:
        self._database = database
        self._clock = clock
        self._days = days
        self._journals: list[Journal] = []
        #: What was handed over and could not be stored yet.
        self._blocks: dict[Journal, list[Block]] = {}
        self._connection: psycopg.AsyncConnection | None = None

    def begin(self, journal: Journal) -> None:
        """Store this record from now on; those before are finished first."""
        self._journals.append(journal)

    async def run(self) -> None:
        """Store what is due every second, until cancelled; then everything that is left."""
        purged_s = 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                await self.flush()
                if loop.time() - purged_s > PURGE_S:
                    purged_s = loop.time()
                    await self._purge()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self.flush(everything=True)
            if self._connection is not None:
                await self._connection.close()

    async def flush(self, *, everything: bool = False) -> None:
        """Store what is due; while the database is away it waits, within the record's bound."""
        for journal in list(self._journals):
            is_over = journal is not self._journals[-1]
            waiting = self._blocks.setdefault(journal, [])
            waiting += journal.take(everything=everything or is_over)
            if waiting:
                try:
                    await self._store(waiting)
                except (psycopg.Error, OSError) as error:
                    await self._give_up(journal, error)
                    return
                journal.stored(waiting)
                waiting.clear()
            if is_over:
                self._journals.remove(journal)
                del self._blocks[journal]

    async def _give_up(self, journal: Journal, error: Exception) -> None:
        log.warning("venue_record_not_stored", error=str(error).strip())
        if journal.is_full:
            LOST.inc()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _store(self, blocks: Sequence[Block]) -> None:
        rows = await asyncio.to_thread(lambda: [_row(block) for block in blocks])
        connection = await self._connected()
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(_INSERT, rows)

    async def _purge(self) -> None:
        before = now(self._clock) - timedelta(days=self._days)
        try:
            connection = await self._connected()
            while (await connection.execute(_PURGE, (before, PURGE_ROWS))).rowcount == PURGE_ROWS:
                pass
        except (psycopg.Error, OSError) as error:
            log.warning("venue_record_not_purged", error=str(error).strip())

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await self._database.connect_raw(autocommit=True)
        return self._connection


def _row(block: Block) -> tuple[object, ...]:
    # An idle market's last quote is older than the order that it is kept for.
    times = [time_of(entry) for entry in block.entries]
    return (
        block.desk_id,
        block.symbol,
        block.sequence,
        to_datetime(times[0]),
        to_datetime(times[-1]),
        len(block.entries),
        block.is_restart,
        pack(block.entries),
    )


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of one desk's record of one symbol, from where a replay may begin."""

    desk_id: UUID
    symbol: str
    began_at: datetime
    #: False when the beginning is gone, and with it what the market and the orders were then.
    is_whole: bool
    bodies: tuple[bytes, ...]
    entries: int


async def pieces(
    session: AsyncSession, symbol: str, start: datetime, end: datetime, *, entries_max: int
) -> list[Piece]:
    """Return every desk's record of a symbol that touches `[start, end)`, oldest first.

    Each begins where a replay may begin. No more than `entries_max` entries are read; the caller
    compares the sum of what is returned with it.
    """
    row = VenueRecordRow
    desks = (
        await session.execute(
            select(row.desk_id, func.min(row.first_at))
            .where(row.symbol == symbol, row.last_at >= start, row.first_at < end)
            .group_by(row.desk_id)
            .order_by(func.min(row.first_at))
        )
    ).all()
    found: list[Piece] = []
    read = 0
    for desk_id, _ in desks:
        mine = (row.desk_id == desk_id, row.symbol == symbol)
        restart = await session.scalar(
            select(func.max(row.sequence)).where(*mine, row.is_restart, row.last_at < start)
        )
        first = await session.scalar(select(func.min(row.sequence)).where(*mine)) or 0
        begin = first if restart is None else restart
        chosen = (*mine, row.sequence >= begin, row.first_at < end)
        count = await session.scalar(select(func.sum(row.entries)).where(*chosen)) or 0
        read += count
        bodies = []
        if read <= entries_max:
            bodies = list(
                await session.scalars(select(row.body).where(*chosen).order_by(row.sequence))
            )
        began_at = await session.scalar(select(func.min(row.first_at)).where(*chosen))
        found.append(
            Piece(
                desk_id=desk_id,
                symbol=symbol,
                began_at=began_at or start,
                is_whole=restart is not None or first == 0,
                bodies=tuple(bodies),
                entries=count,
            )
        )
    return found


def entries_of(piece: Piece, start_ns: int) -> list[Entry]:
    """Return a piece's entries, from the last point before `start_ns` where a replay may begin."""
    entries = list(_entries(piece))
    begin = 0
    for index, entry in enumerate(entries):
        if time_of(entry) >= start_ns:
            break
        if type(entry) is Opened and entry.is_fresh:
            begin = index
    return entries[begin:]


def _entries(piece: Piece) -> Iterator[Entry]:
    for body in piece.bodies:
        yield from unpack(body)
