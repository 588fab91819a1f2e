"""Candles that grow at their end, and longer candles made of them.

The work for a candle does not depend on how many are held.
"""

from array import array
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from alphintra.engine.series import DAY_NS, BadSeries, Bars
from alphintra.sdk.errors import StrategyRefused
from alphintra.sdk.lines import NAN, PRICES
from alphintra.sdk.resampling import duration_ns, offset_ns

#: Closed candles that are held of a symbol; beyond them the older half is dropped. Lines that go
#: step by step go on as if nothing were missing.
CANDLES_MAX: Final = 100_000


class Candle(NamedTuple):
    """A closed candle as strategies read it."""

    open_ns: int
    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float  #: NaN when it is not known


class GrowingBars:
    """The closed candles of one symbol. They are numbered from 0; the oldest may be dropped."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.dropped = 0
        self.count = 0  #: those that were dropped are counted
        self.rewritten = 0  #: how often numbers have got other candles
        self.open_ns, self.close_ns = array("q"), array("q")
        self.prices: dict[str, array[float]] = {name: array("d") for name in PRICES}
        #: Called before candles are dropped, by what has not looked at all of them yet.
        self.before_drop: list[Callable[[], None]] = []
        self._columns: tuple[array[Any], ...] = (self.open_ns, self.close_ns, *self.prices.values())

    @property
    def newest_ns(self) -> int:
        """When the newest candle began; before any there is, a time long ago."""
        return self.open_ns[-1] if self.open_ns else -(2**63)

    def check(self, candle: Candle) -> None:
        """Refuse what cannot be the next candle.

        Raises:
            BadSeries: it is no candle, or not after the one before it.
        """
        open_ns, close_ns, first, high, low, last, _ = candle
        if not (0 < low <= first <= high and low <= last <= high < float("inf")):
            raise BadSeries(f"{self.symbol}: {candle} is no candle")
        if not self.newest_ns < open_ns < close_ns:
            raise BadSeries(f"{self.symbol}: {candle} is not after the one before it")

    def add(self, candle: Candle) -> None:
        """Take the next candle, which was checked."""
        if len(self.open_ns) >= CANDLES_MAX:
            self._drop_older_half()
        for column, value in zip(self._columns, candle, strict=True):
            column.append(value)
        self.count += 1

    def _drop_older_half(self) -> None:
        for catch_up in self.before_drop:
            catch_up()
        gone = len(self.open_ns) // 2
        for column in self._columns:
            del column[:gone]
        self.dropped += gone

    def bars(self) -> Bars:
        """Return a copy of what is held."""
        columns = (np.array(column) for column in self._columns)
        return Bars(self.symbol, *columns)


class LongerBars(GrowingBars):
    """Longer candles, cut as `resampled` cuts them; only closed ones are here.

    A candle that comes so late that its stretch has closed has all of them made anew.
    """

    def __init__(self, base: GrowingBars, timeframe: str) -> None:
        super().__init__(base.symbol)
        self._base = base
        self._timeframe = timeframe
        self._length_ns = duration_ns(timeframe)
        self._offset_ns = offset_ns(timeframe)
        self._closed_stretch: int | None = None
        self._stretch = 0
        self._forget()
        self._take_all()

    def take(self, candle: Candle) -> None:
        """Take a candle of the shorter timeframe.

        Raises:
            StrategyRefused: it is longer than these.
        """
        if candle.close_ns - candle.open_ns > self._length_ns:
            raise StrategyRefused(
                f"{self.symbol}: bars of {self._timeframe} cannot be made from longer ones"
            )
        stretch = (candle.open_ns - self._offset_ns) // self._length_ns
        if stretch == self._closed_stretch:
            self._rewrite()
            return
        if self._volumes and stretch != self._stretch:
            self._close()
        if not self._volumes:
            self._stretch = stretch
            self._first, self._high, self._low = candle.open, candle.high, candle.low
        self._high, self._low = max(self._high, candle.high), min(self._low, candle.low)
        self._last, self._last_ns = candle.close, candle.close_ns
        self._volumes.append(candle.volume)

    def close_until(self, now_ns: int) -> None:
        """Close the candle at hand if it has ended by a time."""
        if self._volumes and self._end_ns() <= now_ns:
            self._close()

    def _end_ns(self) -> int:
        begin_ns = self._stretch * self._length_ns + self._offset_ns
        # A candle that reaches beyond its stretch is only known when it has closed.
        return max(begin_ns + self._length_ns - (self._length_ns >= DAY_NS), self._last_ns)

    def _close(self) -> None:
        # The sum that `resampled` makes, in its order: floats add up differently in another.
        volume = float(np.add.reduceat(np.array(self._volumes), [0])[0])
        begin_ns = self._stretch * self._length_ns + self._offset_ns
        self.add(
            Candle(begin_ns, self._end_ns(), self._first, self._high, self._low, self._last, volume)
        )
        self._closed_stretch = self._stretch
        self._forget()

    def _forget(self) -> None:
        self._volumes = array("d")
        self._last_ns = 0
        self._first = self._high = self._low = self._last = NAN

    def _take_all(self) -> None:
        base = self._base
        for row in zip(base.open_ns, base.close_ns, *base.prices.values(), strict=True):
            self.take(Candle(*row))

    def _rewrite(self) -> None:
        self._forget()
        for column in self._columns:
            del column[:]
        self.count = self.dropped = 0
        self._closed_stretch = None
        self.rewritten += 1
        self._take_all()
