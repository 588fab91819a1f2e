"""The desk's memory: accounts, orders, positions. What is here is what the last commit wrote, or is
about to write.
"""

from collections import deque
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from alphintra.core import money
from alphintra.core.ids import AccountId, OrderId, SignalId, StrategyId, TradeId, UserId
from alphintra.core.orders import (
    OrderClass,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    TradingState,
    may_follow,
)
from alphintra.trading.commands import Answer
from alphintra.trading.limits import Limits

ZERO = money.ZERO
#: First answers kept in memory for each account.
KNOWN_MAX = 2_000


class Order(msgspec.Struct, kw_only=True, gc=False):
    """An order; the fields are the columns of `trading.orders`.

    `held_cash` is what the ledger holds of the account's currency for it; `held_quantity` is how
    much of the opposite position is reserved for it (for a SELL, the ledger holds that much of the
    asset).
    """

    id: OrderId
    account_id: AccountId
    user_id: UserId
    client_order_id: str
    terms_hash: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    order_class: OrderClass
    quantity: Decimal
    notional: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    trail: Decimal | None
    trail_percent: Decimal | None
    expires_at: datetime | None
    reduce_only: bool
    post_only: bool
    status: OrderStatus
    filled_quantity: Decimal
    filled_value: Decimal
    fees: Decimal
    reject_reason: str | None
    parent_id: OrderId | None
    sibling_id: OrderId | None
    strategy_id: StrategyId | None
    signal_id: SignalId | None
    venue: str
    triggered: bool
    water_mark: Decimal | None
    held_cash: Decimal
    held_quantity: Decimal
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled_quantity

    @property
    def is_exit(self) -> bool:
        """Whether it is one of a group's exits: it closes what the group has reserved."""
        return self.parent_id is not None or self.order_class is OrderClass.OCO

    @property
    def average_fill_price(self) -> Decimal | None:
        if self.filled_quantity == 0:
            return None
        return money.divide(self.filled_value, self.filled_quantity)

    def move_to(self, status: OrderStatus) -> None:
        """Change the status.

        Raises:
            ValueError: the lifecycle does not allow it; a bug that must stop the shard, not spread.
        """
        if not may_follow(self.status, status):
            raise ValueError(f"order {self.id} cannot go from {self.status} to {status}")
        self.status = status


class Execution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fill; the fields are the columns of `trading.trades`."""

    id: TradeId
    order_id: OrderId
    account_id: AccountId
    user_id: UserId
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: str
    realized_pnl: Decimal
    strategy_id: StrategyId | None
    executed_at: datetime


class Position(msgspec.Struct, kw_only=True, gc=False):
    """A position; `cost_basis` has the sign of `quantity`. `realized_pnl` is after fees."""

    id: UUID
    account_id: AccountId
    user_id: UserId
    symbol: str
    quantity: Decimal = ZERO
    cost_basis: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    updated_at: datetime

    @property
    def average_price(self) -> Decimal | None:
        if self.quantity == 0:
            return None
        return money.divide(self.cost_basis, self.quantity)

    def apply(self, *, signed_quantity: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Book a fill and return the profit or loss that it realised, after its fee.

        What closes realises against the cost basis in proportion; what opens adds to it. The parts
        of a cost basis always add up to the whole: rounding stays inside and comes out with the
        last unit.
        """
        realized = -fee
        opening = signed_quantity
        # Rounded once, like the posting: the parts that close and open add up to it.
        opening_value = money.multiply(signed_quantity, price)
        if self.quantity and (self.quantity > 0) != (signed_quantity > 0):
            closing = min(abs(signed_quantity), abs(self.quantity))
            closing_signed = closing if self.quantity > 0 else -closing
            if closing_signed == self.quantity:
                cost = self.cost_basis
            else:
                cost = money.divide(self.cost_basis * closing_signed, self.quantity)
            proceeds = money.multiply(closing_signed, price)
            opening_value += proceeds
            realized += proceeds - cost
            self.quantity -= closing_signed
            self.cost_basis -= cost
            opening = signed_quantity + closing_signed
        if opening:
            self.quantity += opening
            self.cost_basis += opening_value
        self.realized_pnl += realized
        self.fees += fee
        return realized


class Known(msgspec.Struct, frozen=True, gc=False):
    """What a client order id stands for: the order it was first used for, and the first answer."""

    order_id: OrderId
    terms_hash: str
    answer: Answer


class Account(msgspec.Struct, kw_only=True):
    """An account with everything that deciding about it needs."""

    id: AccountId
    user_id: UserId
    shard: int
    venue: str
    currency: str
    leverage: Decimal
    short_selling: bool
    state: TradingState
    limits: Limits
    day: date
    day_start_equity: Decimal
    order_sequence: int
    trade_sequence: int
    position_sequence: int
    opened_at: datetime
    cash_available: Decimal = ZERO
    cash_held: Decimal = ZERO
    positions: dict[str, Position] = msgspec.field(default_factory=dict)
    open_orders: dict[OrderId, Order] = msgspec.field(default_factory=dict)
    #: By symbol and side: what open orders may still add to a position, and what of the opposite
    #: position they have reserved. `count` keeps both.
    pending: dict[tuple[str, Side], Decimal] = msgspec.field(default_factory=dict)
    reserved: dict[tuple[str, Side], Decimal] = msgspec.field(default_factory=dict)
    _counted: dict[OrderId, tuple[Decimal, Decimal]] = msgspec.field(default_factory=dict)
    #: Recent client order ids with the first answer they got; older ones are asked of the database.
    known: dict[str, "Known"] = msgspec.field(default_factory=dict)
    #: When orders came in during the last second, for the rate limit.
    recent_orders_ns: deque[int] = msgspec.field(default_factory=deque)
    #: (terms hash) -> when it was last seen, for the duplicate check.
    recent_terms_ns: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def cash(self) -> Decimal:
        return self.cash_available + self.cash_held

    def position_quantity(self, symbol: str) -> Decimal:
        position = self.positions.get(symbol)
        return position.quantity if position else ZERO

    def remember(self, client_order_id: str, known: "Known") -> None:
        """Keep the first answer to a client order id close at hand."""
        self.known[client_order_id] = known
        if len(self.known) > KNOWN_MAX:
            del self.known[next(iter(self.known))]

    def count(self, order: Order) -> None:
        """Take note of what an open order may add to its side and what it has reserved there.

        Called at every change of an order, so that risk asks for sums and never walks the orders.
        """
        key = (order.symbol, order.side)
        pending, reserved = self._counted.pop(order.id, (ZERO, ZERO))
        new_pending = new_reserved = ZERO
        if order.status.is_open:
            new_reserved = order.held_quantity
            if not order.reduce_only:
                new_pending = order.remaining - order.held_quantity
            self._counted[order.id] = (new_pending, new_reserved)
        self.pending[key] = self.pending.get(key, ZERO) + new_pending - pending
        self.reserved[key] = self.reserved.get(key, ZERO) + new_reserved - reserved

    def reducible(self, symbol: str, side: Side) -> Decimal:
        """Return how much an order of `side` can take off the opposite position, beyond what is
        reserved.
        """
        quantity = self.position_quantity(symbol)
        opposite = -quantity if side is Side.BUY else quantity
        if opposite <= 0:
            return ZERO
        return max(ZERO, opposite - self.reserved.get((symbol, side), ZERO))
