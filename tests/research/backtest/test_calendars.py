"""The sessions of exchanges in backtests: day orders end with them, half days included."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from alphintra.engine.portfolio import BadTerms, Sessions
from alphintra.engine.series import Times
from alphintra.market.errors import UnknownCalendar
from alphintra.research import calendars
from alphintra.research.backtest import backtest, prepare
from alphintra.research.calendars import CalendarOf, CalendarOfNothing
from alphintra.research.result import BacktestResult, OrderState
from alphintra.research.search import optimise
from alphintra.sdk import Bar, Bars, Strategy, param

HOUR_NS = 3_600_000_000_000


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def hours(first: str, last: str) -> Bars:
    """Return hourly bars round the clock at a price of 100."""
    open_ns = np.arange(ns(first), ns(last), HOUR_NS)
    flat = np.full(len(open_ns), 100.0)
    return Bars.of_length("X", open_ns, HOUR_NS, open=flat, high=flat, low=flat, close=flat)


class BuyLow(Strategy):
    """Gives a day order that cannot fill whenever none is there."""

    def on_bar(self, bar: Bar) -> None:
        if not self.open_orders():
            self.buy(1, limit=1.0, lifetime="day")


def ends(result: BacktestResult) -> list[str]:
    """Return when the orders expired, to the minute."""
    orders = result.orders[result.orders["status"] == OrderState.EXPIRED]
    return [f"{datetime.fromtimestamp(at / 1e9, UTC):%Y-%m-%dT%H:%M}" for at in orders["closed_ns"]]


def test_a_day_order_ends_with_the_session_also_of_half_a_day() -> None:
    # 2024-07-03 closes at 13:00 in New York (17:00 UTC), the 4th is a holiday, the 5th is whole.
    result = backtest(BuyLow, hours("2024-07-02", "2024-07-06"), calendar="XNYS")
    assert ends(result) == ["2024-07-02T20:00", "2024-07-03T17:00", "2024-07-05T20:00"]
    assert ends(backtest(BuyLow, hours("2024-07-02", "2024-07-06"))) == [
        "2024-07-03T00:00", "2024-07-04T00:00", "2024-07-05T00:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "calendar",
    ["XNYS", {"X": "XNYS"}, np.array([[ns("2024-07-02T13:30"), ns("2024-07-02T20:00")]])],
    ids=["one", "by symbol", "sessions"],
)
def test_a_calendar_can_be_given_in_several_ways(calendar: CalendarOf) -> None:
    result = backtest(BuyLow, hours("2024-07-02", "2024-07-03T04"), calendar=calendar)
    assert ends(result) == ["2024-07-02T20:00"]


def test_what_is_no_calendar_is_refused() -> None:
    bars = hours("2024-07-02", "2024-07-03")
    with pytest.raises(UnknownCalendar, match="XNOWHERE"):
        backtest(BuyLow, bars, calendar="XNOWHERE")
    with pytest.raises(CalendarOfNothing, match="no data of Y"):
        backtest(BuyLow, bars, calendar={"Y": "XNYS"})
    with pytest.raises(BadTerms, match="closes after it opened"):
        backtest(BuyLow, bars, calendar=np.array([[5, 3]]))
    assert prepare([bars], calendar="ALWAYS").terms[0].sessions is None


def test_real_minutes_end_with_their_session(market_data_dir: Path) -> None:
    # Minutes from 8:00 to 24:00 UTC: the session is from 13:30 to 20:00.
    path = market_data_dir / "us_intraday" / "SPY_1m_lean.parquet"
    result = backtest(BuyLow, path, symbols=("SPY",), end="2013-10-11", calendar="XNYS")
    assert ends(result) == [f"2013-10-{day}T20:00" for day in ("04", "07", "08", "09", "10", "11")]


def test_the_demo_data_knows_its_calendar_and_reads_it_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    def times(calendar: str, start_ns: int, end_ns: int) -> Times:
        read.append(calendar)
        return np.array([[start_ns, end_ns]])

    class Idle(Strategy):
        def on_bar(self, bar: Bar) -> None:
            pass

    monkeypatch.setattr(calendars, "session_times", times)
    backtest(Idle, "demo:AAPL", end="2010-03-01")
    assert read == []
    backtest(BuyLow, "demo:AAPL", end="2010-03-01")
    assert read == ["XNYS"]


def test_a_search_takes_a_calendar_too() -> None:
    class Limited(BuyLow):
        level = param(1.0, low=1.0, high=2.0, step=1.0)

    bars = hours("2024-07-02", "2024-07-06")
    search = optimise(Limited, bars, calendar="XNYS", objective="final_capital", compute="local:1")
    assert len(search.trials) == 2
    with pytest.raises(UnknownCalendar):
        optimise(Limited, bars, calendar="XNOWHERE", objective="final_capital", compute="local:1")


def test_sessions_are_checked_when_they_are_read() -> None:
    late = Sessions(lambda: np.array([[3, 3]]))
    with pytest.raises(BadTerms):
        _ = late.closes_ns
    assert list(Sessions(lambda: np.array([[1, 3], [3, 5]])).opens_ns) == [1, 3]
