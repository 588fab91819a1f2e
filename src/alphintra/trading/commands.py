"""What the desk can be told, and what it answers. These travel between processes as they are."""

from datetime import datetime
from decimal import Decimal

import msgspec

from alphintra.core.ids import OrderId, SignalId, StrategyId, UserId
from alphintra.core.orders import OrderClass, OrderType, Side, TimeInForce, TradingState
from alphintra.trading.limits import Limits


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base: whose account it is about, who asked (`user:…`, `key:…`, `signal:…`, `desk`),
    and why.
    """

    user_id: UserId
    actor: str
    correlation_id: str = ""


class TakeProfit(msgspec.Struct, frozen=True):
    """The exit that takes a profit: a limit order."""

    price: Decimal


class StopLoss(msgspec.Struct, frozen=True):
    """The exit that limits a loss: a stop order, or a stop-limit order with `price`."""

    stop_price: Decimal
    price: Decimal | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the client wants traded. The hash of this decides whether a retry is the same order."""

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal | None = None
    notional: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    expires_at: datetime | None = None
    reduce_only: bool = False
    post_only: bool = False
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: TakeProfit | None = None
    stop_loss: StopLoss | None = None
    strategy_id: StrategyId | None = None


class OpenAccount(Command, frozen=True, kw_only=True):
    """Open the user's paper account, unless it is open."""


class PlaceOrder(Command, frozen=True, kw_only=True):
    """Place an order; with `dry_run` only answer what the risk checks say."""

    order_id: OrderId
    client_order_id: str | None = None
    terms: Terms
    signal_id: SignalId | None = None
    dry_run: bool = False


class ModifyOrder(Command, frozen=True, kw_only=True):
    """Change an open order; `None` leaves a term as it is."""

    order_id: OrderId
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce | None = None
    expires_at: datetime | None = None


class CancelOrder(Command, frozen=True, kw_only=True):
    """Take an order out of the market."""

    order_id: OrderId


class CancelAll(Command, frozen=True, kw_only=True):
    """Cancel all open orders of the account, or those of one symbol, or of one strategy."""

    symbol: str | None = None
    strategy_id: StrategyId | None = None


class ClosePosition(Command, frozen=True, kw_only=True):
    """Cancel the symbol's exits and close the position at the market."""

    symbol: str
    order_id: OrderId
    client_order_id: str | None = None


class SetLimits(Command, frozen=True, kw_only=True):
    """Replace the account's risk limits."""

    limits: Limits


class SetMargin(Command, frozen=True, kw_only=True):
    """Set how far the account may go beyond its cash."""

    leverage: Decimal
    short_selling: bool


class SetAccountState(Command, frozen=True, kw_only=True):
    """The account's own kill switch. HALTED also cancels what is open."""

    state: TradingState
    reason: str


AnyCommand = (
    OpenAccount
    | PlaceOrder
    | ModifyOrder
    | CancelOrder
    | CancelAll
    | ClosePosition
    | SetLimits
    | SetMargin
    | SetAccountState
)


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It is committed; `body` is the JSON answer."""

    body: msgspec.Raw


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """It is not done, and why. `status` is the HTTP status; `extra` goes into the problem
    document.
    """

    code: str
    detail: str
    status: int = 422
    extra: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """The desk does not know whether it is done: ask again with the same client order id."""

    detail: str


Answer = Done | Refused | Unknown
