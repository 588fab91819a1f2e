"""What the worker tells the process that computes, and what it answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol of a dataset's file."""

    path: str
    symbol: str


class _Run(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    #: A name of the library; beside a source what the strategy is called.
    strategy: str
    #: A user's Python, of this version of this strategy. Runs in the sandbox only.
    source: str | None = None
    #: The graph that the source means, where it was made of blocks.
    blocks: dict[str, Any] | None = None
    strategy_id: str = ""
    strategy_version: int = 0
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

    def data(self, files: Mapping[str, int] | None = None) -> list[Any]:
        """Return the series.

        Args:
            files: by path, what somebody else has opened; None: they are opened here.
        """
        from alphintra.market.datasets import OpenFile, read_series

        return [
            read_series(
                Path(one.path) if files is None else OpenFile(files[one.path], one.path), one.symbol
            )
            for one in self.sources
        ]

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
    """Run a strategy once."""


class OptimizeJob(_Run, frozen=True, kw_only=True, tag="OPTIMIZATION"):
    """Search for the parameters of a strategy."""

    search: dict[str, Any]
    method: str
    objective: list[str]
    trials: int | None
    rules: list[str]
    minimum_trades: int


Job = BacktestJob | OptimizeJob


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How far a run is, from 0 to 1."""

    share: float
    remaining_s: float | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. A refusal is an outcome: trying again would change nothing."""

    status: Literal["SUCCEEDED", "FAILED", "CANCELED"]
    #: Of the result, as whoever keeps it has found it to be.
    sha256: str | None = None
    summary: dict[str, Any] | None = None
    code: str | None = None
    detail: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The last word: how it ended, and how long the result is that lies in the lent memory."""

    outcome: Outcome
    result_bytes: int
