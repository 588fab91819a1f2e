"""What an account cannot carry is told: what was asked, what was filled, and that they differ."""

import numpy as np
import pytest

from alphintra.research.backtest import backtest
from alphintra.sdk import Bar, Bars, Strategy

MINUTE_NS = 60_000_000_000


class BuyTwice(Strategy):
    """Asks for twice what the money buys."""

    lifetime = "gtc"

    def setup(self) -> None:
        self.asked = False

    def on_bar(self, bar: Bar) -> None:
        if not self.asked:
            self.buy(2_000, lifetime=self.lifetime)
        self.asked = True


class BuyTwiceOrNothing(BuyTwice):
    lifetime = "fok"


@pytest.fixture(scope="module")
def still() -> Bars:
    open_ns = 1_704_067_200_000_000_000 + np.arange(6) * MINUTE_NS
    price = np.full(6, 100.0)
    volume = np.full(6, 1e6)
    return Bars.of_length(
        "X", open_ns, MINUTE_NS, open=price, high=price, low=price, close=price, volume=volume
    )


def test_an_order_that_is_cut_keeps_what_was_asked_and_warns(still: Bars) -> None:
    result = backtest(BuyTwice, still, cash=100_000)
    order = result.orders[0]
    assert (order["quantity"], order["filled"]) == (2_000, 1_000)
    told = [one for one in result.warnings if one.code == "orders_cut"]
    assert [one.message for one in told] == [
        "1 orders were filled for less than was asked: the account could not pay or carry them"
    ]


def test_all_or_nothing_is_nothing(still: Bars) -> None:
    result = backtest(BuyTwiceOrNothing, still, cash=100_000)
    assert len(result.fills) == 0
    assert result.orders[0]["filled"] == 0
    assert not [one for one in result.warnings if one.code == "orders_cut"]
