"""What trading speaks over HTTP."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from alphintra.core import money
from alphintra.core.instruments import SYMBOL_LENGTH_MAX
from alphintra.core.orders import (
    OrderClass,
    OrderEventType,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    TradingState,
)
from alphintra.platform.http import DecimalString, Schema
from alphintra.trading.limits import UNLIMITED
from alphintra.trading.surroundings import Scope


def _exact(value: Decimal) -> Decimal:
    if value != round(value, money.PLACES):
        raise ValueError(f"more than {money.PLACES} decimal places")
    return value


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


#: A decimal as a string or a JSON number; never more than eight places, never NaN or infinite.
Amount = Annotated[Decimal, Field(allow_inf_nan=False, ge=0, le=UNLIMITED), AfterValidator(_exact)]
Symbol = Annotated[
    str,
    StringConstraints(min_length=1, max_length=SYMBOL_LENGTH_MAX, pattern=r"^[A-Za-z0-9._\-/]+$"),
]
ClientOrderId = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(_plain)
]
Reason = Annotated[str, StringConstraints(max_length=500), AfterValidator(_plain)]


class TakeProfitRequest(Schema):
    price: Amount


class StopLossRequest(Schema):
    stop_price: Amount
    price: Amount | None = None


class OrderRequest(Schema):
    """A new order."""

    symbol: Symbol
    side: Side
    type: OrderType
    quantity: Amount | None = None
    notional: Amount | None = Field(default=None, description="spend this much instead")
    price: Amount | None = None
    stop_price: Amount | None = None
    trail: Amount | None = Field(
        default=None, description="distance of a trailing stop, as a price"
    )
    trail_percent: Amount | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    expires_at: AwareDatetime | None = None
    client_order_id: ClientOrderId | None = None
    reduce_only: bool = False
    post_only: bool = False
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: TakeProfitRequest | None = None
    stop_loss: StopLossRequest | None = None
    strategy_id: UUID | None = None


class OrderChange(Schema):
    """New terms for an open order; what is left out stays."""

    quantity: Amount | None = None
    price: Amount | None = None
    stop_price: Amount | None = None
    trail: Amount | None = None
    trail_percent: Amount | None = None
    time_in_force: TimeInForce | None = None
    expires_at: AwareDatetime | None = None


class RiskFindingView(Schema):
    rule: str
    limit: str
    value: str
    detail: str


class OrderView(Schema):
    """An order; decimals are strings."""

    id: UUID
    user_id: UUID
    account_id: UUID
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    order_class: OrderClass
    quantity: str
    notional: str | None
    price: str | None
    stop_price: str | None
    trail: str | None
    trail_percent: str | None
    expires_at: datetime | None
    reduce_only: bool
    post_only: bool
    status: OrderStatus
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
    check: RiskFindingView | None = None


class OrderStep(Schema):
    """One entry of an order's history."""

    version: int
    event_type: OrderEventType
    actor: str
    reason: str | None
    at: datetime
    order: dict[str, Any] = Field(description="the order as it was after this step")


class OrderDetail(OrderView):
    """An order with its exits and everything that happened to it."""

    legs: list[OrderView]
    history: list[OrderStep]


class CanceledView(Schema):
    canceled: list[UUID]


class PositionView(Schema):
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


class TradeView(Schema):
    id: UUID
    order_id: UUID
    user_id: UUID
    symbol: str
    side: Side
    quantity: str
    price: str
    fee: str
    liquidity: str
    realized_pnl: str
    strategy_id: UUID | None
    executed_at: datetime


class BalanceView(Schema):
    asset: str
    available: DecimalString
    held: DecimalString


class PortfolioView(Schema):
    """What the account is worth. `day_pnl` counts from 00:00 UTC; positions without a price count
    at their cost and are listed in `unpriced`.
    """

    account_id: UUID
    currency: str
    equity: str
    cash: str
    cash_available: str
    cash_held: str
    buying_power: str
    gross_exposure: str
    net_exposure: str
    realized_pnl: str
    unrealized_pnl: str
    day_pnl: str
    fees: str
    leverage: str
    short_selling: bool
    state: TradingState
    balances: list[BalanceView]
    unpriced: list[str]


class EquityPoint(Schema):
    at: datetime
    equity: DecimalString
    cash: DecimalString


class LimitsBody(Schema):
    """Risk limits; what is left out of a PUT goes back to its default."""

    order_quantity_max: Amount = Decimal(1_000_000)
    order_notional_max: Amount = Decimal(1_000_000)
    position_notional_max: Amount = Decimal(1_000_000)
    gross_exposure_max: Amount = Decimal(2_000_000)
    daily_loss_max: Amount = Decimal(20_000)
    price_collar_percent: Amount = Decimal(10)
    open_orders_max: int = Field(default=500, ge=0, le=100_000)
    orders_per_second_max: int = Field(default=50, ge=0, le=100_000)
    duplicate_window_s: int = Field(default=0, ge=0, le=86_400)
    allowed_symbols: list[Symbol] | None = Field(default=None, max_length=1_000)


class MarginRequest(Schema):
    """How far the account may go beyond its cash."""

    leverage: Annotated[Amount, Field(ge=1, le=10)]
    short_selling: bool


class AccountSettingsView(Schema):
    id: UUID
    user_id: UUID
    currency: str
    leverage: str
    short_selling: bool
    state: TradingState
    limits: dict[str, Any]


class CheckView(Schema):
    rule: str
    passed: bool
    limit: str
    value: str


class RiskReportView(Schema):
    """Every check of an order, passed or not. Nothing was placed."""

    accepted: bool
    checks: list[CheckView]


class KillSwitchRequest(Schema):
    """Stop, restrict or restart trading. HALTED also cancels what is open."""

    scope: Scope
    state: TradingState
    strategy_id: UUID | None = Field(default=None, description="with scope STRATEGY")
    reason: Reason = ""


class KillSwitchView(Schema):
    scope: Scope
    subject: str
    state: TradingState
    reason: str


class SignalRequest(Schema):
    """What a strategy wants. The id makes a repeat harmless."""

    signal_id: UUID
    strategy_id: UUID | None = None
    symbol: Symbol
    action: Literal["BUY", "SELL", "HOLD"]
    confidence: Annotated[Decimal, Field(allow_inf_nan=False, ge=0, le=1)] = Decimal(1)
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=50)


class SignalView(Schema):
    signal_id: UUID
    status: Literal["PUBLISHED"]


class FillAmounts(Schema):
    """The figures of a fill."""

    quantity: DecimalString
    price: DecimalString
    fee: DecimalString
    liquidity: str


ParityCause = Literal["data", "latency", "fill", "fee", "rounding"]


class FillPairView(Schema):
    """A booked fill and its replay; without a `cause` they are identical."""

    trade_id: UUID
    order_id: UUID
    symbol: str
    at: AwareDatetime
    booked: FillAmounts | None
    replayed: FillAmounts | None
    event: str
    cause: ParityCause | None
    detail: str


class OrderDifferenceView(Schema):
    """An order's trigger or end at the venue that the replay has otherwise."""

    order_id: UUID
    symbol: str
    what: str
    booked: str | None
    replayed: str | None
    cause: ParityCause
    detail: str


class MarketCheckView(Schema):
    """How what the venue saw of a source compares with what is stored of it."""

    symbol: str
    source: str
    events: int
    is_stored: bool
    missing: int
    different: int
    late: int
    unseen: int


class LatencyView(Schema):
    """How long instructions were on their way; `fills_changed` would be others without that."""

    instructions: int
    median_ms: float
    max_ms: float
    fills_changed: int


class ParityView(Schema):
    """One account's day, booked and replayed."""

    account_id: UUID
    day: date
    is_identical: bool
    orders: int
    fills: int
    outcomes: int
    void: int
    pairs: list[FillPairView]
    order_differences: list[OrderDifferenceView]
    market: list[MarketCheckView]
    latency: LatencyView
    notes: list[str]
