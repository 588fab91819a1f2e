"""What runs in the sandboxed process of a dry run: a text over a few bars, and what came of it."""

import io
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, Final

import msgspec
import numpy as np

from alphintra.core.errors import Problem
from alphintra.engine.portfolio import Costs
from alphintra.engine.series import Bars
from alphintra.platform.sandbox import Channel
from alphintra.research.backtest import backtest
from alphintra.research.checks import check
from alphintra.research.result import BacktestResult
from alphintra.sdk.randomness import seed_globals
from alphintra.sdk.source import load_source
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.vectorised import Vectorised

TRADES_MAX: Final = 100
LOGS_MAX: Final = 200
LINE_LENGTH_MAX: Final = 1_000
#: What runs longer than this is not run again to find out whether it sees the future: that takes a
#: dozen runs, and the process has ten seconds.
_CHECKED_S: Final = 0.5
FIGURES: Final = ("total_return", "sharpe_ratio", "max_drawdown", "win_rate")
_COLUMNS: Final = ("open_ns", "close_ns", "open", "high", "low", "close", "volume")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Bars of a symbol, each column as bytes: int64 for times, float64 for the others."""

    symbol: str
    columns: dict[str, bytes]

    @classmethod
    def of(cls, bars: Bars) -> "Sample":
        """Return bars as they travel."""
        columns = {name: getattr(bars, name).tobytes() for name in _COLUMNS}
        return cls(symbol=bars.symbol, columns=columns)

    def bars(self) -> Bars:
        """Return what travelled as bars."""
        columns: dict[str, Any] = {
            name: np.frombuffer(body, np.int64 if name.endswith("_ns") else np.float64)
            for name, body in self.columns.items()
        }
        return Bars(self.symbol, **columns)


class DryJob(msgspec.Struct, frozen=True, kw_only=True):
    """A text, and the bars to run it over."""

    source: str
    parameters: dict[str, bool | int | float | str]
    samples: list[Sample]
    cash: float
    rate: float
    seed: int
    time_limit_s: float | None


def serve(channel: Channel) -> None:
    """Run one job; the answer is JSON."""
    body = channel.receive()
    if body is None:
        return
    job = msgspec.msgpack.decode(body, type=DryJob)
    seed_globals(job.seed)
    channel.send(msgspec.json.encode(report(job)))


def report(job: DryJob) -> dict[str, Any]:
    """Run a text and return what came of it, or what it failed of."""
    began_s = time.monotonic()
    try:
        strategy = load_source(job.source)
        series = [sample.bars() for sample in job.samples]
        result = backtest(
            strategy,
            series,
            cash=job.cash,
            costs=Costs(rate=job.rate),
            parameters=job.parameters,
            seed=job.seed,
            time_limit_s=job.time_limit_s,
        )
    except Problem as problem:
        line = problem.extra.get("line")
        return {
            "error": {
                "code": problem.code,
                "detail": problem.detail[:LINE_LENGTH_MAX],
                "line": line if isinstance(line, int) else None,
            }
        }
    told = _told(result)
    told["warnings"] = [*_nothing_ordered(result, series), *told["warnings"]]
    if time.monotonic() - began_s < _CHECKED_S:
        told["warnings"] = [*_future_seen(strategy, series, job), *told["warnings"]]
    return told


class _Nowhere(io.TextIOBase):
    """Takes text and keeps none of it."""

    def write(self, text: str) -> int:
        return len(text)


def _nothing_ordered(result: BacktestResult, series: Sequence[Bars]) -> list[str]:
    if len(result.orders) or result.warnings:
        return []
    return [f"it ordered nothing over {sum(map(len, series))} bars"]


def _future_seen(
    strategy: type[Strategy] | Vectorised, series: Sequence[Bars], job: DryJob
) -> list[str]:
    """Return in words whether a strategy that has run well sees the future, or chance."""
    try:
        with redirect_stdout(_Nowhere()):  # what it prints was printed by the run itself
            faults = check(
                strategy,
                series,
                cash=job.cash,
                parameters=job.parameters,
                seed=job.seed,
                time_limit_s=_CHECKED_S,
                faults_only=True,
            )
    except (
        Exception
    ):  # its own code may raise anything on parts of the data; of those it is not said
        return []
    return [f"{one.message}. {one.advice}"[:LINE_LENGTH_MAX] for one in faults if one.is_fault]


def _told(result: BacktestResult) -> dict[str, Any]:
    told = result.to_dict(series=False)
    trades = result.trades_as_dicts()
    return {
        "final_capital": result.final_capital,
        "total_trades": len(trades),
        "total_orders": len(result.orders),
        "figures": {name: told["metrics"].get(name) for name in FIGURES},
        "trades": [{"number": row, **one} for row, one in enumerate(trades[:TRADES_MAX])],
        "logs": [line[:LINE_LENGTH_MAX] for line in result.logs[:LOGS_MAX]],
        "warnings": [warning.message[:LINE_LENGTH_MAX] for warning in result.warnings],
    }


_FIRST = """
from alphintra.sdk import Bar, Strategy


class First(Strategy):
    def setup(self) -> None:
        self.line = self.indicator("SMA", timeperiod=3)

    def on_bar(self, bar: Bar) -> None:
        self.target_weight(float(bar.close > self.line.now))
"""


def warm_up() -> None:
    """Load the simulator's compiled code, once for all processes."""
    count = 30
    close = 100 + 10 * np.sin(np.arange(count))
    bars = Bars.of_length(
        "WARM",
        np.arange(count) * 86_400_000_000_000,
        86_400_000_000_000,
        open=close.round(2),
        high=close.round(2) + 1,
        low=close.round(2) - 1,
        close=close.round(2),
    )
    job = DryJob(
        source=_FIRST,
        parameters={},
        samples=[Sample.of(bars)],
        cash=10_000,
        rate=0.001,
        seed=0,
        time_limit_s=None,  # what is not compiled yet takes a while
    )
    told = report(job)
    assert told.get("total_trades"), told
