"""What HTTP speaks about deployments."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from alphintra.platform.http import DecimalString, Schema
from alphintra.strategies.deployments.status import SignalStatus, Status, Wish
from alphintra.strategies.deployments.terms import ApprovalMode, MissedCandles, OnBreach

SYMBOLS_MAX: Final = 20
PARAMETERS_MAX: Final = 200
WARMUP_MAX: Final = 5_000
AMOUNT_MAX: Final = Decimal(10) ** 11

Symbol = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Z0-9][A-Z0-9.\-_/]*$")]
Positive = Annotated[DecimalString, Field(gt=0, lt=AMOUNT_MAX, max_digits=20, decimal_places=8)]
Value = bool | int | float | Annotated[str, Field(max_length=1_000)]
Parameters = Annotated[
    dict[Annotated[str, Field(max_length=64)], Value], Field(max_length=PARAMETERS_MAX)
]
#: Timeframes whose candles have a fixed length; a strategy cannot follow a calendar month.
Timeframe = Literal["1s", "5s", "15s", "1m", "5m", "15m", "30m", "1h", "4h", "1d"]


class LimitsModel(Schema):
    """Bounds of the deployment, by its own book. What is left out is not bounded, except where a
    default is given.
    """

    daily_loss: Positive | None = Field(
        default=None, description="loss since midnight UTC, in the currency of its prices"
    )
    drawdown: Annotated[DecimalString, Field(gt=0, lt=1)] | None = Field(
        default=None, description="loss from its highest equity, as a share of that: 0.1 is 10 %"
    )
    position: Positive | None = Field(
        default=None, description="units of any one symbol, long or short"
    )
    notional: Positive | None = Field(
        default=None, description="worth of all its positions; default: its money, profits included"
    )
    orders_per_minute: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=60, description="more than this stop it"
    )
    on_breach: OnBreach = Field(
        default=OnBreach.LIQUIDATE, description="what a limit of losses does when it is reached"
    )
    on_failure: OnBreach = Field(
        default=OnBreach.STOP, description="what happens when the strategy raises or keeps dying"
    )


class ScheduleModel(Schema):
    """When it may enter; exits are never held back."""

    days: Annotated[list[Annotated[int, Field(ge=1, le=7)]], Field(min_length=1, max_length=7)] = (
        Field(default=[1, 2, 3, 4, 5, 6, 7], description="1 is Monday")
    )
    start: time = Field(default=time(0), description="local time, HH:MM")
    end: time = Field(
        default=time(0), description="local time; not after the start: on the next day"
    )
    timezone: Annotated[str, Field(max_length=64)] = "UTC"

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {value!r}") from error
        return value

    @field_validator("start", "end")
    @classmethod
    def _without_zone(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("a time of day without an offset; the zone is `timezone`")
        return value


class ApprovalModel(Schema):
    """Which signals wait for your yes, and for how long."""

    mode: ApprovalMode = ApprovalMode.NONE
    expires_s: Annotated[int, Field(ge=5, le=86_400)] = Field(
        default=120, description="seconds after which a signal without an answer lapses"
    )


class DeployRequest(Schema):
    """A strategy to put to work."""

    mode: Literal["PAPER", "LIVE"] = "PAPER"
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="default: the newest, made of the draft where it has changed"
    )
    name: Annotated[str, Field(max_length=120)] = ""
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=SYMBOLS_MAX)]
    timeframe: Timeframe = "1m"
    capital: Positive = Decimal(10_000)
    parameters: Parameters = Field(default_factory=dict)
    warmup: Annotated[int, Field(ge=0, le=WARMUP_MAX)] = Field(
        default=500, description="closed candles of each symbol that it lives through first"
    )
    feed: Annotated[str, Field(pattern=r"^[a-z0-9_\-]{1,32}$")] | None = Field(
        default=None,
        description="follow this source only, such as `replay`; then nothing is read from the"
        " database: no warm-up, no candles that were missed",
    )
    limits: LimitsModel = LimitsModel()
    schedule: ScheduleModel | None = None
    approval: ApprovalModel = ApprovalModel()
    missed_candles: MissedCandles = Field(
        default=MissedCandles.SKIP,
        description="SKIP: a candle that closed while nobody watched is shown, but not traded",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("each symbol once")
        return self


class ParametersRequest(Schema):
    """Other values for some parameters, from the next candle on."""

    parameters: Annotated[Parameters, Field(min_length=1)]


class HeldView(Schema):
    """What a deployment holds of a symbol, by its own fills."""

    symbol: str
    quantity: str
    average_price: str | None
    mark_price: str | None
    unrealized_pnl: str | None
    realized_pnl: str


class DeploymentView(Schema):
    """A deployment as it stands."""

    id: UUID
    strategy_id: UUID
    version_id: UUID
    version: int
    name: str
    mode: Literal["PAPER", "LIVE"]
    status: Status
    wish: Wish
    reason_code: str | None
    reason: str | None
    symbols: list[str]
    timeframe: str
    capital: DecimalString
    warmup: int
    feed: str | None
    parameters: dict[str, Value]
    parameters_revision: int
    limits: LimitsModel
    schedule: ScheduleModel | None
    approval: ApprovalModel
    missed_candles: MissedCandles
    seed: int
    equity: DecimalString
    cash: DecimalString
    realized_pnl: DecimalString
    fees: DecimalString
    fills: int
    positions: list[HeldView]
    last_candle_at: datetime | None
    deaths: int = Field(description="of its process, in a row")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class NoticeView(Schema):
    """Something that a deployment was started with nevertheless."""

    code: str
    message: str


class DeployedView(DeploymentView):
    """A deployment that was just started, and what may keep its orders from being filled."""

    warnings: list[NoticeView]


class SignalView(Schema):
    """A decision of a strategy, and what became of it."""

    id: UUID
    deployment_id: UUID
    strategy_id: UUID
    kind: Literal["PLACE", "CANCEL"]
    name: str
    origin: Literal["STRATEGY", "PLATFORM"]
    symbol: str
    action: Literal["BUY", "SELL", "HOLD"]
    order: dict[str, Any]
    confidence: DecimalString
    reason: str
    because: dict[str, float | None]
    candle_at: datetime | None
    trace_id: str
    status: SignalStatus
    code: str | None
    detail: str | None
    order_id: UUID | None
    expires_at: datetime | None
    decided_at: datetime | None
    created_at: datetime


class LogView(Schema):
    """A line of a deployment's log."""

    id: int
    at: datetime
    kind: Literal["LOG", "STATUS", "WARNING", "ERROR"]
    message: str


class PointView(Schema):
    """A point of the equity curve."""

    at: datetime
    equity: DecimalString
    cash: DecimalString
    exposure: DecimalString


class MetricsView(Schema):
    """How a deployment has done so far, by its own book."""

    equity: DecimalString
    net_profit: DecimalString
    total_return: float
    day_profit: DecimalString
    realized_pnl: DecimalString
    unrealized_pnl: DecimalString
    fees: DecimalString
    exposure: DecimalString
    max_drawdown: float = Field(description="the deepest of the curve, as a share")
    drawdown: float = Field(description="from the highest equity to now")
    fills: int
    signals: dict[str, int] = Field(description="by status")
    frames: int = Field(description="candles, news and whatever else it has lived through")
    points: list[PointView] = Field(description="the curve, thinned out to at most 500 points")


class TraceView(Schema):
    """The way of one decision: candle, signal, order, fills, ledger lines."""

    trace_id: str
    candle: dict[str, Any] | None
    signal: SignalView
    orders: list[dict[str, Any]]
    fills: list[dict[str, Any]]
    ledger: list[dict[str, Any]]


class CertificateRequest(Schema):
    """A day to certify."""

    day: date = Field(description="in UTC")


class DifferenceView(Schema):
    """One thing that a replay does otherwise."""

    part: Literal["DECISIONS", "EXECUTION"]
    what: str
    cause: str
    booked: str | None = None
    replayed: str | None = None
    detail: str = ""


class CertificateView(Schema):
    """Whether a deployed day, replayed, gives what was decided and booked."""

    id: UUID
    deployment_id: UUID
    version_id: UUID
    day: date
    verdict: Literal["PENDING", "PASSED", "FAILED", "EMPTY", "UNKNOWN"] = Field(
        description="EMPTY: nothing was decided; UNKNOWN: it could not be said, the notes tell why"
    )
    is_whole_day: bool
    frames: int
    signals: int
    orders: int
    fills: int
    differences: list[DifferenceView]
    notes: list[str]
    created_at: datetime
