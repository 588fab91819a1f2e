"""All figures of one run under one name each, ready for JSON."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research import statistics
from alphintra.research.metrics import calendar, relative, returns, trading
from alphintra.research.metrics.calendar import Period
from alphintra.research.metrics.drawdowns import Drawdown, longest_drawdown_ns, worst_drawdowns
from alphintra.research.result import BacktestResult, OrderState, iso

Floats = NDArray[np.float64]

#: The tail that value at risk looks at.
_TAIL: Final = 0.05

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def summarise(result: BacktestResult) -> dict[str, Any]:
    """Return every figure of a run; None where one is not defined.

    Ratios come from daily returns, so that a run on minutes and one on days can be compared; the
    first day is measured against the initial capital. Drawdowns, exposure and the extremes of the
    equity come from every row. Returns are fractions, rates per year, durations seconds, times ISO
    8601 in UTC. Nothing here is NaN or infinite.

    Raises:
        Nothing for a run without rows or trades: its figures are None.
    """
    # A ruined account divides by zero; what comes of it is None in the end.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        figures = _figures(result)
    return {name: _plain(value) for name, value in figures.items()}


def _figures(result: BacktestResult) -> dict[str, Any]:
    days, returns_, benchmark = daily_returns(result)
    figures: dict[str, Any] = _period(result, days)
    figures |= _growth(result, days, returns_)
    per_year = figures["periods_per_year"]
    figures |= _ratios(returns_, per_year)
    figures |= _falls(result, figures)
    figures |= _against_benchmark(result, days, returns_, benchmark, per_year)
    figures |= _significance(returns_)
    figures |= _trading(result)
    figures |= _calendar_tables(days, returns_)
    return figures


def daily_returns(result: BacktestResult) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return `(days, returns, benchmark's returns)` of the days that have a row, shape (D,) each.

    The first day is measured against the initial capital.
    """
    days, rows = calendar.day_ends(result.ts_ns)
    mine, theirs = (
        _from_start(result, values[rows]) for values in (result.equity, result.benchmark)
    )
    return days, mine, theirs


def _from_start(result: BacktestResult, closes: Floats) -> Floats:
    return returns.simple_returns(np.concatenate(([result.initial_capital], closes)))


def _period(result: BacktestResult, days: NDArray[np.int64]) -> dict[str, Any]:
    rows = len(result.ts_ns)
    span_ns = int(result.ts_ns[-1] - result.ts_ns[0]) if rows else 0
    return {
        "start_date": iso(int(result.ts_ns[0])) if rows else None,
        "end_date": iso(int(result.ts_ns[-1])) if rows else None,
        "duration_s": span_ns / 1e9,
        "rows": rows,
        "days": len(days),
        "periods_per_year": calendar.periods_per_year(days),
    }


def _growth(result: BacktestResult, days: NDArray[np.int64], daily_: Floats) -> dict[str, Any]:
    initial, equity = result.initial_capital, result.equity
    final = float(equity[-1]) if len(equity) else initial
    growth = final / initial
    # The days themselves, not their number: a year is a year, whether its data has gaps or not.
    years = (int(days[-1]) - int(days[0]) + 1) / 365.25 if len(days) else 0.0
    with np.errstate(over="ignore"):
        rate = np.float64(growth) ** (1.0 / years) - 1.0 if years and growth >= 0.0 else np.nan
    best, worst = (float(daily_.max()), float(daily_.min())) if len(daily_) else (np.nan, np.nan)
    return {
        "initial_capital": initial,
        "final_capital": final,
        "net_profit": final - initial,
        "peak_capital": float(equity.max()) if len(equity) else initial,
        "lowest_capital": float(equity.min()) if len(equity) else initial,
        "total_return": growth - 1.0,
        "cagr": rate,
        "best_day": best,
        "worst_day": worst,
        "positive_days": float(np.mean(daily_ > 0.0)) if len(daily_) else np.nan,
    }


def _ratios(daily_: Floats, per_year: float) -> dict[str, Any]:
    return {
        "sharpe_ratio": returns.sharpe_ratio(daily_, per_year),
        "sortino_ratio": returns.sortino_ratio(daily_, per_year),
        "omega_ratio": returns.omega_ratio(daily_, per_year),
        "volatility": returns.annual_volatility(daily_, per_year),
        "downside_risk": returns.downside_risk(daily_, per_year),
        "skew": returns.skewness(daily_),
        "kurtosis": returns.kurtosis(daily_),
        "tail_ratio": returns.tail_ratio(daily_),
        "stability": returns.stability(daily_),
        "value_at_risk": returns.value_at_risk(daily_, _TAIL),
        "conditional_value_at_risk": returns.conditional_value_at_risk(daily_, _TAIL),
    }


def _falls(result: BacktestResult, growth: dict[str, Any]) -> dict[str, Any]:
    ts_ns, equity, initial = result.ts_ns, result.equity, result.initial_capital
    below = returns.underwater(equity, initial)
    deepest = float(below.min()) if len(below) else np.nan
    falls = worst_drawdowns(ts_ns, equity, below, initial=initial)
    amount = returns.largest_fall(equity, initial)
    return {
        "max_drawdown": deepest,
        "max_drawdown_amount": amount,
        "max_drawdown_duration_s": longest_drawdown_ns(ts_ns, below) / 1e9,
        "average_drawdown": float(below.mean()) if len(below) else np.nan,
        "ulcer_index": returns.ulcer_index(below),
        "calmar_ratio": growth["cagr"] / -deepest if deepest < 0.0 else np.nan,
        "recovery_factor": growth["net_profit"] / -amount if amount < 0.0 else np.nan,
        "drawdowns": [_fall(fall) for fall in falls],
    }


def _fall(fall: Drawdown) -> dict[str, Any]:
    recovery_s = fall.recovery_duration_ns
    return {
        "peak": iso(fall.peak_ns),
        "trough": iso(fall.trough_ns),
        "recovery": iso(fall.recovery_ns) if fall.recovery_ns is not None else None,
        "depth": fall.depth,
        "amount": fall.amount,
        "duration_s": fall.duration_ns / 1e9,
        "recovery_duration_s": recovery_s / 1e9 if recovery_s is not None else None,
    }


def _against_benchmark(
    result: BacktestResult,
    days: NDArray[np.int64],
    daily_: Floats,
    benchmark: Floats,
    per_year: float,
) -> dict[str, Any]:
    known = bool(len(benchmark)) and bool(np.isfinite(benchmark).any())
    if not known:
        benchmark = np.full_like(daily_, np.nan)
    last = float(result.benchmark[-1]) if len(result.benchmark) else np.nan
    below = returns.underwater(result.benchmark, result.initial_capital)
    # By month, as funds are compared: a year of nothing but good days is no year.
    _, monthly = calendar.aggregate_returns(days, daily_, Period.MONTH)
    _, theirs = calendar.aggregate_returns(days, benchmark, Period.MONTH)
    return {
        "benchmark_return": last / result.initial_capital - 1.0,
        "benchmark_max_drawdown": float(below.min()) if len(below) else np.nan,
        "benchmark_sharpe_ratio": returns.sharpe_ratio(benchmark, per_year),
        "benchmark_volatility": returns.annual_volatility(benchmark, per_year),
        "alpha": relative.alpha(daily_, benchmark, per_year),
        "beta": relative.beta(daily_, benchmark),
        "r_squared": relative.r_squared(daily_, benchmark),
        "information_ratio": relative.information_ratio(daily_, benchmark, per_year),
        "tracking_error": relative.tracking_error(daily_, benchmark, per_year),
        "up_capture": relative.up_capture(monthly, theirs, 12.0),
        "down_capture": relative.down_capture(monthly, theirs, 12.0),
    }


def _significance(daily_: Floats) -> dict[str, Any]:
    return {
        "probabilistic_sharpe_ratio": statistics.probabilistic_sharpe_ratio(daily_),
        "minimum_track_record_days": statistics.minimum_track_record_length(daily_),
        "p_value": statistics.p_value_of_mean(daily_),
    }


def _trading(result: BacktestResult) -> dict[str, Any]:
    span_ns = int(result.ts_ns[-1] - result.ts_ns[0]) if len(result.ts_ns) else 0
    mean_equity = float(np.mean(result.equity)) if len(result.equity) else 0.0
    held = result.exposure > 0.0
    status = result.orders["status"]
    return {
        "total_trades": len(result.trades),
        "trades_per_day": len(result.trades) / (span_ns / calendar.DAY_NS) if span_ns else np.nan,
        "total_orders": len(result.orders),
        "total_fills": len(result.fills),
        "rejected_orders": int(np.sum(status == OrderState.REJECTED)),
        "expired_orders": int(np.sum(status == OrderState.EXPIRED)),
        "canceled_orders": int(np.sum(status == OrderState.CANCELED)),
        "exposure": float(np.mean(held)) if len(held) else np.nan,
        "average_leverage": float(np.mean(result.exposure)) if len(held) else np.nan,
        "max_leverage": float(np.max(result.exposure)) if len(held) else np.nan,
        **trading.trade_figures(result.trades),
        **trading.cost_figures(result.fills, mean_equity=mean_equity, span_ns=span_ns),
        "sides": {
            name: {
                "trades": len(rows),
                "win_rate": _plain(trading.trade_figures(rows)["win_rate"]),
                "pnl": float(rows["pnl"].sum()),
            }
            for name, rows in (
                ("long", result.trades[result.trades["side"] > 0]),
                ("short", result.trades[result.trades["side"] < 0]),
            )
        },
    }


def _calendar_tables(days: NDArray[np.int64], daily_: Floats) -> dict[str, Any]:
    months, monthly = calendar.aggregate_returns(days, daily_, Period.MONTH)
    years, yearly = calendar.aggregate_returns(days, daily_, Period.YEAR)
    weekdays = calendar.weekday_of(days)
    return {
        "monthly_returns": {
            f"{month // 12}-{month % 12 + 1:02}": _plain(float(value))
            for month, value in zip(months.tolist(), monthly, strict=True)
        },
        "yearly_returns": {
            str(year): _plain(float(value))
            for year, value in zip(years.tolist(), yearly, strict=True)
        },
        "weekday_returns": {
            _WEEKDAYS[weekday]: _plain(float(np.mean(daily_[weekdays == weekday])))
            for weekday in range(7)
            if (weekdays == weekday).any()
        },
        "best_month": float(monthly.max()) if len(monthly) else np.nan,
        "worst_month": float(monthly.min()) if len(monthly) else np.nan,
        "positive_months": float(np.mean(monthly > 0.0)) if len(monthly) else np.nan,
    }


def _plain(value: Any) -> Any:
    """Return a number as JSON knows it: None for NaN and infinity."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
