"""Reading what is stored: candles of any timeframe, prints, quarantine, page by page.

A timeframe that is not stored for a symbol is made, in the database, of the coarsest stored one
that divides it. A page reads no more rows than it needs, however long the history is.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from sqlalchemy import Select, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import to_datetime, to_ns
from alphintra.core.market_data import Quote, Timeframe, Trade
from alphintra.core.money import ZERO
from alphintra.market.models import CandleRow, QuarantineRow, TickRow
from alphintra.market.timeframes import FIXED_S, bucket_end_ns, bucket_start_ns, finer, ratio_max

T = TypeVar("T")

#: Stored rows that one page of resampled candles reads at most; then the page is shorter.
FINE_ROWS_MAX: Final = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One stored or resampled candle."""

    starts_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time range: start included, end excluded; an open end is `None`."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Some rows, and whether there are more behind them."""

    items: list[T]
    has_more: bool


async def candles(
    session: AsyncSession,
    symbol: str,
    timeframe: Timeframe,
    span: Span,
    *,
    limit: int,
    newest_first: bool = False,
) -> Found[Candle]:
    """Return up to `limit` candles that start in `span`, in order of time or against it."""
    source = await _stored_timeframe(session, symbol, timeframe, span)
    if source is None:
        return Found([], has_more=False)
    if source != timeframe:
        return await _resampled(session, symbol, timeframe, source, span, limit, newest_first)
    order = CandleRow.starts_at.desc() if newest_first else CandleRow.starts_at
    statement = _within(_of(symbol, timeframe), span).order_by(order).limit(limit + 1)
    rows = (await session.scalars(statement)).all()
    return Found([_candle(row) for row in rows[:limit]], has_more=len(rows) > limit)


async def ticks(
    session: AsyncSession,
    symbol: str,
    kind: Literal["Q", "T"],
    span: Span,
    *,
    limit: int,
    newest_first: bool = False,
    after: tuple[datetime, str, int] | None = None,
) -> Found[TickRow]:
    """Return up to `limit` quotes or prints behind `after`: time, source and ordinal of one."""
    key = tuple_(TickRow.at, TickRow.source, TickRow.ordinal)
    statement = select(TickRow).where(TickRow.symbol == symbol, TickRow.kind == kind)
    if span.start is not None:
        statement = statement.where(TickRow.at >= span.start)
    if span.end is not None:
        statement = statement.where(TickRow.at < span.end)
    if after is not None:
        edge = tuple_(*after)
        # The bound on the time alone lets whole partitions be left out.
        bound = TickRow.at <= after[0] if newest_first else TickRow.at >= after[0]
        statement = statement.where(bound, key < edge if newest_first else key > edge)
    columns = (TickRow.at, TickRow.source, TickRow.ordinal)
    order = [column.desc() for column in columns] if newest_first else list(columns)
    rows = (await session.scalars(statement.order_by(*order).limit(limit + 1))).all()
    return Found(list(rows[:limit]), has_more=len(rows) > limit)


async def stored_ticks(
    session: AsyncSession,
    symbol: str,
    source: str,
    first_at: datetime,
    last_at: datetime,
    *,
    limit: int,
) -> list[Quote | Trade]:
    """Return what is stored of one source between two moments, both included, in time order.

    Times are those of the store: whole microseconds.
    """
    row = TickRow
    columns = (row.at, row.kind, row.bid, row.ask, row.bid_size, row.ask_size)
    rows = await session.execute(
        select(*columns, row.price, row.size, row.side)
        .where(
            TickRow.symbol == symbol,
            TickRow.source == source,
            TickRow.at >= first_at,
            TickRow.at <= last_at,
        )
        .order_by(TickRow.at, TickRow.ordinal)
        .limit(limit)
    )
    found: list[Quote | Trade] = []
    for at, kind, bid, ask, bid_size, ask_size, price, size, side in rows:
        ts_ns = to_ns(at)
        if kind == "Q":
            found.append(Quote(ts_ns, bid or ZERO, ask or ZERO, bid_size, ask_size))
        else:
            found.append(Trade(ts_ns, price or ZERO, size or ZERO, _aggressor(side)))
    return found


def _aggressor(side: str | None) -> Literal["BUY", "SELL"] | None:
    return "BUY" if side == "BUY" else "SELL" if side == "SELL" else None


async def quarantined(
    session: AsyncSession,
    *,
    symbol: str | None,
    import_id: UUID | None,
    limit: int,
    before: int | None,
) -> Found[QuarantineRow]:
    """Return refused rows with ids below `before`, the latest first."""
    statement = select(QuarantineRow).order_by(QuarantineRow.id.desc()).limit(limit + 1)
    if symbol is not None:
        statement = statement.where(QuarantineRow.symbol == symbol)
    if import_id is not None:
        statement = statement.where(QuarantineRow.import_id == import_id)
    if before is not None:
        statement = statement.where(QuarantineRow.id < before)
    rows = (await session.scalars(statement)).all()
    return Found(list(rows[:limit]), has_more=len(rows) > limit)


def _of(symbol: str, timeframe: str) -> Select[CandleRow]:
    return select(CandleRow).where(CandleRow.symbol == symbol, CandleRow.timeframe == timeframe)


def _within(statement: Select[Any], span: Span) -> Select[Any]:  # of rows or of a constant
    if span.start is not None:
        statement = statement.where(CandleRow.starts_at >= span.start)
    if span.end is not None:
        statement = statement.where(CandleRow.starts_at < span.end)
    return statement


def _candle(row: CandleRow) -> Candle:
    return Candle(
        starts_at=row.starts_at,
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
    )


async def _stored_timeframe(
    session: AsyncSession, symbol: str, timeframe: str, span: Span
) -> str | None:
    for candidate in (timeframe, *finer(timeframe)):
        wider = span if candidate == timeframe else _whole_candles(span, timeframe)
        found = await session.scalar(
            _within(_of(symbol, candidate), wider).with_only_columns(text("1")).limit(1)
        )
        if found is not None:
            return candidate
    return None


def _whole_candles(span: Span, timeframe: str) -> Span:
    """Return the span of the finer rows that make up the candles that start in `span`."""
    start, end = span.start, span.end
    if start is not None:
        start_ns = bucket_start_ns(to_ns(start), timeframe)
        if start_ns < to_ns(start):
            start_ns = bucket_end_ns(start_ns, timeframe)
        start = to_datetime(start_ns)
    if end is not None:
        last_ns = bucket_start_ns(to_ns(end) - 1_000, timeframe)
        end = to_datetime(bucket_end_ns(last_ns, timeframe))
    return Span(start=start, end=end)


def _bucket(timeframe: str) -> str:
    if (seconds := FIXED_S.get(timeframe)) is not None:
        return f"date_bin('{seconds} s', starts_at, '1970-01-01 00:00+00')"
    unit = {"1w": "week", "1mo": "month"}[timeframe]
    return f"date_trunc('{unit}', starts_at, 'UTC')"


async def _resampled(
    session: AsyncSession,
    symbol: str,
    timeframe: str,
    source: str,
    span: Span,
    limit: int,
    newest_first: bool,
) -> Found[Candle]:
    ratio = ratio_max(timeframe, source)
    limit = max(1, min(limit, FINE_ROWS_MAX // ratio - 2))
    whole = _whole_candles(span, timeframe)
    order = "DESC" if newest_first else "ASC"
    # One candle more than wanted, and one more for a first bucket that the rows begin within.
    fine = (limit + 2) * ratio
    conditions = "symbol = :symbol AND timeframe = :source"
    conditions += " AND starts_at >= :start" if whole.start is not None else ""
    conditions += " AND starts_at < :end" if whole.end is not None else ""
    # Only words from the tables of this module are put into the statement; values are bound.
    statement = f"""
        SELECT bucket AS starts_at, (array_agg(open ORDER BY starts_at))[1] AS open,
               max(high) AS high, min(low) AS low,
               (array_agg(close ORDER BY starts_at DESC))[1] AS close, sum(volume) AS volume
        FROM (SELECT *, {_bucket(timeframe)} AS bucket FROM market.candles
              WHERE {conditions} ORDER BY starts_at {order} LIMIT :fine) AS fine
        GROUP BY bucket ORDER BY bucket {order} LIMIT :limit
    """  # noqa: S608
    values: dict[str, object] = {
        "symbol": symbol,
        "source": source,
        "fine": fine,
        "limit": limit + 1,
        "start": whole.start,
        "end": whole.end,
    }
    used = {name: value for name, value in values.items() if value is not None}
    rows = (await session.execute(text(statement), used)).all()
    items = [Candle(**row._mapping) for row in rows[:limit]]
    return Found(items, has_more=len(rows) > limit)
