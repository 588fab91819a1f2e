"""Trading sessions of exchanges, from a table that is filled ahead of time.

The calendars come from a library that is slow to import and large in memory, so a child process
reads it and the table is what everybody asks. `ALWAYS` has no rows: it is one session without an
end, whose days turn at 00:00 UTC.
"""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.market.models import InstrumentRow, SessionRow
from alphintra.platform.database import Database

ALWAYS: Final = "ALWAYS"
FIRST_YEAR: Final = 1998
#: The table is filled again when it reaches less far than this.
HORIZON_MIN: Final = timedelta(days=90)
HORIZON: Final = timedelta(days=360)
_FILL_TIMEOUT_S: Final = 120
_ROWS_PER_STATEMENT: Final = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingSession:
    """From the first to the last moment at which an exchange trades; the end is exclusive."""

    opens_at: datetime
    closes_at: datetime


async def sessions_between(
    session: AsyncSession, calendar: str, start: datetime, end: datetime
) -> list[TradingSession]:
    """Return the sessions that have any time in common with [start, end), in order.

    An unknown calendar has none: what is not known to be open counts as closed.
    """
    if calendar == ALWAYS:
        return [TradingSession(opens_at=start, closes_at=end)]
    rows = await session.scalars(
        select(SessionRow)
        .where(
            SessionRow.calendar == calendar, SessionRow.opens_at < end, SessionRow.closes_at > start
        )
        .order_by(SessionRow.opens_at)
    )
    return [TradingSession(opens_at=row.opens_at, closes_at=row.closes_at) for row in rows]


async def is_open(session: AsyncSession, calendar: str, at: datetime) -> bool:
    """Say whether the exchange trades at that moment."""
    return bool(await sessions_between(session, calendar, at, at + timedelta(microseconds=1)))


async def next_close(session: AsyncSession, calendar: str, at: datetime) -> datetime | None:
    """Return when the session that is on, or else the next one, ends: what a DAY order lives to.

    Returns:
        `None` for a calendar of which nothing is known. For `ALWAYS` the next 00:00 UTC.
    """
    if calendar == ALWAYS:
        midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=1)
    closes_at: datetime | None = await session.scalar(
        select(func.min(SessionRow.closes_at)).where(
            SessionRow.calendar == calendar, SessionRow.closes_at > at
        )
    )
    return closes_at


async def refresh(database: Database, now: datetime) -> None:
    """Fill the table for every calendar that an instrument uses and that reaches not far enough."""
    for calendar in await _short(database, now):
        await fill(database, calendar, now + HORIZON)


async def fill(database: Database, calendar: str, until: datetime) -> None:
    """Write the sessions of one calendar from the first year to `until`; a repeat corrects them."""
    sessions = await _read(calendar, until)
    if not sessions:
        return
    async with database.transaction() as session:
        for start in range(0, len(sessions), _ROWS_PER_STATEMENT):
            rows = [
                {"calendar": calendar, "opens_at": one.opens_at, "closes_at": one.closes_at}
                for one in sessions[start : start + _ROWS_PER_STATEMENT]
            ]
            statement = insert(SessionRow).values(rows)
            await session.execute(
                statement.on_conflict_do_update(
                    index_elements=["calendar", "opens_at"],
                    set_={"closes_at": statement.excluded.closes_at},
                )
            )
    log.info("sessions_filled", calendar=calendar, sessions=len(sessions))


async def _short(database: Database, now: datetime) -> Iterable[str]:
    async with database.reading() as session:
        rows = await session.execute(
            select(InstrumentRow.calendar, func.max(SessionRow.closes_at))
            .outerjoin(SessionRow, SessionRow.calendar == InstrumentRow.calendar)
            .where(InstrumentRow.calendar != ALWAYS)
            .group_by(InstrumentRow.calendar)
        )
        reach: list[tuple[str, datetime | None]] = [(name, last) for name, last in rows]
    return [name for name, last in reach if last is None or last < now + HORIZON_MIN]


async def _read(calendar: str, until: datetime) -> list[TradingSession]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",  # the file alone: neither this package nor its folder is imported for it
        str(Path(__file__).with_name("calendars.py")),
        calendar,
        f"{FIRST_YEAR}-01-01",
        f"{until:%Y-%m-%d}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _FILL_TIMEOUT_S)
    except TimeoutError:
        out, err = b"", b"timeout"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        # An exchange without a known calendar counts as closed; the log says why orders are
        # refused.
        log.error("calendar_not_read", calendar=calendar, error=err.decode()[-500:])
        return []
    pairs = msgspec.json.decode(out, type=list[tuple[int, int]])
    return [
        TradingSession(
            opens_at=datetime.fromtimestamp(opens_s, UTC),
            closes_at=datetime.fromtimestamp(closes_s, UTC),
        )
        for opens_s, closes_s in pairs
    ]
