"""What trading shows: plain queries past the desk, of one owner at a time."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import assets
from alphintra.core import money
from alphintra.core.ids import UserId
from alphintra.core.orders import OPEN, OrderEventType, OrderStatus, Side
from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.trading import events
from alphintra.trading.book import account_id_of
from alphintra.trading.errors import NoSuchOrder
from alphintra.trading.models import (
    AccountRow,
    EquityPointRow,
    OrderHistoryRow,
    OrderRow,
    PositionRow,
    TradeRow,
)
from alphintra.trading.signals import order_id_of
from alphintra.trading.state import Execution, Order, Position

Marks = Mapping[str, Decimal]
#: What a snapshot of fills shows; older ones are asked for with `GET /trades`.
SNAPSHOT_FILLS = 100


def as_json(view: msgspec.Struct) -> dict[str, Any]:
    """Return the view as plain JSON values."""
    built: dict[str, Any] = msgspec.to_builtins(view)
    return built


def _order(row: OrderRow) -> dict[str, Any]:
    return as_json(events.order_view(msgspec.convert(row, Order, from_attributes=True)))


def _execution(row: TradeRow) -> dict[str, Any]:
    return as_json(events.execution_view(msgspec.convert(row, Execution, from_attributes=True)))


def _position(row: PositionRow, marks: Marks) -> dict[str, Any]:
    position = msgspec.convert(row, Position, from_attributes=True)
    return as_json(events.position_view(position, marks.get(row.symbol)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilters:
    """Which orders to show; `None` does not filter."""

    statuses: frozenset[OrderStatus] | None = None
    symbol: str | None = None
    side: Side | None = None
    strategy_id: UUID | None = None
    client_order_id: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        if self.statuses is not None:
            yield OrderRow.status.in_(sorted(self.statuses))
        if self.symbol is not None:
            yield OrderRow.symbol == self.symbol
        if self.side is not None:
            yield OrderRow.side == self.side
        if self.strategy_id is not None:
            yield OrderRow.strategy_id == self.strategy_id
        if self.client_order_id is not None:
            yield OrderRow.client_order_id == self.client_order_id


async def orders(
    session: AsyncSession,
    user_id: UserId,
    *,
    filters: OrderFilters,
    limit: int,
    cursor: str | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of the user's orders, newest first, and the cursor of the next."""
    query = select(OrderRow).where(
        OrderRow.account_id == account_id_of(user_id), *filters.conditions()
    )
    if cursor is not None:
        at, order_id = decode_time_cursor(cursor)
        query = query.where(before(OrderRow.created_at, OrderRow.id, at, order_id))
    query = query.order_by(OrderRow.created_at.desc(), OrderRow.id.desc()).limit(limit + 1)
    rows = (await session.scalars(query)).all()
    page = rows[:limit]
    more = len(rows) > limit
    following = encode_cursor(page[-1].created_at.isoformat(), page[-1].id) if more else None
    return [_order(row) for row in page], following


async def order_row(session: AsyncSession, user_id: UserId, order_id: UUID) -> OrderRow:
    """Return the user's order.

    Raises:
        NoSuchOrder: absent, or another user's.
    """
    row = await session.get(OrderRow, order_id)
    if row is None or row.account_id != account_id_of(user_id):
        raise NoSuchOrder("there is no such order")
    return row


async def order_detail(session: AsyncSession, user_id: UserId, order_id: UUID) -> dict[str, Any]:
    """Return an order with its exits and its history.

    Raises:
        NoSuchOrder: absent, or another user's.
    """
    row = await order_row(session, user_id, order_id)
    legs = await session.scalars(
        select(OrderRow)
        .where(OrderRow.account_id == row.account_id, OrderRow.parent_id == order_id)
        .order_by(OrderRow.type)
    )
    history = await session.scalars(
        select(OrderHistoryRow)
        .where(OrderHistoryRow.order_id == order_id)
        .order_by(OrderHistoryRow.version)
    )
    steps = list(history)
    return {
        **_order(row),
        "check": steps[0].data.get("check") if steps else None,
        "legs": [_order(leg) for leg in legs],
        "history": [
            {
                "version": step.version,
                "event_type": step.event_type,
                "actor": step.actor,
                "reason": step.reason,
                "at": step.at,
                "order": step.data,
            }
            for step in steps
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFilters:
    """Which executions to show; `None` does not filter, `end` is exclusive."""

    symbol: str | None = None
    order_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        if self.symbol is not None:
            yield TradeRow.symbol == self.symbol
        if self.order_id is not None:
            yield TradeRow.order_id == self.order_id
        if self.start is not None:
            yield TradeRow.executed_at >= self.start
        if self.end is not None:
            yield TradeRow.executed_at < self.end


async def trades(
    session: AsyncSession,
    user_id: UserId,
    *,
    filters: TradeFilters,
    limit: int,
    cursor: str | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of the user's executions, newest first, and the cursor of the next."""
    query = select(TradeRow).where(
        TradeRow.account_id == account_id_of(user_id), *filters.conditions()
    )
    if cursor is not None:
        at, trade_id = decode_time_cursor(cursor)
        query = query.where(before(TradeRow.executed_at, TradeRow.id, at, trade_id))
    query = query.order_by(TradeRow.executed_at.desc(), TradeRow.id.desc()).limit(limit + 1)
    rows = (await session.scalars(query)).all()
    page = rows[:limit]
    more = len(rows) > limit
    following = encode_cursor(page[-1].executed_at.isoformat(), page[-1].id) if more else None
    return [_execution(row) for row in page], following


async def orders_of_signals(
    session: AsyncSession, user_id: UserId, signal_ids: Collection[UUID]
) -> list[dict[str, Any]]:
    """Return the orders that signals of the user have caused, each before its exits."""
    if not signal_ids:
        return []
    entries = [order_id_of(user_id, signal_id) for signal_id in signal_ids]
    rows = await session.scalars(
        select(OrderRow)
        .where(
            OrderRow.account_id == account_id_of(user_id),
            or_(OrderRow.id.in_(entries), OrderRow.parent_id.in_(entries)),
        )
        .order_by(OrderRow.created_at, OrderRow.parent_id.nulls_first(), OrderRow.type, OrderRow.id)
    )
    return [_order(row) for row in rows]


async def rejections_of(session: AsyncSession, order_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return why orders were rejected, in words, by their ids; whose they are is not looked at."""
    if not order_ids:
        return {}
    rows = await session.execute(
        select(OrderHistoryRow.order_id, OrderHistoryRow.reason).where(
            OrderHistoryRow.order_id.in_(order_ids),
            OrderHistoryRow.event_type == OrderEventType.REJECTED,
            OrderHistoryRow.reason.is_not(None),
        )
    )
    return {order_id: str(reason) for order_id, reason in rows}


async def fills_of_orders(
    session: AsyncSession, user_id: UserId, order_ids: Collection[UUID]
) -> list[dict[str, Any]]:
    """Return the executions of orders of the user, oldest first."""
    if not order_ids:
        return []
    rows = await session.scalars(
        select(TradeRow)
        .where(TradeRow.account_id == account_id_of(user_id), TradeRow.order_id.in_(order_ids))
        .order_by(TradeRow.executed_at, TradeRow.id)
    )
    return [_execution(row) for row in rows]


async def positions(
    session: AsyncSession, user_id: UserId, marks: Marks, *, symbol: str | None = None
) -> list[dict[str, Any]]:
    """Return the user's open positions by symbol, valued at `marks`."""
    query = select(PositionRow).where(
        PositionRow.account_id == account_id_of(user_id), PositionRow.quantity != 0
    )
    if symbol is not None:
        query = query.where(PositionRow.symbol == symbol)
    rows = await session.scalars(query.order_by(PositionRow.symbol))
    return [_position(row, marks) for row in rows]


async def held_symbols(session: AsyncSession, user_id: UserId) -> list[str]:
    """Return the symbols of the user's open positions."""
    found = await session.scalars(
        select(PositionRow.symbol).where(
            PositionRow.account_id == account_id_of(user_id), PositionRow.quantity != 0
        )
    )
    return list(found)


async def account_row(session: AsyncSession, user_id: UserId) -> AccountRow | None:
    """Return the user's account, or `None` before it was first used."""
    return await session.get(AccountRow, account_id_of(user_id))


async def portfolio(session: AsyncSession, account: AccountRow, marks: Marks) -> dict[str, Any]:
    """Return what the account is worth at `marks`."""
    rows = list(
        await session.scalars(select(PositionRow).where(PositionRow.account_id == account.id))
    )
    balances = await assets.balances(session, account.id)
    cash = next((one for one in balances if one.asset == account.currency), None)
    available, held = (cash.available, cash.held) if cash else (money.ZERO, money.ZERO)
    worth = Valuation(rows, marks)
    equity = available + held + worth.net
    power = available
    if account.leverage != 1 or any(row.quantity < 0 for row in rows):
        power = account.leverage * (equity - held) - worth.gross
    figures = {
        "equity": equity,
        "cash": available + held,
        "cash_available": available,
        "cash_held": held,
        "buying_power": power,
        "gross_exposure": worth.gross,
        "net_exposure": worth.net,
        "realized_pnl": sum((row.realized_pnl for row in rows), money.ZERO),
        "unrealized_pnl": worth.net - worth.cost,
        "day_pnl": equity - account.day_start_equity,
        "fees": sum((row.fees for row in rows), money.ZERO),
        "leverage": account.leverage,
    }
    return {
        "account_id": account.id,
        "currency": account.currency,
        **{name: money.text(round(value, money.PLACES)) for name, value in figures.items()},
        "short_selling": account.short_selling,
        "state": account.state,
        "balances": [
            {"asset": one.asset, "available": one.available, "held": one.held}
            for one in balances
            if one.available or one.held
        ],
        "unpriced": worth.unpriced,
    }


class Valuation:
    """Positions at their marks; one without a mark counts at its cost and is named."""

    def __init__(self, rows: list[PositionRow], marks: Marks) -> None:
        self.net = self.gross = self.cost = money.ZERO
        self.unpriced: list[str] = []
        for row in rows:
            if not row.quantity:
                continue
            mark = marks.get(row.symbol)
            if mark is None:
                self.unpriced.append(row.symbol)
            value = row.cost_basis if mark is None else money.multiply(row.quantity, mark)
            self.net += value
            self.gross += abs(value)
            self.cost += row.cost_basis


async def equity_curve(
    session: AsyncSession,
    user_id: UserId,
    *,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[EquityPointRow], str | None]:
    """Return one page of the equity curve, oldest first, and the cursor of the next."""
    query = select(EquityPointRow).where(EquityPointRow.account_id == account_id_of(user_id))
    if start is not None:
        query = query.where(EquityPointRow.at >= start)
    if end is not None:
        query = query.where(EquityPointRow.at < end)
    if cursor is not None:
        at, _ = decode_time_cursor(cursor)
        query = query.where(EquityPointRow.at > at)
    rows = (await session.scalars(query.order_by(EquityPointRow.at).limit(limit + 1))).all()
    page = list(rows[:limit])
    return page, encode_cursor(page[-1].at.isoformat(), account_id_of(user_id)) if len(
        rows
    ) > limit else None


async def stream_snapshot(
    session: AsyncSession, user_id: UserId, channel: str
) -> tuple[int, list[dict[str, Any]]]:
    """Return a channel's present state and the sequence number of the last event in it.

    `orders` shows the open ones, `fills` the last hundred, oldest first, `positions` the open ones.
    One transaction with a fixed snapshot, so that number and state belong together: the caller's
    session must be REPEATABLE READ.
    """
    account = await account_row(session, user_id)
    if account is None:
        return 0, []
    match channel:
        case "orders":
            rows = await session.scalars(
                select(OrderRow)
                .where(OrderRow.account_id == account.id, OrderRow.status.in_(sorted(OPEN)))
                .order_by(OrderRow.id)
            )
            return account.order_sequence, [_order(row) for row in rows]
        case "fills":
            found, _ = await trades(
                session, user_id, filters=TradeFilters(), limit=SNAPSHOT_FILLS, cursor=None
            )
            return account.trade_sequence, found[::-1]
        case "positions":
            return account.position_sequence, await positions(session, user_id, {})
        case _:
            raise LookupError(f"there is no channel {channel}")


def before(
    at_column: Any, id_column: Any, at: datetime, row_id: UUID
) -> ColumnElement[bool]:  # instrumented attributes: their own types say less than this
    """Return the condition for rows that come after (at, id) in descending order."""
    return tuple_(at_column, id_column) < tuple_(at, row_id)


def decode_time_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Read a cursor of time and id.

    Raises:
        BadCursor: it is not one.
    """
    at, row_id = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(at), UUID(row_id)
    except ValueError as error:
        raise BadCursor("the cursor is not valid") from error
