"""The short way for vectorised strategies: many runs in one compiled call, figures only.

Its figures are those of a whole backtest, to the last bits; it is taken when nothing else is asked
for, and when the terms are simple enough.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.portfolio.sweep import Sweep, can_sweep
from alphintra.indicators import Memory, remembering
from alphintra.research.backtest import Market, last_prices, targets_of
from alphintra.research.metrics import (
    annual_volatility,
    day_ends,
    periods_per_year,
    sharpe_ratio,
    sortino_ratio,
)
from alphintra.research.search.trials import Measurement
from alphintra.sdk import Vectorised, parameters_of
from alphintra.sdk.parameters import resolved

Floats = NDArray[np.float64]

#: All figures that it knows.
FIGURES: Final = frozenset(
    {
        "initial_capital", "final_capital", "net_profit", "total_return", "cagr", "volatility",
        "sharpe_ratio", "sortino_ratio", "calmar_ratio", "max_drawdown", "total_trades",
        "total_fills", "winning_trades", "win_rate", "profit_factor", "expectancy", "total_fees",
        "exposure", "days", "rows",
    }
)  # fmt: skip


class Sweeper:
    """Prepared data of one symbol, for many sets of parameters."""

    def __init__(self, strategy: Vectorised, market: Market) -> None:
        self._strategy = strategy
        self._market = market
        self._bars = market.bars
        self._memory = Memory()
        times = market.tape.close_ns
        self._days, rows = day_ends(times)
        ends = np.zeros(len(times), np.bool_)
        ends[rows] = True
        self._sweep = Sweep(
            market.tape,
            market.terms[0],
            market.account,
            ends=ends,
            last_price=float(last_prices(market)[0]),
        )
        self._capital = float(sum(market.account.cash.values()))
        self._per_year = periods_per_year(self._days)
        self._years = (int(self._days[-1]) - int(self._days[0]) + 1) / 365.25

    @staticmethod
    def can(strategy: Any, market: Market) -> bool:
        """Whether the short way gives what a whole backtest would."""
        return isinstance(strategy, Vectorised) and can_sweep(
            market.tape, market.terms[0], market.account
        )

    def weights(self, parameters: Mapping[str, Any]) -> Floats:
        """Return the target weights of a run, shape (rows,).

        Raises:
            Exception: what the strategy raises.
        """
        declared = parameters_of(self._strategy)
        chosen = resolved(declared, parameters, strategy=self._strategy.__name__)
        with remembering(self._memory):
            return targets_of(self._market, self._strategy.weights(self._bars, chosen))

    def measure(self, weights: Sequence[Floats]) -> list[Measurement]:
        """Return how runs with these weights did."""
        returns = np.empty((len(weights), self._sweep.periods))
        swept = self._sweep.targets(np.array(weights), returns=returns)
        return [
            Measurement(metrics=self._figures(one, row), days=self._days, returns=row)
            for one, row in zip(swept, returns, strict=True)
        ]

    def _figures(self, one: Any, returns: Floats) -> dict[str, float | None]:
        capital, final, trades = self._capital, float(one["final_equity"]), int(one["trades"])
        growth = final / capital
        rate = growth ** (1.0 / self._years) - 1.0 if growth >= 0.0 else np.nan
        fall, rows = float(one["max_drawdown"]), len(self._market.tape)
        profit, loss = float(one["gross_profit"]), float(one["gross_loss"])
        figures = {
            "initial_capital": capital,
            "final_capital": final,
            "net_profit": final - capital,
            "total_return": growth - 1.0,
            "cagr": rate,
            "volatility": annual_volatility(returns, self._per_year),
            "sharpe_ratio": sharpe_ratio(returns, self._per_year),
            "sortino_ratio": sortino_ratio(returns, self._per_year),
            "calmar_ratio": rate / -fall if fall < 0.0 else np.nan,
            "max_drawdown": fall,
            "total_trades": trades,
            "total_fills": int(one["fills"]),
            "winning_trades": int(one["wins"]),
            "win_rate": int(one["wins"]) / trades if trades else np.nan,
            "profit_factor": profit / loss if loss > 0.0 else np.nan,
            "expectancy": (profit - loss) / trades if trades else np.nan,
            "total_fees": float(one["fees"]),
            "exposure": int(one["bars_held"]) / rows,
            "days": len(self._days),
            "rows": rows,
        }
        return {
            name: float(value) if np.isfinite(value) else None for name, value in figures.items()
        }
