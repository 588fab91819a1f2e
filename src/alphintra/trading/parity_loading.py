"""What `parity` compares, out of the database: orders with their history, fills, the venue's
record, and the stored market data of the same time.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import market
from alphintra.core.clock import Clock, now, to_datetime, to_ns
from alphintra.core.ids import OrderId, TradeId
from alphintra.core.market_data import Quote, Trade
from alphintra.core.orders import OrderEventType, OrderType, Side, TimeInForce
from alphintra.platform.database import Database
from alphintra.trading.desk import NEVER_NS, VENUE_ACTOR
from alphintra.trading.errors import DayNotBegun, DayTooLarge, NoSuchAccount
from alphintra.trading.journal import Entry, Shown
from alphintra.trading.journal_store import Piece, entries_of, pieces
from alphintra.trading.models import OPEN_STATUSES, AccountRow, OrderHistoryRow, OrderRow, TradeRow
from alphintra.trading.parity import Day, DeskRecord, compare
from alphintra.trading.parity_report import Amounts, BookedFill, ParityReport
from alphintra.trading.replay import (
    ENDED,
    EXPIRED,
    TRIGGERED,
    History,
    OutcomeKey,
    Step,
    Stored,
    Version,
)
from alphintra.trading.venue import CancelReason, VenueOrder, VenueRefusal

#: What one check reads at most; some minutes of work.
ENTRIES_MAX: Final = 2_000_000
ORDERS_MAX: Final = 50_000
#: What happened at the venue just before midnight is booked just after it.
MARGIN: Final = timedelta(minutes=1)
#: What is younger than this may not be stored yet, and is not looked at.
SETTLED: Final = timedelta(seconds=3)
_VENUE_REASONS: Final = frozenset({*CancelReason, *VenueRefusal}) - {CancelReason.REQUESTED}

#: One check at a time in a process: it keeps a core busy.
_one_at_a_time = asyncio.Semaphore(1)


async def check_day(
    database: Database,
    clock: Clock,
    *,
    account_id: UUID,
    day: date,
    tick_days: int,
    order_ids: Collection[UUID] | None = None,
) -> ParityReport:
    """Replay an account's day (UTC) and compare it with what was booked.

    Args:
        tick_days: ticks older than this are thinned out, so that nothing can be said of them.
        order_ids: look at these orders only; all others still play their part in the replay.

    Raises:
        NoSuchAccount: there is no such account.
        DayNotBegun: the day has not begun.
        DayTooLarge: more orders or market events than one check reads.
        DatabaseUnavailable: the database is away.
    """
    at = now(clock)
    start = datetime.combine(day, time(), UTC)
    if at - SETTLED <= start:
        raise DayNotBegun(f"{day} has not begun")
    span = _Span(start, min(start + timedelta(days=1), at - SETTLED), at - timedelta(tick_days))
    async with _one_at_a_time:
        async with database.reading() as session:
            if await session.get(AccountRow, account_id) is None:
                raise NoSuchAccount("there is no such account")
            loaded = await _load(session, account_id, span, order_ids)
        return await asyncio.to_thread(compare, loaded)


@dataclass(frozen=True, slots=True)
class _Span:
    """The time of a check, and since when ticks are whole."""

    start: datetime
    end: datetime
    ticks_since: datetime


async def _load(
    session: AsyncSession, account_id: UUID, span: _Span, order_ids: Collection[UUID] | None
) -> Day:
    start, end = span.start, span.end
    orders = await _orders(session, account_id, start, end)
    if order_ids is not None:
        orders = [order for order in orders if order.id in order_ids]
    ids = [order.id for order in orders]
    steps = list(
        await session.scalars(
            select(OrderHistoryRow)
            .where(OrderHistoryRow.order_id.in_(ids))
            .order_by(OrderHistoryRow.order_id, OrderHistoryRow.version)
        )
    )
    trades = list(await session.scalars(select(TradeRow).where(TradeRow.order_id.in_(ids))))
    here = [trade for trade in trades if start <= trade.executed_at < end]
    outcomes = _outcomes(steps)
    symbols = {OrderId(order.id): order.symbol for order in orders}
    return Day(
        account_id=account_id,
        day=start.date(),
        start_ns=to_ns(start),
        end_ns=to_ns(end),
        symbols=symbols,
        history=_history(steps),
        fills=[_fill(trade) for trade in here],
        outcomes={key: reason for key, (reason, at) in outcomes.items() if start <= at < end},
        elsewhere=frozenset(
            {TradeId(trade.id) for trade in trades} - {TradeId(trade.id) for trade in here}
            | {key for key, (_, at) in outcomes.items() if not start <= at < end}
        ),
        records=await _records(session, sorted(set(symbols.values())), span),
    )


async def _orders(
    session: AsyncSession, account_id: UUID, start: datetime, end: datetime
) -> Sequence[OrderRow]:
    """Return the account's orders that were open at any moment of the day."""
    found = (
        await session.scalars(
            select(OrderRow)
            .where(
                OrderRow.account_id == account_id,
                OrderRow.created_at < end,
                or_(OrderRow.updated_at >= start, OPEN_STATUSES),
            )
            .limit(ORDERS_MAX + 1)
        )
    ).all()
    if len(found) > ORDERS_MAX:
        raise DayTooLarge(f"the account had more than {ORDERS_MAX:,} orders open on that day")
    return found


def _fill(trade: TradeRow) -> BookedFill:
    return BookedFill(
        id=TradeId(trade.id),
        order_id=OrderId(trade.order_id),
        symbol=trade.symbol,
        at=trade.executed_at,
        amounts=Amounts(
            quantity=trade.quantity,
            price=trade.price,
            fee=trade.fee,
            liquidity=trade.liquidity,
        ),
    )


def _history(steps: Sequence[OrderHistoryRow]) -> History:
    history: dict[Version, Step] = {}
    for row in steps:
        history[OrderId(row.order_id), row.version] = Step(
            at_ns=to_ns(row.at), terms=terms_of_history(row.data)
        )
    return history


def terms_of_history(data: Mapping[str, Any]) -> VenueOrder:
    """Read the order's terms, as the history has them, in the venue's words."""

    def decimal(name: str) -> Decimal | None:
        return None if data[name] is None else Decimal(data[name])

    expires = data["expires_at"]
    return VenueOrder(
        order_id=OrderId(UUID(data["id"])),
        symbol=data["symbol"],
        side=Side(data["side"]),
        type=OrderType(data["type"]),
        quantity=Decimal(data["quantity"]),
        accepted_ns=0,
        price=decimal("price"),
        stop_price=decimal("stop_price"),
        trail_amount=decimal("trail"),
        trail_percent=decimal("trail_percent"),
        time_in_force=TimeInForce(data["time_in_force"]),
        expires_ns=NEVER_NS if expires is None else to_ns(datetime.fromisoformat(expires)),
        post_only=data["post_only"],
    )


def outcome_of(order_id: OrderId, event_type: str, reason: str | None) -> dict[OutcomeKey, str]:
    """Return what a step of an order's history, which the venue caused, says of its fate there."""
    if event_type == OrderEventType.TRIGGERED:
        return {(order_id, TRIGGERED): ""}
    if event_type == OrderEventType.EXPIRED:
        return {(order_id, ENDED): EXPIRED}
    if reason is not None and reason in _VENUE_REASONS:
        return {(order_id, ENDED): reason}
    return {}


def _outcomes(steps: Sequence[OrderHistoryRow]) -> dict[OutcomeKey, tuple[str, datetime]]:
    return {
        key: (reason, row.at)
        for row in steps
        if row.actor == VENUE_ACTOR
        for key, reason in outcome_of(OrderId(row.order_id), row.event_type, row.reason).items()
    }


async def _records(session: AsyncSession, symbols: Sequence[str], span: _Span) -> list[DeskRecord]:
    start, end = span.start, span.end
    left = ENTRIES_MAX
    found: list[tuple[Piece, list[Entry]]] = []
    for symbol in symbols:
        for piece in await pieces(session, symbol, start - MARGIN, end + MARGIN, entries_max=left):
            left -= piece.entries
            if left < 0:
                raise DayTooLarge(
                    f"the venue's record of that day has more than {ENTRIES_MAX:,} entries"
                )
            entries = await asyncio.to_thread(entries_of, piece, to_ns(start - MARGIN))
            found.append((piece, entries))
    return [
        DeskRecord(
            symbol=piece.symbol,
            entries=entries,
            is_whole=piece.is_whole,
            stored=await _stored(session, piece.symbol, entries, span.ticks_since),
        )
        for piece, entries in sorted(found, key=lambda one: one[0].began_at)
    ]


async def _stored(
    session: AsyncSession, symbol: str, entries: Sequence[Entry], since: datetime
) -> Stored:
    """Return what is stored of the sources that the venue saw, of the same time.

    A source of which nothing at all is stored then (a replayed day, or ticks that were thinned out)
    is left out: there is nothing to compare with.
    """
    spans: dict[str, tuple[int, int]] = {}
    for entry in entries:
        if isinstance(entry, Shown):
            for tick in entry.batch.ticks:
                source = entry.batch.source
                first, last = spans.get(source, (tick.ts_ns, tick.ts_ns))
                spans[source] = (min(first, tick.ts_ns), max(last, tick.ts_ns))
    stored: dict[str, list[Quote | Trade]] = {}
    for source, (first_ns, last_ns) in spans.items():
        if to_datetime(first_ns) < since:
            continue
        ticks = await market.stored_ticks(
            session,
            symbol,
            source,
            to_datetime(first_ns),
            to_datetime(last_ns),
            limit=ENTRIES_MAX + 1,
        )
        if len(ticks) > ENTRIES_MAX:
            raise DayTooLarge(f"more than {ENTRIES_MAX:,} events of {source} are stored")
        if ticks:
            stored[source] = ticks
    return stored


def report_json(report: ParityReport) -> dict[str, Any]:
    """Return the report as plain JSON values; decimals are strings."""
    built: dict[str, Any] = msgspec.to_builtins(report, builtin_types=(datetime, date))
    return built
