"""What a live feed leaves behind is thinned out: ticks and the shortest candles go after some days.

A simulated market alone writes millions of ticks a day. Imported data stay for ever, and so do
candles of a minute and longer.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import psycopg
import structlog

from alphintra.core.clock import now
from alphintra.market.instruments import load_instruments
from alphintra.platform.database import DatabaseUnavailable
from alphintra.platform.services import Services

#: Candles that go with the ticks they were made of.
SHORT_TIMEFRAMES: Final = ("1s", "5s", "15s")
#: One transaction removes this much time of one symbol: some ten thousand rows.
WINDOW: Final = timedelta(hours=1)
PAUSE_S: Final = 0.05

_OLDEST_TICK: Final = """
SELECT at FROM market.ticks WHERE symbol = %s AND source = %s AND at < %s ORDER BY at LIMIT 1
"""
_DELETE_TICKS: Final = """
DELETE FROM market.ticks WHERE symbol = %s AND source = %s AND at >= %s AND at < %s
"""
_DELETE_CANDLES: Final = """
DELETE FROM market.candles
WHERE symbol = %s AND source = %s AND timeframe = ANY(%s) AND starts_at < %s
"""
log = structlog.get_logger(__name__)


async def thin_out(services: Services, source: str) -> int:
    """Remove what is older than the setting says and return how many ticks that were.

    Raises:
        DatabaseUnavailable: the database is away; the rest is removed the next time.
    """
    before = now(services.clock) - timedelta(days=services.settings.tick_retention_days)
    async with services.database.reading() as session:
        symbols = [str(one.symbol) for one in await load_instruments(session)]
    try:
        connection = await services.database.connect_raw(autocommit=True)
        try:
            removed = 0
            for symbol in symbols:
                removed += await _thin_out_symbol(connection, symbol, source, before)
        finally:
            await connection.close()
    except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
        raise DatabaseUnavailable("old ticks could not be removed") from error
    if removed:
        log.info("ticks_thinned_out", source=source, ticks=removed)
    return removed


async def _thin_out_symbol(
    connection: psycopg.AsyncConnection, symbol: str, source: str, before: datetime
) -> int:
    removed = 0
    while True:
        found = await connection.execute(_OLDEST_TICK, (symbol, source, before))
        row = await found.fetchone()
        if row is None:
            break
        end = min(row[0] + WINDOW, before)
        cursor = await connection.execute(_DELETE_TICKS, (symbol, source, row[0], end))
        removed += cursor.rowcount
        await asyncio.sleep(PAUSE_S)
    await connection.execute(_DELETE_CANDLES, (symbol, source, list(SHORT_TIMEFRAMES), before))
    return removed
