"""Orders for the opening and the closing auction, as a strategy gives them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from alphintra.engine.portfolio import NoAuction
from alphintra.research.backtest import backtest
from alphintra.research.result import BacktestResult, OrderState
from alphintra.sdk import Bar, Bars, Strategy, StrategyFailed

HOUR_NS = 3_600_000_000_000


def hours(first: str, last: str) -> Bars:
    """Return hourly bars round the clock; the close is half a unit above the open, both rise."""
    begin, end = (
        int(datetime.fromisoformat(one).replace(tzinfo=UTC).timestamp()) * 10**9
        for one in (first, last)
    )
    open_ns = np.arange(begin, end, HOUR_NS)
    price = np.arange(100, 100 + len(open_ns), dtype=np.float64)
    return Bars.of_length(
        "X", open_ns, HOUR_NS, open=price, high=price + 1, low=price - 1, close=price + 0.5
    )


class AtOnce(Strategy):
    """Gives one order at the first bar."""

    terms: ClassVar[dict[str, Any]] = {}

    def setup(self) -> None:
        self.given = False

    def on_bar(self, bar: Bar) -> None:
        if not self.given:
            self.given = True
            self.buy(1, **self.terms)


def with_terms(**terms: Any) -> type[Strategy]:
    return type("Given", (AtOnce,), {"terms": terms})


def fills(result: BacktestResult) -> list[tuple[str, float]]:
    return [
        (f"{datetime.fromtimestamp(one['ts_ns'] / 1e9, UTC):%m-%dT%H:%M}", float(one["price"]))
        for one in result.fills
    ]


# The 3rd of July 2024 is half a day: New York closes at 17:00 UTC. The 4th is a holiday.
@pytest.mark.parametrize(
    ("first", "lifetime", "expected"),
    [
        ("2024-07-03T00", "opg", ("07-03T13:00", 113.0)),  # of the hour that holds 13:30
        ("2024-07-03T00", "cls", ("07-03T17:00", 116.5)),
        ("2024-07-03T14", "opg", ("07-05T13:00", 147.0)),
        ("2024-07-03T14", "cls", ("07-03T17:00", 102.5)),
        ("2024-07-03T17", "cls", ("07-05T20:00", 150.5)),
    ],
)
def test_auctions_of_half_a_day_and_over_a_holiday(
    first: str, lifetime: str, expected: tuple[str, float]
) -> None:
    bars = hours(first, "2024-07-06T00")
    result = backtest(with_terms(lifetime=lifetime), bars, calendar="XNYS")
    assert fills(result)[0] == expected


def test_limits_take_part_or_expire() -> None:
    bars = hours("2024-07-03T00", "2024-07-06T00")
    result = backtest(with_terms(lifetime="opg", limit=112.0), bars, calendar="XNYS")
    assert result.orders["status"].tolist() == [OrderState.EXPIRED]
    result = backtest(with_terms(lifetime="opg", limit=120.0), bars, calendar="XNYS")
    assert fills(result)[0] == ("07-03T13:00", 113.0)


def test_without_a_calendar_there_is_no_auction() -> None:
    bars = hours("2024-07-03T00", "2024-07-04T00")
    for calendar in (None, "ALWAYS"):
        with pytest.raises(
            NoAuction, match=r"test_auctions.py, line \d+, in on_bar.*calendar"
        ) as refused:
            backtest(with_terms(lifetime="cls"), bars, calendar=calendar)
        assert refused.value.code == "no_auction"


@pytest.mark.parametrize(
    "terms", [{"stop": 120.0}, {"trail": 1.0}, {"limit": 90.0, "post_only": True}], ids=str
)
def test_other_orders_are_not_for_auctions(terms: dict[str, Any]) -> None:
    bars = hours("2024-07-03T00", "2024-07-04T00")
    with pytest.raises(StrategyFailed, match="market and limit orders"):
        backtest(with_terms(lifetime="opg", **terms), bars, calendar="XNYS")


def test_a_bracket_may_be_entered_at_the_open_and_left_at_the_close() -> None:
    class Day(Strategy):
        def on_bar(self, bar: Bar) -> None:
            if self.position().is_flat and not self.open_orders():
                self.bracket(1, lifetime="opg", stop_loss=50.0)

        def on_fill(self, fill: Any) -> None:
            if fill.side == "buy":
                (stop,) = self.open_orders()
                self.sell(1, lifetime="cls", sibling=stop, reduce_only=True)

    bars = hours("2024-07-02T00", "2024-07-06T00")
    found = fills(backtest(Day, bars, calendar="XNYS"))
    assert [at for at, _ in found] == [
        "07-02T13:00", "07-02T20:00", "07-03T13:00", "07-03T17:00", "07-05T13:00", "07-05T20:00",
    ]  # fmt: skip


def test_real_minutes_open_and_close_where_the_exchange_does(market_data_dir: Path) -> None:
    """SPY from 8:00 to 24:00 UTC, a week of 2013: the session is from 13:30 to 20:00."""

    class Day(Strategy):
        def on_bar(self, bar: Bar) -> None:
            if self.position().is_flat and not self.open_orders():
                self.buy(1, lifetime="opg")
            elif not self.position().is_flat and not self.open_orders():
                self.sell(1, lifetime="cls")

    path = market_data_dir / "us_intraday" / "SPY_1m_lean.parquet"
    result = backtest(Day, path, symbols=("SPY",), end="2013-10-11", calendar="XNYS")
    bars = result.prices["SPY"]
    found = fills(result)
    assert len(found) == 12
    for number, (at, price) in enumerate(found):
        moment = datetime.strptime(f"2013-{at}", "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
        ns = int(moment.timestamp()) * 10**9
        if number % 2 == 0:
            assert at.endswith("13:30")
            assert price == bars.open[np.searchsorted(bars.open_ns, ns)]
        else:
            assert at.endswith("20:00")
            assert price == bars.close[np.searchsorted(bars.close_ns, ns)]
