"""What research speaks over HTTP."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from alphintra.platform.http import Schema

DATASETS_MAX = 100
COMPARED_MAX = 20
_Printable = r"^[^\x00-\x1f\x7f]*$"

Name = Annotated[str, StringConstraints(max_length=120, pattern=_Printable)]
StrategyName = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_\-]+$")
]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_\-]+$")]
Rule = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_Printable)]
Figure = Annotated[str, StringConstraints(max_length=65, pattern=r"^-?[a-z0-9_]+$")]
Real = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
CalendarName = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9/_]{2,16}$")]
NotNegative = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e12)]
Value = bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | Real | Name
Metrics = dict[str, Any]


class RunStatus(StrEnum):
    """How a run stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class CostsBody(Schema):
    """What a fill costs; rates are fractions of its value (0.001 is 0.1 %)."""

    rate: Annotated[float, Field(allow_inf_nan=False, ge=-0.1, le=1)] = 0.0
    maker_rate: Annotated[float, Field(allow_inf_nan=False, ge=-0.1, le=1)] | None = None
    per_unit: NotNegative = 0.0
    per_order: NotNegative = 0.0
    minimum: NotNegative = 0.0
    half_spread_bps: Annotated[float, Field(allow_inf_nan=False, ge=0, le=10_000)] = 0.0
    slippage_ticks: Annotated[int, Field(ge=0, le=100_000)] = 0
    slippage_bps: Annotated[float, Field(allow_inf_nan=False, ge=0, le=10_000)] = 0.0
    impact: Annotated[float, Field(allow_inf_nan=False, ge=0, le=10)] = 0.0
    borrow_rate: Annotated[float, Field(allow_inf_nan=False, ge=0, le=100)] = 0.0


class AccountBody(Schema):
    """What the account may do."""

    leverage: Annotated[float, Field(allow_inf_nan=False, gt=0, le=1_000)] = 1.0
    allow_short: bool = True
    liquidation: bool = True
    latency_ms: Annotated[float, Field(allow_inf_nan=False, ge=0, le=86_400_000)] = 0.0


class RunTerms(Schema):
    """What every run needs beside its strategy: parameters, data, money."""

    name: Name = ""
    parameters: dict[Word, Value] = Field(default_factory=dict, max_length=100)
    dataset_ids: Annotated[list[UUID], Field(min_length=1, max_length=DATASETS_MAX)]
    symbols: list[
        Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=_Printable)]
    ] = Field(
        default_factory=list,
        max_length=500,
        description="of the datasets; empty: all that they hold",
    )
    calendar: CalendarName | None = Field(
        default=None,
        description="whose sessions the symbols trade in, such as XNYS, or ALWAYS; without it, "
        "those of the instruments of these names",
    )
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    cash: Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e15)] = 100_000.0
    costs: CostsBody = CostsBody()
    account: AccountBody = AccountBody()
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("end has to be after start")
        return self


class RunRequest(RunTerms):
    """What every run of a strategy of the library needs."""

    strategy: StrategyName | None = None
    code: Annotated[
        str | None,
        Field(
            max_length=200_000,
            description="refused: make a strategy of it and run that (POST /strategies)",
        ),
    ] = None


class BacktestRequest(RunRequest):
    """Run a strategy once."""


VersionNumber = Annotated[
    int | None,
    Field(ge=1, le=2**31 - 1, description="of the strategy; else one is made of the draft"),
]


class StrategyBacktestRequest(RunTerms):
    """Run a version of a strategy once."""

    version: VersionNumber = None


class RangeBody(Schema):
    """A stretch of values to search."""

    low: Real
    high: Real
    step: Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e15)] | None = None


class SearchTerms(Schema):
    """What to search, how, and what for; what is not searched is as in `parameters`."""

    search: dict[
        Word, Annotated[list[Value], Field(min_length=1, max_length=1_000)] | RangeBody
    ] = Field(
        default_factory=dict,
        max_length=20,
        description="values or ranges by parameter; empty: as declared",
    )
    method: Literal["grid", "random", "tpe", "cmaes", "nsga2"] = "grid"
    objective: list[Figure] = Field(
        default_factory=lambda: ["sharpe_ratio"], min_length=1, max_length=5
    )
    trials: Annotated[int, Field(ge=1, le=100_000)] | None = None
    rules: list[Rule] = Field(default_factory=list, max_length=20)
    minimum_trades: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class OptimizeRequest(SearchTerms, RunRequest):
    """Search for the parameters of a strategy of the library."""


class StrategyOptimizeRequest(SearchTerms, RunTerms):
    """Search for the parameters of a version of a strategy."""

    version: VersionNumber = None


class ErrorView(Schema):
    """Why a run failed."""

    code: str
    detail: str


class RunView(Schema):
    """A run as lists show it. `remaining_s` is an estimate."""

    id: UUID
    name: str
    strategy: str
    strategy_id: UUID | None
    strategy_version: int | None
    strategy_sha256: str | None
    status: RunStatus
    progress: float
    remaining_s: float | None
    attempts: int
    error: ErrorView | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class BacktestView(RunView):
    """A backtest; what follows `finished_at` is there once it has succeeded."""

    request: dict[str, Any]
    dataset_ids: list[UUID]
    start_date: str | None = None
    end_date: str | None = None
    initial_capital: float | None = None
    final_capital: float | None = None
    total_return: float | None = None
    total_trades: int | None = None
    win_rate: float | None = None
    sharpe_ratio: float | None = None
    max_drawdown: float | None = None
    metrics: Metrics | None = None
    warnings: list[dict[str, Any]] = Field(default_factory=list)
    logs: list[str] = Field(default_factory=list)
    manifest: dict[str, Any] | None = None
    result_sha256: str | None = None


class OptimizationView(RunView):
    """A search; `result` has the best, every statistic of luck, and how many were tried."""

    request: dict[str, Any]
    dataset_ids: list[UUID]
    result: dict[str, Any] | None = None
    result_sha256: str | None = None


class TradeRowView(Schema):
    """A round trip of a backtest."""

    number: int
    symbol: str
    side: Literal["long", "short"]
    entry_time: str
    exit_time: str
    quantity: float
    entry_price: float
    exit_price: float
    pnl: float | None
    return_: Annotated[float | None, Field(serialization_alias="return", alias="return")]
    fees: float
    bars: int
    mae: float | None
    mfe: float | None
    tag: str
    exit_reason: str
    open_at_end: bool


class EquityView(Schema):
    """The equity curve, thinned out to its ends and extremes; `rows` counts the whole of it."""

    rows: int
    ts_ns: list[int]
    equity: list[float | None]
    cash: list[float | None]
    exposure: list[float | None]
    benchmark: list[float | None]


class CompareRequest(Schema):
    """Which backtests to put side by side."""

    ids: Annotated[list[UUID], Field(min_length=2, max_length=COMPARED_MAX)]


class ComparedView(Schema):
    """Figures of several backtests, each list in the order of `ids`."""

    ids: list[UUID]
    names: list[str]
    metrics: dict[str, list[Any]]


class LibraryStrategyView(Schema):
    """A strategy of the library with its parameters as it declares them."""

    name: str
    description: str
    parameters: dict[str, dict[str, Any]]


class CodeRunRequest(Schema):
    """A text to run over the newest bars of demo data."""

    source: Annotated[str, StringConstraints(max_length=100_000)]
    parameters: dict[Word, Value] = Field(default_factory=dict, max_length=100)
    datasets: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^demo:[A-Z]{1,8}$")]],
        Field(min_length=1, max_length=4, description="such as demo:AAPL"),
    ] = Field(default_factory=lambda: ["demo:IBM"])
    bars: Annotated[int, Field(ge=50, le=2_000)] = 500
    cash: Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e12)] = 100_000.0
    rate: Annotated[float, Field(allow_inf_nan=False, ge=0, le=0.1)] = 0.0005
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


class RunErrorView(Schema):
    """What a text failed of, and in which line of it."""

    code: Annotated[str, StringConstraints(max_length=64)]
    detail: Annotated[str, StringConstraints(max_length=1_000)]
    line: int | None = None


class DryRunReport(Schema):
    """What came of a dry run; the process that ran it says so."""

    final_capital: float | None = None
    total_trades: Annotated[int, Field(ge=0)] = 0
    total_orders: Annotated[int, Field(ge=0)] = 0
    figures: dict[Word, float | None] = Field(default_factory=dict, max_length=20)
    trades: list[TradeRowView] = Field(default_factory=list, max_length=100)
    logs: list[Annotated[str, StringConstraints(max_length=1_000)]] = Field(
        default_factory=list, max_length=200
    )
    warnings: list[Annotated[str, StringConstraints(max_length=1_000)]] = Field(
        default_factory=list, max_length=100
    )
    error: RunErrorView | None = None


class SampleView(Schema):
    """The bars that a dry run went over."""

    dataset: str
    bars: int
    first_at: datetime
    last_at: datetime


class CodeRunView(DryRunReport):
    """A dry run: what was found in the text, what it printed, and what came of it."""

    ok: bool
    findings: list[dict[str, Any]]
    samples: list[SampleView]
    output: str
    duration_ms: float
