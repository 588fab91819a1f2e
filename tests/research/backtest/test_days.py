"""Bars of a day: what is told of them carries the date that they are labelled with."""

import numpy as np
import pytest

from alphintra.research.backtest import backtest
from alphintra.research.loading import dataset_reference, find_gaps
from alphintra.research.reports import json as report_json
from alphintra.research.result import OrderState, iso
from alphintra.sdk import Bar, Bars, Strategy, resampled
from tests.sdk.conftest import DAY_NS, MINUTE_NS, START_NS, walk


def days(*dates: str, prices: list[float]) -> Bars:
    """Return daily bars that open at one price and close at the next."""
    open_ns = np.array(dates, dtype="datetime64[ns]").astype(np.int64)
    price = np.array(prices)
    first, last = price[:-1], price[1:]
    return Bars.of_length(
        "X", open_ns, DAY_NS,
        open=first, high=np.maximum(first, last), low=np.minimum(first, last), close=last,
    )  # fmt: skip


class Hold(Strategy):
    """Buys when the first bar has closed."""

    def setup(self) -> None:
        self.held = False

    def on_bar(self, bar: Bar) -> None:
        if not self.held:
            self.held = True
            self.buy(100)


def test_the_last_session_of_a_month_counts_into_that_month() -> None:
    # 2024-01-31 is a Wednesday, 2024-02-29 a Thursday.
    bars = days(
        "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-29", "2024-03-01",
        prices=[100, 100, 110, 99, 121, 121],
    )  # fmt: skip
    told = backtest(Hold, bars, cash=10_000).metrics
    assert told["start_date"].startswith("2024-01-30T23:59:59")
    assert told["end_date"].startswith("2024-03-01T23:59:59")
    assert told["days"] == 5
    # Bought 100 at 100 on the 31st: 10,000 -> 11,000 | 9,900, 12,100 | 12,100.
    assert told["monthly_returns"] == pytest.approx(
        {"2024-01": 0.1, "2024-02": 12_100 / 11_000 - 1, "2024-03": 0.0}
    )


class Bracketed(Strategy):
    """Buys on the first day, and leaves with a limit."""

    def on_bar(self, bar: Bar) -> None:
        if self.position().is_flat and not self.open_orders():
            self.bracket(10, take_profit=105)


def test_a_trade_carries_the_dates_of_its_sessions() -> None:
    bars = days("2024-01-30", "2024-01-31", "2024-02-01", prices=[100, 100, 110, 110])
    (trade, *_) = backtest(Bracketed, bars).trades
    assert iso(int(trade["entry_ns"])) == "2024-01-31T00:00:00Z"
    assert iso(int(trade["exit_ns"])).startswith("2024-01-31T23:59:59")


def test_a_bar_of_a_day_is_one_of_a_day() -> None:
    bars = walk(count=20, step_ns=DAY_NS)
    assert bars.length_ns == DAY_NS
    assert dataset_reference(bars).timeframe == "1d"
    assert walk().close_ns[0] == START_NS + MINUTE_NS, "shorter ones touch"
    weeks = resampled(bars, "1w")
    assert dataset_reference(weeks).timeframe == "1w"
    assert weeks.close_ns[0] == bars.close_ns[6], "a week is known with its last day"


def test_timers_of_a_day_come_behind_the_bar_that_ends_it() -> None:
    told: list[str] = []

    class Timed(Strategy):
        def setup(self) -> None:
            self.every("1d")

        def on_timer(self, name: str) -> None:
            told.append(self.now.isoformat()[:10])

    backtest(Timed, walk(count=3, step_ns=DAY_NS))
    assert told == ["2024-01-01", "2024-01-02", "2024-01-03"]


@pytest.mark.parametrize(("limit", "state"), [(110, OrderState.FILLED), (90, OrderState.EXPIRED)])
def test_a_day_order_of_a_friday_lives_through_monday(limit: float, state: OrderState) -> None:
    class Once(Strategy):
        def on_bar(self, bar: Bar) -> None:
            if bar.time.day == 5:
                self.buy(1, limit=limit, lifetime="day")

    bars = days("2024-01-05", "2024-01-08", "2024-01-09", prices=[100, 101, 102, 80])
    (order,) = backtest(Once, bars).orders
    assert order["status"] == state


def test_closed_hours_are_no_gaps_and_a_gap_is_told_once() -> None:
    starts = START_NS + np.concatenate(
        [day * DAY_NS + np.arange(60) * MINUTE_NS for day in range(5)]
    )
    flat = np.full(len(starts), 100.0)
    columns = {"open": flat, "high": flat, "low": flat, "close": flat}
    assert find_gaps([Bars.of_length("X", starts, MINUTE_NS, **columns)]) == []

    starts[200:] += 7 * DAY_NS
    result = backtest(Hold, Bars.of_length("X", starts, MINUTE_NS, **columns))
    assert [one.code for one in result.warnings] == ["data_gaps"]
    assert report_json(result).count('"data_gaps"') == 1
