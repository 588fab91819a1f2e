"""What a backtest leaves behind: equity, fills, orders, trades, and how it was made.

Everything downstream (metrics, reports, search, HTTP) reads a `BacktestResult` and nothing else.
Columns are NumPy arrays; there is one row per moment, fill, order or trade and no object per row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import DAY_NS

if TYPE_CHECKING:
    from pathlib import Path

    from alphintra.engine.series import Bars

#: `symbol` is a row of `BacktestResult.symbols`, `side` +1 for a buy and -1 for a sell, `tag` a row
#: of `BacktestResult.tags`. Quantities are positive; money is in the account's base currency.
FILL: Final = np.dtype(
    [
        ("ts_ns", "i8"),
        ("order_id", "i8"),
        ("symbol", "i8"),
        ("side", "i8"),
        ("quantity", "f8"),
        ("price", "f8"),
        ("fee", "f8"),
        ("is_maker", "?"),
        ("slippage", "f8"),  # what slippage cost, as money; already in the price
    ]
)

#: `kind` is an `engine.Kind`, `status` an `OrderState`; prices that an order has not are NaN.
ORDER: Final = np.dtype(
    [
        ("order_id", "i8"),
        ("symbol", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        ("quantity", "f8"),  # NaN when it was to be sized as it fills and never filled
        ("filled", "f8"),
        ("average_price", "f8"),
        ("limit_price", "f8"),
        ("stop_price", "f8"),
        ("status", "i8"),
        ("created_ns", "i8"),
        ("closed_ns", "i8"),  # -1 while it was open at the end
        ("parent", "i8"),  # -1 for none
        ("tag", "i8"),
    ]
)

#: A round trip: from flat, or a reversal, to flat or the next reversal. `side` is +1 for long.
TRADE: Final = np.dtype(
    [
        ("symbol", "i8"),
        ("side", "i8"),
        ("entry_ns", "i8"),
        ("exit_ns", "i8"),
        ("quantity", "f8"),  # all that was bought (long) or sold short
        ("entry_price", "f8"),  # average
        ("exit_price", "f8"),  # average; of one that is open at the end the last price
        ("pnl", "f8"),  # after the fees of both sides
        ("return", "f8"),  # pnl / (quantity * entry_price)
        ("fees", "f8"),
        ("bars", "i8"),  # market events of its symbol between entry and exit
        ("mae", "f8"),  # worst price seen, as a fraction of the entry price, never positive
        ("mfe", "f8"),  # best price seen, as a fraction of the entry price, never negative
        ("tag", "i8"),  # of the order that opened it
        ("exit_reason", "i8"),  # an `ExitReason`
        ("open_at_end", "?"),
    ]
)


#: The figures people ask for first.
HEADLINES: Final = (
    "start_date", "end_date", "initial_capital", "final_capital", "total_return", "cagr",
    "sharpe_ratio", "sortino_ratio", "max_drawdown", "total_trades", "win_rate", "profit_factor",
    "exposure",
)  # fmt: skip


class OrderState(IntEnum):
    """How an order stood when the run ended."""

    OPEN = 0
    FILLED = 1
    CANCELED = 2
    EXPIRED = 3
    REJECTED = 4


class ExitReason(IntEnum):
    """What ended a trade."""

    SIGNAL = 0  #: an order of the strategy without a stop or limit of its own
    STOP = 1  #: a stop, or a stop limit
    TRAILING_STOP = 2
    LIMIT = 3  #: a limit, such as a take profit
    LIQUIDATION = 4
    END_OF_DATA = 5  #: still open when the data ended; valued at the last price


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReference:
    """One series that a run has read."""

    name: str
    sha256: str  #: of the columns as they were read, not of the file
    symbol: str
    rows: int
    first_ns: int
    last_ns: int
    timeframe: str  #: "1m", "1h", "1d" …; "" for quotes and trades


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that a run depended on: the same manifest gives the same result."""

    strategy: str
    strategy_sha256: str
    parameters: Mapping[str, Any]
    datasets: tuple[DatasetReference, ...]
    engine_version: str
    engine_digest: str
    account: Mapping[str, Any]
    costs: Mapping[str, Mapping[str, Any]]  #: symbol -> its cost model
    seed: int
    created_at: datetime
    duration_s: float
    assumptions: tuple[str, ...] = ()
    #: Of a strategy that is kept on a server: which one, and which version of it.
    strategy_id: str = ""
    strategy_version: int = 0
    #: How it ran: "python", "vectorised", or what is made of blocks "compiled".
    form: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**_plain(asdict(self)), "created_at": self.created_at.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning_:  # noqa: N801 - `Warning` is a builtin
    """Something a reader of the result should know."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class BacktestResult:
    """The outcome of one backtest.

    `ts_ns`, `equity`, `cash`, `exposure` and `benchmark` have one row per moment at which
    something closed: the end of a bar, a quote, a print. `exposure` is the gross value of all
    positions as a fraction of equity. `benchmark` buys all symbols in equal parts with the same
    money at the first moment and holds them, without costs.
    """

    manifest: Manifest
    symbols: tuple[str, ...]
    initial_capital: float
    ts_ns: NDArray[np.int64]
    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    exposure: NDArray[np.float64]
    benchmark: NDArray[np.float64]
    fills: NDArray[np.void]
    orders: NDArray[np.void]
    trades: NDArray[np.void]
    tags: tuple[str, ...] = ("",)
    prices: Mapping[str, "Bars"] = field(default_factory=dict)
    logs: tuple[str, ...] = ()
    warnings: tuple[Warning_, ...] = ()

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What `research.metrics.summarise` says of this run; computed once."""
        from alphintra.research.metrics import summarise

        return dict(summarise(self))

    @property
    def final_capital(self) -> float:
        """The equity at the last moment."""
        return float(self.equity[-1]) if len(self.equity) else self.initial_capital

    def to_dict(self, *, series: bool = True) -> dict[str, Any]:
        """Return the result as plain values, with the names that the HTTP API uses.

        Args:
            series: with the equity curve and the trades; without, only figures.
        """
        document: dict[str, Any] = {**_plain(self.metrics)}
        document |= {
            "symbols": list(self.symbols),
            "final_capital": self.final_capital,
            "metrics": _plain(dict(self.metrics)),
            "warnings": [asdict(warning) for warning in self.warnings],
            "logs": list(self.logs),
            "manifest": self.manifest.to_dict(),
        }
        if series:
            document["trades"] = self.trades_as_dicts()
            document["equity_curve"] = {
                "ts_ns": self.ts_ns.tolist(),
                "equity": _finite(self.equity),
                "cash": _finite(self.cash),
                "exposure": _finite(self.exposure),
                "benchmark": _finite(self.benchmark),
            }
        return document

    def trades_as_dicts(self) -> list[dict[str, Any]]:
        """Return the trades with names and times that people read."""
        names = self.trades.dtype.names or ()
        rows = []
        for values in self.trades.tolist():
            row = dict(zip(names, values, strict=True))
            row["symbol"] = self.symbols[row["symbol"]]
            row["side"] = "long" if row["side"] > 0 else "short"
            row["entry_time"] = iso(row.pop("entry_ns"))
            row["exit_time"] = iso(row.pop("exit_ns"))
            row["tag"] = self.tags[row["tag"]]
            row["exit_reason"] = ExitReason(row["exit_reason"]).name.lower()
            rows.append(_plain(row))
        return rows

    def report(self, path: "Path | str") -> "Path":
        """Write the report to a file; its ending (.html, .pdf, .json) says in which form."""
        from alphintra.research.reports import write_report

        return write_report(self, path)

    def _repr_html_(self) -> str:
        """Show the figures people ask for first, in a notebook."""
        from alphintra.sdk.notebook import table_html

        metrics = self.metrics
        return table_html(
            f"{self.manifest.strategy} on {', '.join(self.symbols)}",
            [(name, metrics.get(name)) for name in HEADLINES],
            notes=[warning.message for warning in self.warnings],
        )


def iso(ts_ns: int) -> str:
    """Return a time in nanoseconds as ISO 8601 in UTC, to the microsecond."""
    seconds, nanoseconds = divmod(ts_ns, 1_000_000_000)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return at.isoformat().replace("+00:00", "Z")


def readable(ts_ns: int) -> str:
    """Return a time as people read it: where a day begins or ends the day, otherwise as `iso`."""
    text = iso(ts_ns)
    return text[:10] if (ts_ns + 1) % DAY_NS <= 1 else text


def _finite(values: NDArray[np.float64]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: NaN and infinities are null, tuples are lists."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)
