"""What the worker tells the process that computes, and what it answers."""

from pathlib import Path
from typing import Any, Literal

import msgspec


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol of a dataset's file."""

    path: str
    symbol: str


class _Run(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    strategy: str
    sources: list[Source]
    #: By symbol, where it does not trade round the clock: when its sessions open and close.
    sessions: dict[str, list[tuple[int, int]]]
    parameters: dict[str, bool | int | float | str]
    cash: float
    costs: dict[str, float]
    account: dict[str, float | bool]
    start: str | None
    end: str | None
    seed: int
    time_limit_s: float

    def data(self) -> list[Any]:
        """Return the series."""
        from alphintra.market.datasets import read_series

        return [read_series(Path(one.path), one.symbol) for one in self.sources]

    def arguments(self) -> dict[str, Any]:
        """Return what `backtest` and `optimise` both take."""
        import numpy as np

        from alphintra.engine.portfolio import AccountTerms, Costs

        costs: dict[str, Any] = dict(self.costs)
        if "slippage_ticks" in costs:
            costs["slippage_ticks"] = int(costs["slippage_ticks"])
        account: dict[str, Any] = dict(self.account)
        if "latency_ms" in account:
            account["latency_ns"] = round(account.pop("latency_ms") * 1e6)
        return {
            "cash": self.cash,
            "costs": Costs(**costs),
            "account": AccountTerms(**account),
            "calendar": {
                symbol: np.array(times, np.int64).reshape(-1, 2)
                for symbol, times in self.sessions.items()
            },
            "start": self.start,
            "end": self.end,
            "seed": self.seed,
        }


class BacktestJob(_Run, frozen=True, kw_only=True, tag="BACKTEST"):
    """Run a strategy of the library once."""


class OptimizeJob(_Run, frozen=True, kw_only=True, tag="OPTIMIZATION"):
    """Search for the parameters of a strategy of the library."""

    search: dict[str, Any]
    method: str
    objective: list[str]
    trials: int | None
    rules: list[str]
    minimum_trades: int


Job = BacktestJob | OptimizeJob


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is, from 0 to 1."""

    share: float
    remaining_s: float | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. A refusal is an outcome: trying again would change nothing."""

    status: Literal["SUCCEEDED", "FAILED", "CANCELED"]
    sha256: str | None = None
    summary: dict[str, Any] | None = None
    code: str | None = None
    detail: str | None = None
