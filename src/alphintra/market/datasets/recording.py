"""What the platform has recorded of a market, as series: candles and ticks of the database."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import psycopg

from alphintra.engine.series import Bars, Quotes, Series, Trades
from alphintra.market.datasets.errors import CannotDerive, NothingRecorded
from alphintra.market.files import ROWS_MAX, Kind
from alphintra.market.timeframes import bucket_end_ns
from alphintra.platform.database import Database, DatabaseUnavailable

_FETCH_ROWS: Final = 20_000
_NS: Final = "(extract(epoch from {})*1000000)::bigint*1000"
_CANDLES: Final = f"""
SELECT {_NS.format("starts_at")}, open::float8, high::float8, low::float8, close::float8,
    coalesce(volume::float8, 'NaN')
FROM market.candles
WHERE symbol = %(symbol)s AND timeframe = %(timeframe)s
    AND starts_at >= %(start)s AND starts_at < %(end)s
ORDER BY starts_at LIMIT %(limit)s
"""  # noqa: S608 - constants only
_QUOTES: Final = f"""
SELECT {_NS.format("at")}, bid::float8, ask::float8, coalesce(bid_size::float8, 'NaN'),
    coalesce(ask_size::float8, 'NaN')
FROM market.ticks
WHERE symbol = %(symbol)s AND kind = 'Q' AND source = %(source)s
    AND at >= %(start)s AND at < %(end)s
ORDER BY at, ordinal LIMIT %(limit)s
"""  # noqa: S608
_TRADES: Final = f"""
SELECT {_NS.format("at")}, price::float8, size::float8,
    CASE side WHEN 'BUY' THEN 1 WHEN 'SELL' THEN -1 ELSE 0 END
FROM market.ticks
WHERE symbol = %(symbol)s AND kind = 'T' AND source = %(source)s
    AND at >= %(start)s AND at < %(end)s
ORDER BY at, ordinal LIMIT %(limit)s
"""  # noqa: S608
_SOURCES: Final = """
SELECT DISTINCT source FROM market.ticks
WHERE symbol = %(symbol)s AND kind = %(letter)s AND at >= %(start)s AND at < %(end)s LIMIT 20
"""
_STATEMENTS: Final = {Kind.CANDLES: _CANDLES, Kind.QUOTES: _QUOTES, Kind.TRADES: _TRADES}


async def recorded(
    database: Database,
    *,
    symbol: str,
    kind: Kind,
    timeframe: str,
    start: datetime,
    end: datetime,
    source: str = "",
) -> Series:
    """Return what is recorded of a symbol in [start, end).

    Args:
        source: of ticks, where several sources have recorded the symbol.

    Raises:
        NothingRecorded: there is nothing.
        CannotDerive: there is more than a dataset may have, or there are several sources.
        DatabaseUnavailable: the database is away.
    """
    wanted: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": timeframe,
        "start": start,
        "end": end,
        "limit": ROWS_MAX + 1,
    }
    try:
        connection = await database.connect_raw()
        try:
            if kind is not Kind.CANDLES:
                wanted["source"] = source or await _only_source(connection, kind, wanted)
            chunks = [chunk async for chunk in _chunks(connection, _STATEMENTS[kind], wanted)]
        finally:
            await connection.close()
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise DatabaseUnavailable("the records could not be read; ask again") from error
    if not chunks:
        raise NothingRecorded(f"nothing is recorded of {symbol} in this range", symbol=symbol)
    columns = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    if len(columns[0]) > ROWS_MAX:
        raise CannotDerive(f"there are more than {ROWS_MAX:,} rows in this range; take a shorter")
    return _series(symbol, kind, timeframe, columns)


async def _only_source(
    connection: psycopg.AsyncConnection, kind: Kind, wanted: dict[str, Any]
) -> str:
    letter = "Q" if kind is Kind.QUOTES else "T"
    cursor = await connection.execute(_SOURCES.encode(), {**wanted, "letter": letter})
    sources = sorted(str(name) for (name,) in await cursor.fetchall())
    if len(sources) > 1:
        raise CannotDerive(f"several sources have recorded it: {', '.join(sources)}; name one")
    return sources[0] if sources else ""


async def _chunks(
    connection: psycopg.AsyncConnection, statement: str, wanted: dict[str, Any]
) -> AsyncIterator[list[np.ndarray[Any, Any]]]:
    async with connection.cursor(name="recorded") as cursor:
        await cursor.execute(statement.encode(), wanted)
        while rows := await cursor.fetchmany(_FETCH_ROWS):
            times, *values = zip(*rows, strict=True)
            yield [
                np.array(times, dtype=np.int64),
                *(np.array(column, dtype=np.float64) for column in values),
            ]


def _series(
    symbol: str, kind: Kind, timeframe: str, columns: Sequence[np.ndarray[Any, Any]]
) -> Series:
    times, *values = columns
    if kind is Kind.QUOTES:
        return Quotes(symbol, times, *values)
    if kind is Kind.TRADES:
        price, size, side = values
        return Trades(symbol, times, price, size, side.astype(np.int8))
    ends = np.array([bucket_end_ns(int(one), timeframe) for one in times], dtype=np.int64)
    return Bars(symbol, times, ends, *values)
