"""Import of a file: read, sift, and store all that is believed; the rest is kept in quarantine.

The file is read to its end before anything is stored for good, so a file that turns out to be
damaged leaves no trace. The same file imported again changes nothing, and takes the place of its
own quarantine.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import psycopg
import structlog
from psycopg.types.json import Jsonb

from alphintra.core.clock import now, to_datetime
from alphintra.core.ids import derived_id
from alphintra.market import copying, partitions
from alphintra.market.errors import FileNotReadable, InvalidSource
from alphintra.market.files import FILE_BYTES_MAX, Kind, open_table
from alphintra.market.instruments import load_instrument
from alphintra.market.sifting import Chunk, Sifter
from alphintra.market.timeframes import parse
from alphintra.platform.database import DatabaseUnavailable
from alphintra.platform.services import Services

#: Rows that one transaction moves into their table.
STORE_ROWS: Final = 50_000
#: What imports call their data unless told otherwise.
SOURCE: Final = "import"
FILE_NAME_LENGTH_MAX: Final = 200
#: Sources are words: they stand in lines of COPY and in cursors.
SOURCE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_:-]{0,31}", re.ASCII)

log = structlog.get_logger(__name__)


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file.

    `rows` = `accepted` + the sum of `quarantined`. `stored` counts accepted rows that were new or
    different from what was there; the others were there already.
    """

    id: UUID
    symbol: str
    kind: str
    timeframe: str | None
    source: str
    rows: int
    accepted: int
    stored: int
    quarantined: dict[str, int]
    flags: dict[str, int]
    first_at: datetime | None
    last_at: datetime | None


async def import_file(
    services: Services,
    path: Path,
    *,
    symbol: str,
    timeframe: str | None = None,
    timezone: str = "",
    source: str = SOURCE,
    columns: Sequence[str] = (),
    date_format: str = "",
    file_name: str = "",
    user_id: UUID | None = None,
) -> ImportResult:
    """Import candles, quotes or trades from a Parquet or CSV file.

    Args:
        timeframe: of candles; ignored for ticks.
        timezone: IANA name of the zone of times that have none.
        columns: names of the columns in order, for files without a header.
        date_format: `strptime` form of the times, where it cannot be found out.
        file_name: what to remember the file as; its own name otherwise.

    Raises:
        UnknownInstrument, UnknownTimeframe, TimeframeRequired, InvalidSource: see there.
        FileNotReadable, FileTooLarge, ColumnsNotRecognised: the file cannot be taken as it is.
        TimezoneRequired, UnknownTimezone, TimesNotUnderstood: its times cannot.
        DatabaseUnavailable: the database went away; importing again completes it.
    """
    checked = None if timeframe is None else parse(timeframe)
    if not SOURCE_NAME.fullmatch(source):
        raise InvalidSource("a source is up to 32 small letters, digits, '-', '_' and ':'")
    async with services.database.reading() as session:
        instrument = await load_instrument(session, symbol)
    digest = await asyncio.to_thread(_digest, path)
    table = await asyncio.to_thread(open_table, path, columns=columns, base=str(instrument.base))
    sifter = await asyncio.to_thread(
        Sifter,
        table,
        instrument,
        timeframe=checked,
        timezone=timezone,
        date_format=date_format,
        now_ns=services.clock.now_ns(),
    )
    kept_timeframe = checked if table.kind is Kind.CANDLES else None
    import_id = derived_id("market.import", digest, symbol, kept_timeframe, source)
    try:
        connection = await services.database.connect_raw(autocommit=True)
        try:
            staged = "candles" if table.kind is Kind.CANDLES else "ticks"
            await _stage(connection, staged, sifter, copying.Lines(symbol, source))
            stored = await _store(connection, staged, sifter)
            result = _result(import_id, symbol, table.kind, kept_timeframe, source, sifter, stored)
            await _remember(
                connection,
                result,
                file_name=(file_name or path.name)[-FILE_NAME_LENGTH_MAX:],
                digest=digest,
                user_id=user_id,
                at=now(services.clock),
            )
        finally:
            await connection.close()
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise DatabaseUnavailable("the import was interrupted; import the file again") from error
    log.info("file_imported", **msgspec.to_builtins(result))
    return result


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if path.stat().st_size > FILE_BYTES_MAX:
                return ""  # refused for its size when it is opened
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileNotReadable(f"{path.name} cannot be read: {error.strerror}") from error


async def _stage(
    connection: psycopg.AsyncConnection, staged: str, sifter: Sifter, make: copying.Lines
) -> None:
    await copying.stage(connection, staged)
    await connection.execute(
        "CREATE TEMP TABLE staged_quarantine (row_number bigint, reason text, raw text)"
    )
    chunks = sifter.chunks()
    while (found := await asyncio.to_thread(_next_lines, chunks, make)) is not None:
        chunk, accepted = found
        if accepted:
            await copying.copy(connection, copying.copy_staged(staged), accepted)
        if chunk.refused:
            lines = [
                f"{number}\t{reason}\t{copying.escape(raw)}\n"
                for number, reason, raw in chunk.refused
            ]
            await copying.copy(connection, "COPY pg_temp.staged_quarantine FROM STDIN", lines)


def _next_lines(chunks: Iterator[Chunk], make: copying.Lines) -> tuple[Chunk, list[str]] | None:
    chunk = next(chunks, None)
    if chunk is None:
        return None
    return chunk, [make(tick, ordinal) for tick, ordinal in chunk.accepted]


async def _store(connection: psycopg.AsyncConnection, staged: str, sifter: Sifter) -> int:
    if sifter.first_ns is None or sifter.last_ns is None:
        return 0
    table: partitions.Table = "candles" if staged == "candles" else "ticks"
    await partitions.ensure(
        connection, table, to_datetime(sifter.first_ns), to_datetime(sifter.last_ns)
    )
    statement = copying.UPSERT_CANDLES if staged == "candles" else copying.INSERT_TICKS
    stored = 0
    for start in range(0, sifter.accepted, STORE_ROWS):
        cursor = await connection.execute(statement.encode(), (start, start + STORE_ROWS))
        stored += cursor.rowcount
    return stored


def _result(
    import_id: UUID,
    symbol: str,
    kind: Kind,
    timeframe: str | None,
    source: str,
    sifter: Sifter,
    stored: int,
) -> ImportResult:
    return ImportResult(
        id=import_id,
        symbol=symbol,
        kind=str(kind),
        timeframe=timeframe,
        source=source,
        rows=sifter.rows,
        accepted=sifter.accepted,
        stored=stored,
        quarantined={str(reason): count for reason, count in sorted(sifter.refused.items())},
        flags=dict(sorted(sifter.flags.items())),
        first_at=None if sifter.first_ns is None else to_datetime(sifter.first_ns),
        last_at=None if sifter.last_ns is None else to_datetime(sifter.last_ns),
    )


async def _remember(
    connection: psycopg.AsyncConnection,
    result: ImportResult,
    *,
    file_name: str,
    digest: str,
    user_id: UUID | None,
    at: datetime,
) -> None:
    values = {
        "id": result.id,
        "user_id": user_id,
        "symbol": result.symbol,
        "kind": result.kind,
        "timeframe": result.timeframe,
        "file_name": file_name.replace("\0", "\ufffd"),
        "sha256": digest,
        "source": result.source,
        "rows": result.rows,
        "accepted": result.accepted,
        "stored": result.stored,
        "quarantined": Jsonb(result.quarantined),
        "flags": Jsonb(result.flags),
        "created_at": at,
    }
    async with connection.transaction():
        await connection.execute("DELETE FROM market.quarantine WHERE import_id = %s", (result.id,))
        await connection.execute("DELETE FROM market.imports WHERE id = %s", (result.id,))
        await connection.execute(_INSERT_IMPORT, values)
        await connection.execute(
            "INSERT INTO market.quarantine (import_id, symbol, source, row_number, reason, raw) "
            "SELECT %s, %s, %s, row_number, reason, raw FROM pg_temp.staged_quarantine "
            "ORDER BY row_number",
            (result.id, result.symbol, result.source),
        )


_INSERT_IMPORT: Final = """
INSERT INTO market.imports (id, user_id, symbol, kind, timeframe, file_name, sha256, source, rows,
    accepted, stored, quarantined, flags, created_at)
VALUES (%(id)s, %(user_id)s, %(symbol)s, %(kind)s, %(timeframe)s, %(file_name)s, %(sha256)s,
    %(source)s, %(rows)s, %(accepted)s, %(stored)s, %(quarantined)s, %(flags)s, %(created_at)s)
"""
