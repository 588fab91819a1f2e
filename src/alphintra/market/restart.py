"""Where a feed's candles stood when its process ended, rebuilt from what is stored.

Stored minutes give the longer candles, stored ticks after the last minute the rest. What the
process before had closed but not stored is closed again here; it had not been published either,
because a candle is stored first.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, cast

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import NS_PER_SECOND, to_datetime, to_ns
from alphintra.core.market_data import Bar, Quote, Tick, Trade
from alphintra.market.candles import SymbolCandles
from alphintra.market.models import CandleRow, TickRow
from alphintra.market.timeframes import bucket_start_ns
from alphintra.platform.database import Database

#: More ticks than this since the last stored minute are not read: the candle begins anew.
TICKS_MAX: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The candles in the making, those that still have to be stored, and the last price."""

    candles: SymbolCandles
    unfinished: list[Bar]
    last_price: Decimal


async def rebuild(database: Database, symbol: str, source: str) -> Rebuilt | None:
    """Return where the feed stood, or `None` if it never ran.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    async with database.reading() as session:
        minutes = await _minutes_of_last_day(session, symbol, source)
        since = to_datetime(minutes[-1].ts_ns + 60 * NS_PER_SECOND) if minutes else to_datetime(0)
        ticks = await _ticks_since(session, symbol, source, since)
        stored_until = await _stored_until(session, symbol, source)
    if not minutes and not ticks:
        return None
    candles = SymbolCandles()
    closed = candles.resume(minutes)
    for tick in ticks:
        closed += candles.add(tick)
    unfinished = [bar for bar in closed if bar.ts_ns > stored_until.get(bar.timeframe, -1)]
    last_price = minutes[-1].close if minutes else Decimal(0)
    for bar in candles.running():
        last_price = bar.close
        break
    return Rebuilt(candles=candles, unfinished=unfinished, last_price=last_price)


async def _minutes_of_last_day(session: AsyncSession, symbol: str, source: str) -> list[Bar]:
    last: datetime | None = await session.scalar(
        select(func.max(CandleRow.starts_at)).where(
            CandleRow.symbol == symbol, CandleRow.timeframe == "1m", CandleRow.source == source
        )
    )
    if last is None:
        return []
    rows = await session.scalars(
        select(CandleRow)
        .where(
            CandleRow.symbol == symbol,
            CandleRow.timeframe == "1m",
            CandleRow.source == source,
            CandleRow.starts_at >= to_datetime(bucket_start_ns(to_ns(last), "1d")),
        )
        .order_by(CandleRow.starts_at)
    )
    return [to_bar(row) for row in rows]


async def _ticks_since(
    session: AsyncSession, symbol: str, source: str, since: datetime
) -> list[Tick]:
    rows = await session.scalars(
        select(TickRow)
        .where(TickRow.symbol == symbol, TickRow.source == source, TickRow.at >= since)
        .order_by(TickRow.at.desc(), TickRow.ordinal.desc())
        .limit(TICKS_MAX)
    )
    return [to_tick(row) for row in reversed(rows.all())]


async def _stored_until(session: AsyncSession, symbol: str, source: str) -> dict[str, int]:
    rows = await session.execute(
        select(CandleRow.timeframe, func.max(CandleRow.starts_at))
        .where(CandleRow.symbol == symbol, CandleRow.source == source)
        .group_by(CandleRow.timeframe)
    )
    return {timeframe: to_ns(last) for timeframe, last in rows}


def to_bar(row: CandleRow) -> Bar:
    """Return a stored candle as a closed bar."""
    return Bar(
        ts_ns=to_ns(row.starts_at),
        timeframe=row.timeframe,
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
    )


def to_tick(row: TickRow) -> Quote | Trade:
    """Return a stored tick."""
    at_ns = to_ns(row.at)
    if row.kind == "Q":
        assert row.bid is not None
        assert row.ask is not None
        return Quote(at_ns, row.bid, row.ask, row.bid_size, row.ask_size)
    assert row.price is not None
    assert row.size is not None
    # The writer stores only what `Trade` holds.
    return Trade(at_ns, row.price, row.size, cast(Literal["BUY", "SELL"] | None, row.side))
