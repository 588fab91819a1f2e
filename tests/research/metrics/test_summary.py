"""The summary of a run: its calendar, its drawdowns, its trades, and that JSON can carry it."""

import json
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from alphintra.research import metrics
from alphintra.research.result import BacktestResult
from tests.research.realistic import DAY_NS, START_NS, make_result

#: SPEC's and the report's names: programs read them.
NAMES = {
    "alpha", "average_duration_losers_s", "average_duration_winners_s", "benchmark_return",
    "best_trade", "beta", "cagr", "calmar_ratio", "conditional_value_at_risk", "drawdowns",
    "end_date", "expectancy", "exposure", "final_capital", "information_ratio", "initial_capital",
    "kurtosis", "max_consecutive_losses", "max_consecutive_wins", "max_drawdown",
    "max_drawdown_duration_s", "monthly_returns", "omega_ratio", "open_trades", "p_value",
    "payoff_ratio", "probabilistic_sharpe_ratio", "profit_factor", "r_squared", "rejected_orders",
    "sharpe_ratio", "sides", "skew", "sortino_ratio", "start_date", "system_quality_number",
    "total_fees", "total_return", "total_slippage", "total_trades", "turnover", "ulcer_index",
    "value_at_risk", "volatility", "win_rate", "worst_trade", "yearly_returns",
}  # fmt: skip


def _days(text: str, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.datetime64(text).astype(np.int64) + np.arange(count)


def test_a_summary_has_all_names_and_is_valid_json() -> None:
    figures = metrics.summarise(make_result())
    assert set(figures) >= NAMES
    json.dumps(figures, allow_nan=False)


def test_figures_come_from_the_equity() -> None:
    result = make_result()
    figures = metrics.summarise(result)
    assert figures["final_capital"] == result.equity[-1]
    assert figures["total_return"] == pytest.approx(result.equity[-1] / 100_000.0 - 1.0)
    daily = np.diff(np.concatenate(([100_000.0], result.equity)))
    daily /= np.concatenate(([100_000.0], result.equity[:-1]))
    assert figures["sharpe_ratio"] == pytest.approx(
        daily.mean() / daily.std(ddof=1) * np.sqrt(252.0)
    )
    years = (result.ts_ns[-1] - result.ts_ns[0] + DAY_NS) / DAY_NS / 365.25
    assert figures["cagr"] == pytest.approx((1.0 + figures["total_return"]) ** (1.0 / years) - 1.0)
    assert figures["calmar_ratio"] == pytest.approx(figures["cagr"] / -figures["max_drawdown"])
    assert figures["total_fees"] == pytest.approx(result.fills["fee"].sum())
    assert figures["total_trades"] == len(result.trades)
    closed = result.trades["pnl"].sum()
    assert figures["net_profit"] == pytest.approx(closed)
    won = result.trades["pnl"] > 0
    assert figures["win_rate"] == pytest.approx(won.mean())
    assert figures["profit_factor"] == pytest.approx(
        result.trades["pnl"][won].sum() / -result.trades["pnl"][~won].sum()
    )


def test_minutes_and_days_of_one_curve_have_one_sharpe_ratio() -> None:
    day = make_result(count=60)
    # The same closes, with flat minutes before each.
    ts_ns = np.repeat(day.ts_ns, 3) - np.tile([7_200_000_000_000, 3_600_000_000_000, 0], 60)
    series: dict[str, Any] = {
        name: np.repeat(getattr(day, name), 3)
        for name in ("equity", "cash", "exposure", "benchmark")
    }
    fine = replace(day, ts_ns=ts_ns, **series)
    for name in ("sharpe_ratio", "sortino_ratio", "volatility", "beta", "monthly_returns"):
        assert metrics.summarise(fine)[name] == pytest.approx(metrics.summarise(day)[name])


def test_a_run_without_rows_and_trades_has_no_figures_but_no_error() -> None:
    result = make_result()
    nothing = replace(
        result,
        **{name: getattr(result, name)[:0] for name in (
            "ts_ns", "equity", "cash", "exposure", "benchmark", "fills", "orders", "trades")},
        prices={},
    )  # fmt: skip
    figures = metrics.summarise(nothing)
    json.dumps(figures, allow_nan=False)
    assert figures["sharpe_ratio"] is None
    assert figures["total_trades"] == 0
    assert figures["final_capital"] == figures["initial_capital"]


def test_a_flat_run_has_no_ratio_to_a_risk_that_it_did_not_take() -> None:
    result = make_result()
    flat = replace(result, equity=np.full(len(result.equity), 100_000.0))
    figures = metrics.summarise(flat)
    assert figures["sharpe_ratio"] is None
    assert figures["calmar_ratio"] is None
    assert figures["max_drawdown"] == 0.0
    assert figures["drawdowns"] == []


@pytest.mark.parametrize(
    ("days", "per_year"),
    [
        (_days("2024-01-01", 400), 365.0),  # trades at weekends
        (_days("2024-01-01", 400)[metrics.weekday_of(_days("2024-01-01", 400)) < 5], 252.0),
        (_days("2024-01-01", 400)[::7], 52.0),
        (_days("2020-01-01", 2000)[::30], 12.0),
        (_days("2000-01-01", 9000)[::91], 4.0),
        (_days("2000-01-01", 9000)[::365], 1.0),
        (_days("2024-01-01", 2), 252.0),
    ],
)
def test_the_data_says_how_many_observations_make_a_year(
    days: np.ndarray[Any, np.dtype[np.int64]], per_year: float
) -> None:
    assert metrics.periods_per_year(days) == per_year


def test_a_bar_that_closes_at_midnight_belongs_to_the_day_that_ends() -> None:
    midnight = np.array([START_NS], dtype=np.int64)
    assert metrics.day_of(midnight)[0] == START_NS // DAY_NS - 1
    assert metrics.day_of(midnight + 1)[0] == START_NS // DAY_NS


def test_sunday_evening_belongs_to_monday_where_saturdays_are_closed() -> None:
    sunday = np.datetime64("2024-03-03").astype(np.int64)  # a Sunday
    hours = (np.array([22, 30, 46, 54]) * 3_600_000_000_000) + sunday * DAY_NS
    days, rows = metrics.day_ends(hours)
    assert days.tolist() == [sunday + 1, sunday + 2]
    assert rows.tolist() == [2, 3]


def test_weekdays_and_months_are_those_of_the_calendar() -> None:
    days = _days("1999-11-20", 4000)
    dates = days.astype("datetime64[D]").tolist()
    assert metrics.weekday_of(days).tolist() == [date.weekday() for date in dates]
    months = metrics.period_of(days, metrics.Period.MONTH).tolist()
    assert months == [date.year * 12 + date.month - 1 for date in dates]


def _curve(*equity: float) -> tuple[Any, Any, Any]:
    values = np.array(equity)
    ts_ns = START_NS + np.arange(len(values), dtype=np.int64) * DAY_NS
    return ts_ns, values, metrics.underwater(values, 100.0)


def test_drawdowns_run_from_peak_to_recovery_deepest_first() -> None:
    ts_ns, equity, below = _curve(100, 110, 99, 104.5, 110, 120, 60, 90)
    falls = metrics.worst_drawdowns(ts_ns, equity, below, initial=100.0)
    deepest, other = falls
    assert deepest.depth == pytest.approx(-0.5)
    assert deepest.amount == pytest.approx(-60.0)
    assert deepest.recovery_ns is None
    assert deepest.peak_ns == ts_ns[5]
    assert deepest.trough_ns == ts_ns[6]
    assert other.depth == pytest.approx(-0.1)
    assert (other.peak_ns, other.trough_ns, other.recovery_ns) == (ts_ns[1], ts_ns[2], ts_ns[4])
    assert other.duration_ns == 3 * DAY_NS
    assert other.recovery_duration_ns == 2 * DAY_NS
    assert metrics.longest_drawdown_ns(ts_ns, below) == 3 * DAY_NS


def test_a_fall_from_the_initial_capital_is_a_drawdown() -> None:
    ts_ns, equity, below = _curve(90, 95, 101)
    (fall,) = metrics.worst_drawdowns(ts_ns, equity, below, initial=100.0)
    assert fall.depth == pytest.approx(-0.1)
    assert fall.amount == pytest.approx(-10.0)
    assert fall.recovery_ns == ts_ns[2]


def test_groups_of_trades_add_up_to_all(result: BacktestResult) -> None:
    labels = [result.symbols[row] for row in result.trades["symbol"]]
    groups = metrics.breakdown(result.trades, labels)
    assert sum(row["trades"] for row in groups) == len(result.trades)
    assert sum(row["pnl"] for row in groups) == pytest.approx(result.trades["pnl"].sum())
    assert [row["pnl"] for row in groups] == sorted((row["pnl"] for row in groups), reverse=True)


@pytest.fixture
def result() -> BacktestResult:
    return make_result(symbols=("ACME", "BOLT", "CRUX"))


def test_runs_of_wins_and_losses_are_counted(result: BacktestResult) -> None:
    trades = result.trades[:8].copy()
    trades["pnl"] = [1, 2, -1, 3, -1, -1, -1, 0]
    figures = metrics.trade_figures(trades)
    assert figures["max_consecutive_wins"] == 2
    assert figures["max_consecutive_losses"] == 3
    assert figures["average_consecutive_wins"] == pytest.approx(1.5)
    assert figures["average_consecutive_losses"] == pytest.approx(2.0)
    assert figures["drawn_trades"] == 1
    assert figures["payoff_ratio"] == pytest.approx(2.0)


def test_a_million_rows_are_summarised_at_once() -> None:
    million = make_result(count=1_000_000, step_ns=DAY_NS // 1440, swing=0.0005)
    took = []
    for _ in range(3):
        start = perf_counter()
        metrics.summarise(million)
        took.append(perf_counter() - start)
    # A tenth of a second on a quiet machine; a test must pass on a busy one too.
    assert min(took) < 0.5
