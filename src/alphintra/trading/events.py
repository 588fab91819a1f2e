"""What trading publishes, and how orders, executions and positions look to the outside."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from alphintra.core import money
from alphintra.core.orders import OrderEventType
from alphintra.trading.state import Execution, Order, Position

ORDER_EVENT = "order_event.v1"
TRADE_EXECUTION = "trade_execution.v1"
POSITION_EVENT = "position_event.v1"

_encode = msgspec.json.Encoder().encode


class RiskFinding(msgspec.Struct, frozen=True):
    """Which rule refused an order, what it allows and what it found."""

    rule: str
    limit: str
    value: str
    detail: str


class OrderView(msgspec.Struct, frozen=True, gc=False):
    """An order as clients see it; decimals are plain strings."""

    id: UUID
    user_id: UUID
    account_id: UUID
    client_order_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    order_class: str
    quantity: str
    notional: str | None
    price: str | None
    stop_price: str | None
    trail: str | None
    trail_percent: str | None
    expires_at: datetime | None
    reduce_only: bool
    post_only: bool
    status: str
    filled_quantity: str
    average_fill_price: str | None
    fees: str
    reject_reason: str | None
    parent_id: UUID | None
    sibling_id: UUID | None
    strategy_id: UUID | None
    signal_id: UUID | None
    venue: str
    triggered: bool
    version: int
    created_at: datetime
    updated_at: datetime
    check: RiskFinding | None = None


class ExecutionView(msgspec.Struct, frozen=True, gc=False):
    """An execution as clients see it."""

    id: UUID
    order_id: UUID
    user_id: UUID
    symbol: str
    side: str
    quantity: str
    price: str
    fee: str
    liquidity: str
    realized_pnl: str
    strategy_id: UUID | None
    executed_at: datetime


class PositionView(msgspec.Struct, frozen=True, gc=False):
    """`position_event.v1`: a position. Without a price the mark and what follows are `None`."""

    id: UUID
    user_id: UUID
    symbol: str
    quantity: str
    average_price: str | None
    cost_basis: str
    realized_pnl: str
    fees: str
    mark_price: str | None
    market_value: str | None
    unrealized_pnl: str | None
    updated_at: datetime


class OrderEventData(msgspec.Struct, frozen=True, gc=False):
    """`order_event.v1`."""

    event_id: UUID
    user_id: UUID
    order_id: UUID
    event_type: OrderEventType
    symbol: str
    quantity: str
    price: str | None
    timestamp: datetime
    order: msgspec.Raw


class ExecutionData(msgspec.Struct, frozen=True, gc=False):
    """`trade_execution.v1`."""

    trade_id: UUID
    order_id: UUID
    user_id: UUID
    symbol: str
    side: str
    quantity: str
    price: str
    fee: str
    liquidity: str
    realized_pnl: str
    strategy_id: UUID | None
    executed_at: datetime


def _text(value: Decimal | None) -> str | None:
    return None if value is None else money.text(value)


def order_view(order: Order, check: RiskFinding | None = None) -> OrderView:
    """Return the order as clients see it."""
    text = money.text
    return OrderView(
        id=order.id,
        user_id=order.user_id,
        account_id=order.account_id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        time_in_force=order.time_in_force,
        order_class=order.order_class,
        quantity=text(order.quantity),
        notional=_text(order.notional),
        price=_text(order.price),
        stop_price=_text(order.stop_price),
        trail=_text(order.trail),
        trail_percent=_text(order.trail_percent),
        expires_at=order.expires_at,
        reduce_only=order.reduce_only,
        post_only=order.post_only,
        status=order.status,
        filled_quantity=text(order.filled_quantity),
        average_fill_price=_text(order.average_fill_price),
        fees=text(order.fees),
        reject_reason=order.reject_reason,
        parent_id=order.parent_id,
        sibling_id=order.sibling_id,
        strategy_id=order.strategy_id,
        signal_id=order.signal_id,
        venue=order.venue,
        triggered=order.triggered,
        version=order.version,
        created_at=order.created_at,
        updated_at=order.updated_at,
        check=check,
    )


def execution_view(execution: Execution) -> ExecutionView:
    """Return the execution as clients see it."""
    return ExecutionView(
        id=execution.id,
        order_id=execution.order_id,
        user_id=execution.user_id,
        symbol=execution.symbol,
        side=execution.side,
        quantity=money.text(execution.quantity),
        price=money.text(execution.price),
        fee=money.text(execution.fee),
        liquidity=execution.liquidity,
        realized_pnl=money.text(execution.realized_pnl),
        strategy_id=execution.strategy_id,
        executed_at=execution.executed_at,
    )


def execution_data(view: ExecutionView) -> ExecutionData:
    """Return the event that tells of an execution."""
    return ExecutionData(
        trade_id=view.id,
        order_id=view.order_id,
        user_id=view.user_id,
        symbol=view.symbol,
        side=view.side,
        quantity=view.quantity,
        price=view.price,
        fee=view.fee,
        liquidity=view.liquidity,
        realized_pnl=view.realized_pnl,
        strategy_id=view.strategy_id,
        executed_at=view.executed_at,
    )


def position_view(position: Position, mark: Decimal | None) -> PositionView:
    """Return the position as clients see it, valued at `mark`."""
    value = None if mark is None else money.multiply(position.quantity, mark)
    return PositionView(
        id=position.id,
        user_id=position.user_id,
        symbol=position.symbol,
        quantity=money.text(position.quantity),
        average_price=_text(position.average_price),
        cost_basis=money.text(position.cost_basis),
        realized_pnl=money.text(position.realized_pnl),
        fees=money.text(position.fees),
        mark_price=_text(mark),
        market_value=_text(value),
        unrealized_pnl=None if value is None else money.text(value - position.cost_basis),
        updated_at=position.updated_at,
    )


def encode(view: msgspec.Struct) -> msgspec.Raw:
    """Return the view as JSON that can be put into other JSON as it is."""
    return msgspec.Raw(_encode(view))
