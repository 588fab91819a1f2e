"""Figures of a run's round trips and fills.

`trades`, `fills` and `orders` are the structured arrays of `research.result`. A trade that made
exactly nothing is a draw: neither won nor lost.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphintra.research.metrics.calendar import YEAR_NS

Floats = NDArray[np.float64]
Rows = NDArray[np.void]


def trade_figures(trades: Rows) -> dict[str, float]:
    """Return what the round trips have in common; NaN where there is nothing to say.

    Money is in the account's currency, returns are fractions of the entry value, durations seconds.
    """
    pnl: Floats = trades["pnl"]
    returns: Floats = trades["return"]
    won, lost = pnl > 0.0, pnl < 0.0
    gained, given = float(pnl[won].sum()), -float(pnl[lost].sum())
    durations = (trades["exit_ns"] - trades["entry_ns"]) / 1e9
    deviation = float(np.std(pnl, ddof=1)) if len(pnl) > 1 else np.nan
    average_win, average_loss = _mean(pnl[won]), _mean(pnl[lost])
    return {
        "winning_trades": int(won.sum()),
        "losing_trades": int(lost.sum()),
        "drawn_trades": int(len(pnl) - won.sum() - lost.sum()),
        "open_trades": int(trades["open_at_end"].sum()),
        "win_rate": _mean(won),
        "profit_factor": gained / given if given > 0.0 else np.nan,
        "expectancy": _mean(pnl),
        "expectancy_ratio": _mean(returns),
        "average_win": average_win,
        "average_loss": average_loss,
        "payoff_ratio": average_win / -average_loss if average_loss < 0.0 else np.nan,
        "best_trade": _extreme(np.max, pnl),
        "worst_trade": _extreme(np.min, pnl),
        "best_trade_return": _extreme(np.max, returns),
        "worst_trade_return": _extreme(np.min, returns),
        "average_trade_return": _mean(returns),
        "system_quality_number": (
            _mean(pnl) / deviation * float(np.sqrt(len(pnl))) if deviation > 0.0 else np.nan
        ),
        "max_consecutive_wins": _longest_run(won),
        "max_consecutive_losses": _longest_run(lost),
        "average_consecutive_wins": _average_run(won),
        "average_consecutive_losses": _average_run(lost),
        "average_duration_s": _mean(durations),
        "average_duration_winners_s": _mean(durations[won]),
        "average_duration_losers_s": _mean(durations[lost]),
        "average_bars": _mean(trades["bars"]),
        "average_mae": _mean(trades["mae"]),
        "average_mfe": _mean(trades["mfe"]),
    }


def cost_figures(fills: Rows, *, mean_equity: float, span_ns: int) -> dict[str, float]:
    """Return what was traded and what it cost.

    `turnover` is half of all that was bought and sold, over the mean equity, per year: 1 means
    that the whole account was exchanged once a year.
    """
    volume = float(np.sum(np.abs(fills["quantity"] * fills["price"])))
    fees, slippage = float(fills["fee"].sum()), float(np.nansum(fills["slippage"]))
    years = span_ns / YEAR_NS
    return {
        "traded_value": volume,
        "total_fees": fees,
        "total_slippage": slippage,
        "cost_ratio": (fees + slippage) / volume if volume > 0.0 else np.nan,
        "turnover": volume / 2.0 / mean_equity / years if mean_equity * years > 0.0 else np.nan,
    }


def breakdown(trades: Rows, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row of figures per label, the most profitable first.

    Args:
        labels: the group of each trade.
    """
    names, groups = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
    rows = []
    for number, name in enumerate(names.tolist()):
        group = trades[groups == number]
        figures = trade_figures(group)
        rows.append(
            {
                "label": name,
                "trades": len(group),
                "win_rate": figures["win_rate"],
                "pnl": float(group["pnl"].sum()),
                "expectancy": figures["expectancy"],
                "profit_factor": figures["profit_factor"],
                "average_return": figures["average_trade_return"],
                "fees": float(group["fees"].sum()),
            }
        )
    return sorted(rows, key=lambda row: -float(row["pnl"]))


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else np.nan


def _extreme(pick: Callable[[Floats], Any], values: Floats) -> float:
    return float(pick(values)) if len(values) else np.nan


def _runs(hits: NDArray[np.bool_]) -> NDArray[np.int64]:
    edges = np.diff(hits.astype(np.int8), prepend=np.int8(0), append=np.int8(0))
    lengths: NDArray[np.int64] = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return lengths


def _longest_run(hits: NDArray[np.bool_]) -> int:
    return int(_runs(hits).max(initial=0))


def _average_run(hits: NDArray[np.bool_]) -> float:
    return _mean(_runs(hits))
