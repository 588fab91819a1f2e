"""Lines, resampled data and event objects show what has happened, and nothing else."""

import numpy as np
import pytest

from alphintra.research.backtest import backtest
from alphintra.sdk import Bar, Bars, Strategy, StrategyRefused, resampled
from alphintra.sdk.resampling import duration_ns
from alphintra.sdk.ticks import Ticks
from alphintra.sdk.views import Position
from tests.sdk.conftest import DAY_NS, MINUTE_NS, START_NS, walk


def test_resampled_bars_are_what_a_loop_makes_of_them(bars: Bars) -> None:
    longer = resampled(bars, "5m")
    for row in range(len(longer)):
        inside = [
            at
            for at in range(len(bars))
            if longer.open_ns[row] <= bars.open_ns[at] < longer.close_ns[row]
        ]
        assert longer.open[row] == bars.open[inside[0]]
        assert longer.close[row] == bars.close[inside[-1]]
        assert longer.high[row] == max(bars.high[at] for at in inside)
        assert longer.low[row] == min(bars.low[at] for at in inside)
        assert longer.volume[row] == sum(bars.volume[at] for at in inside)
    assert len(longer) == 100


def test_a_resampled_bar_ends_with_its_stretch_also_where_bars_are_missing(bars: Bars) -> None:
    kept = np.array([0, 1, 7, 8])
    holey = Bars(
        "X",
        bars.open_ns[kept], bars.close_ns[kept], bars.open[kept], bars.high[kept],
        bars.low[kept], bars.close[kept], bars.volume[kept],
    )  # fmt: skip
    longer = resampled(holey, "5m")
    assert longer.close_ns.tolist() == [START_NS + 5 * MINUTE_NS, START_NS + 10 * MINUTE_NS]
    assert longer.close.tolist() == [bars.close[1], bars.close[8]]


def test_weeks_begin_on_mondays() -> None:
    weeks = resampled(walk(count=21, step_ns=DAY_NS), "1w")
    assert ((weeks.open_ns - START_NS) % (7 * DAY_NS) == 0).all()
    assert len(weeks) == 3


def test_shorter_bars_cannot_be_made_of_longer_ones(bars: Bars) -> None:
    with pytest.raises(StrategyRefused, match="30s"):
        resampled(bars, "30s")


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "5x", "-1h", "1.5h"])
def test_a_length_of_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(StrategyRefused):
        duration_ns(text)


def test_prices_between_ticks_go_the_way_they_are_told() -> None:
    ticks = Ticks(0.01, 1.0)
    assert ticks.of(0.29, up=False) == 29  # 0.29 / 0.01 is 28.999999999999996
    assert ticks.of(0.295, up=False) == 29
    assert ticks.of(0.295, up=True) == 30
    assert ticks.lots(2.999) == 2


def test_a_position_keeps_its_average_price() -> None:
    position = Position("X")
    position.take(10, 100.0)
    position.take(10, 110.0)
    assert (position.quantity, position.average_price) == (20, 105.0)
    position.take(-5, 200.0)
    assert (position.quantity, position.average_price) == (15, 105.0)
    position.take(-20, 90.0)
    assert (position.quantity, position.average_price) == (-5, 90.0)
    position.take(5, 80.0)
    assert position.is_flat
    assert position.average_price == 0.0


class Curious(Strategy):
    """Asks lines and series for everything that has a public name."""

    def setup(self) -> None:
        self.bars = self.data()
        self.average = self.indicator("SMA", timeperiod=3)
        self.seen = 0

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        for line in (self.average, self.bars.close):
            assert {name for name in dir(line) if not name.startswith("_")} == {
                "last", "name", "now", "outputs", "ready",
            }  # fmt: skip
            for back in (-1, -1000):
                with pytest.raises(IndexError, match="future"):
                    line[back]
            with pytest.raises(IndexError, match="not negative"):
                line.last(-1)
            with pytest.raises(TypeError):
                list(line)  # type: ignore[call-overload]
            assert len(line.last(10**6)) == self.seen
            assert np.isnan(line[self.seen])
        assert {name for name in dir(self.bars) if not name.startswith("_")} == {
            "close", "high", "low", "open", "ready", "volume",
        }  # fmt: skip


def test_no_public_name_and_no_index_reaches_the_future() -> None:
    backtest(Curious, walk(count=50))
