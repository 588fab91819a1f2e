"""Entries of the vocabulary: what is ordered, at which prices, and what is not."""

import numpy as np

from alphintra.research.backtest import backtest
from alphintra.research.result import BacktestResult
from alphintra.sdk import Bar, Bars, Strategy
from alphintra.sdk.blocks import Exits, Percent, Risk, Units, enter, leave, rebalance


def run(strategy: type[Strategy]) -> BacktestResult:
    """Run over bars that stand at 100 and then at 110."""
    prices = np.array([100.0] * 4 + [110.0] * 4)
    bars = Bars.of_length(
        "X", 86_400_000_000_000 * np.arange(8), 86_400_000_000_000,
        open=prices, high=prices + 0.5, low=prices - 0.5, close=prices, volume=prices,
    )  # fmt: skip
    return backtest(strategy, bars, cash=10_000)


def test_risk_sizes_by_the_distance_and_the_exits_stand_around_the_close() -> None:
    class Risky(Strategy):
        def on_bar(self, bar: Bar) -> None:
            enter(
                self, "long", Risk(1, distance=5.0), at=bar.close,
                exits=Exits(stop=5.0, target_percent=9, trail_percent=20), tag="in",
            )  # fmt: skip

    orders = run(Risky).orders
    assert orders["quantity"][0] == 20  # 1 % of 10,000 by 5
    assert orders["stop_price"][1] == 95
    assert orders["limit_price"][2] == 109
    assert orders["parent"][1:4].tolist() == [0, 0, 0]
    assert orders["average_price"][2] == 110  # the market opened beyond the target
    assert orders["side"][:4].tolist() == [1, -1, -1, -1]


def test_risk_never_holds_more_than_it_may() -> None:
    class Near(Strategy):
        def on_bar(self, bar: Bar) -> None:
            enter(self, "short", Risk(1, distance=0.01, most=50), at=bar.close)

    assert run(Near).orders["quantity"].tolist() == [50]


def test_what_is_not_known_is_not_entered() -> None:
    class Unknown(Strategy):
        def on_bar(self, bar: Bar) -> None:
            nan = float("nan")
            assert enter(self, "long", Units(nan), at=bar.close) is None
            assert enter(self, "long", Units(1), at=bar.close, limit=nan) is None
            assert enter(self, "long", Units(1), at=bar.close, exits=Exits(stop=nan)) is None
            assert enter(self, "long", Units(1), at=bar.close, exits=Exits(stop=110.0)) is None
            assert enter(self, "long", Risk(1, distance=0.0), at=bar.close) is None
            assert enter(self, "long", Percent(nan), at=bar.close) is None
            assert rebalance(self, nan) is None
            assert leave(self) is None

    assert len(run(Unknown).orders) == 0


def test_the_other_side_is_turned_and_its_exits_are_taken_back() -> None:
    class Turning(Strategy):
        def setup(self) -> None:
            self.count = 0

        def on_bar(self, bar: Bar) -> None:
            self.count += 1
            if self.count == 1:
                enter(self, "long", Units(10), at=bar.close, exits=Exits(stop_percent=20))
            if self.count == 3:
                enter(self, "short", Units(4), at=bar.close)
            if self.count == 5:
                assert self.position().quantity == -4
                assert not self.open_orders()
                assert leave(self, "long") is None
                leave(self, "short")

    result = run(Turning)
    assert result.orders["quantity"][[0, 2, 3]].tolist() == [10, 14, 4]
    assert result.fills["quantity"].tolist() == [10, 10, 4, 4]  # what turns closes first
