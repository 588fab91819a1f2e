"""The short way for vectorised strategies: many runs in one compiled call, figures only.

Its figures are those of a whole backtest, to the last bits; it is taken when nothing else is asked
for, and when the terms are simple enough.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.portfolio.sweep import SWEPT, Sweep, can_sweep
from alphintra.indicators import Memory, remembering
from alphintra.research.backtest import Market, last_prices, targets_of
from alphintra.research.metrics import day_ends, periods_per_year
from alphintra.research.search.trials import Measurement
from alphintra.sdk import Vectorised, parameters_of
from alphintra.sdk.parameters import resolved

Floats = NDArray[np.float64]

#: Runs whose weights are in memory together.
AT_ONCE: Final = 16
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

    def run(self, parameter_sets: Iterable[Mapping[str, Any]]) -> Iterator[Measurement]:
        """Yield how the strategy did with each set of parameters.

        Raises:
            Exception: what the strategy raises.
        """
        sets = iter(parameter_sets)
        while weights := [self.weights(chosen) for chosen in islice(sets, AT_ONCE)]:
            yield from self.measure(weights)

    def measure(self, weights: Sequence[Floats]) -> list[Measurement]:
        """Return how runs with these weights did."""
        returns = np.empty((len(weights), self._sweep.periods))
        swept = np.empty(len(weights), SWEPT)
        for row, one in enumerate(weights):  # one by one: together they would be copied
            swept[row] = self._sweep.targets(one[None], returns=returns[row : row + 1])[0]
        return [
            Measurement(metrics=figures, days=self._days, returns=row)
            for figures, row in zip(self._figures(swept, returns), returns, strict=True)
        ]

    def _figures(self, swept: NDArray[np.void], returns: Floats) -> list[dict[str, float | None]]:
        """Return the figures of each run: those of `research.metrics`, for all runs at once."""
        capital, year = self._capital, np.sqrt(self._per_year)
        final, trades, fall = swept["final_equity"], swept["trades"], swept["max_drawdown"]
        profit, loss = swept["gross_profit"], swept["gross_loss"]
        mean, deviation = returns.mean(axis=1), returns.std(axis=1, ddof=1)
        below = np.sqrt(np.mean(np.square(np.minimum(returns, 0.0)), axis=1))
        runs = np.ones(len(swept))
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(final >= 0.0, (final / capital) ** (1.0 / self._years) - 1.0, np.nan)
            columns: dict[str, Floats] = {
                "initial_capital": runs * capital,
                "final_capital": final,
                "net_profit": final - capital,
                "total_return": final / capital - 1.0,
                "cagr": rate,
                "volatility": deviation * year,
                "sharpe_ratio": mean / deviation * year,
                "sortino_ratio": mean / below * year,
                "calmar_ratio": np.where(fall < 0.0, rate / -fall, np.nan),
                "max_drawdown": fall,
                "total_trades": trades,
                "total_fills": swept["fills"],
                "winning_trades": swept["wins"],
                "win_rate": swept["wins"] / trades,
                "profit_factor": profit / loss,
                "expectancy": (profit - loss) / trades,
                "total_fees": swept["fees"],
                "exposure": swept["bars_held"] / len(self._market.tape),
                "days": runs * len(self._days),
                "rows": runs * len(self._market.tape),
            }
        table = np.array(list(columns.values())).T
        known = np.isfinite(table)
        return [
            {
                name: value if is_known else None
                for name, value, is_known in zip(columns, values, are_known, strict=True)
            }
            for values, are_known in zip(table.tolist(), known.tolist(), strict=True)
        ]
