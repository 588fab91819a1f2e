"""Live lines are those of a backtest over the same candles, to the last bit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.engine.series import Floats
from alphintra.research.backtest import play, prepare
from alphintra.sdk import Bar, Bars, Strategy, resampled
from alphintra.sdk.live import growing
from alphintra.sdk.live.growing import Candle, GrowingBars, LongerBars
from tests.sdk.conftest import MINUTE_NS, START_NS, walk
from tests.sdk.live.scene import lived


def halves(bars: Bars, weight: float) -> Floats:
    """Look back only: the mean of a close and the one before."""
    before = np.concatenate((bars.close[:1], bars.close[:-1]))
    return bars.close * weight + before * (1 - weight)


class Looks(Strategy):
    """Writes down everything that it can see."""

    def setup(self) -> None:
        self.seen: list[Any] = []
        fast, slow = self.indicator("EMA", timeperiod=3), self.indicator("SMA", timeperiod=8)
        five = self.data(timeframe="5m")
        self.series = [self.data(self.symbols[0]), five]
        self.lines_ = [
            fast,
            slow,
            *self.outputs("MACD", fastperiod=3, slowperiod=6, signalperiod=4),
            *self.outputs("BBANDS", timeperiod=5),
            self.indicator("RSI", timeperiod=4, on=fast),
            self.indicator("OBV"),
            self.indicator("ATR", timeperiod=4),
            self.crossing(fast, slow),
            self.crossing(self.indicator("RSI", timeperiod=4), 50),
            self.indicator(halves, weight=0.25),
            self.indicator("EMA", on=five, timeperiod=3),
            self.indicator("OBV", on=five),
            self.indicator("SMA", symbol=self.symbols[-1], timeframe="15m", timeperiod=2),
            self.indicator(halves, on=five, weight=0.75),
            five.volume,
            five.high,
            five.low,
        ]
        self.every("10m")
        self.every("1h", "hour")

    def on_bar(self, bar: Bar) -> None:
        self.look(bar.symbol, bar.copy())

    def on_timer(self, name: str) -> None:
        self.look(name, None)

    def look(self, what: str, bar: Bar | None) -> None:
        values = [(line.now, line[2], tuple(line.last(4))) for line in self.lines_]
        lengths = [len(series) for series in self.series]
        about = None if bar is None else (bar.open_ns, bar.close_ns, bar.close, bar.volume)
        self.seen.append(repr((what, about, self.now, lengths, values)))


def backtested(strategy: type[Strategy], series: Sequence[Bars]) -> Any:
    _, session = play(strategy, prepare(list(series)), {})
    return session._strategy


def with_gaps(bars: Bars, share: float, seed: int) -> Bars:
    keep = np.flatnonzero(np.random.default_rng(seed).random(len(bars)) > share)
    columns = (getattr(bars, name)[keep] for name in Bars._columns())
    return Bars(bars.symbol, *columns)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_what_is_seen_live_is_what_a_backtest_shows(share: float) -> None:
    series = [with_gaps(walk(name, 400, seed=seed), share, seed) for seed, name in enumerate("ABC")]
    live = lived(Looks, series)
    assert isinstance(live.strategy, Looks)
    assert live.strategy.seen == backtested(Looks, series).seen
    assert len(live.strategy.seen) > 400


def test_dropping_old_candles_changes_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "CANDLES_MAX", 64)

    class Averages(Strategy):
        def setup(self) -> None:
            self.seen: list[float] = []
            self.average = self.indicator("EMA", timeperiod=50)
            self.longer = self.indicator("EMA", timeframe="5m", timeperiod=9)
            self.unread = self.indicator("EMA", timeperiod=20)

        def on_bar(self, bar: Bar) -> None:
            late = self.unread.now if bar.close_ns > START_NS + 450 * MINUTE_NS else 0.0
            self.seen += [self.average.now, self.longer.now, self.longer[3], late]

    bars = walk(count=500)
    live = lived(Averages, [bars])
    expected = np.array(backtested(Averages, [bars]).seen)
    np.testing.assert_array_equal(np.array(live.strategy.seen), expected)  # type: ignore[attr-defined]
    assert len(live.feed.bars(0)) <= 64
    assert len(live.feed) == 500


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=80),
    st.sampled_from(["5m", "1h", "1d", "1w"]),
    st.integers(0, 2**32),
)
def test_longer_candles_are_cut_as_in_a_backtest(
    steps: list[int], timeframe: str, seed: int
) -> None:
    whole = walk(count=sum(steps) + 1, seed=seed, start_ns=START_NS + (7 * 1440 - 90) * MINUTE_NS)
    at = np.cumsum(steps)
    bars = Bars("X", *(getattr(whole, name)[at] for name in Bars._columns()))
    own = GrowingBars("X")
    longer = LongerBars(own, timeframe)
    expected = resampled(bars, timeframe)
    for row in range(len(bars)):
        candle = Candle(*(getattr(bars, name)[row].item() for name in Candle._fields))
        own.add(candle)
        longer.take(candle)
        longer.close_until(candle.close_ns)
        closed = int(np.searchsorted(expected.close_ns, candle.close_ns, side="right"))
        assert longer.count == closed
    for name in Bars._columns():
        np.testing.assert_array_equal(
            getattr(longer.bars(), name), getattr(expected, name)[: longer.count]
        )


def test_a_candle_that_comes_late_makes_its_longer_one_anew() -> None:
    a, b = walk("A", 30, seed=1), walk("B", 30, seed=2)
    live = lived(Looks, [a, b], late={("B", 9)})
    longer = live.feed.own(1, "5m").bars()
    expected = resampled(b, "5m")
    np.testing.assert_array_equal(longer.volume, expected.volume[: len(longer)])
    np.testing.assert_array_equal(longer.close, expected.close[: len(longer)])
