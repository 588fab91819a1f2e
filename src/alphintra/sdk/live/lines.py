"""Lines over candles that grow: step by step, bit-equal to a backtest over the same candles.

The work for a candle does not depend on how many are held. Functions of a user's own are the
exception: they are given all candles that are held, as soon as something reads their line.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from alphintra.engine.series import Bars, Floats
from alphintra.sdk.lines import NAN, Compute, LazyLine, Line, Steps, Timeline, checked
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.growing import CANDLES_MAX, GrowingBars


class LiveTimeline(Timeline):
    """The candles that live lines go with."""

    __slots__ = ("_live",)

    def __init__(self, feed: LiveFeed, pinned: int | None, timeframe: str | None) -> None:
        super().__init__(feed, pinned, timeframe)
        self._live = feed

    def own(self, symbol: int) -> GrowingBars:
        """Return the candles of a symbol that have closed by now."""
        return self._live.own(symbol, self.timeframe)

    def bars(self, symbol: int) -> Bars:
        """Return a copy of the candles of a symbol that are held."""
        return self._live.own(symbol, self.timeframe).bars()

    def at_hand(self) -> tuple[int, int]:
        """Return the symbol at hand and how many of its candles have closed, less one."""
        symbol = self._live.symbol_at_hand if self.pinned is None else self.pinned
        return symbol, self._live.own(symbol, self.timeframe).count - 1

    def lines(
        self, compute: Compute, *outputs: str, steps: Steps | None = None
    ) -> tuple[Line, ...]:
        """Return the lines of all outputs of one computation."""
        works: dict[int, Work] = {}
        for symbol in self.symbols():
            own = self.own(symbol)
            works[symbol] = (
                Whole(own, compute, outputs) if steps is None else Stepped(own, symbol, steps)
            )
        lines = {
            output: LiveLine(self, compute, output, works, place)
            for place, output in enumerate(outputs)
        }
        for line in lines.values():
            line.outputs = lines
        return tuple(lines.values())

    def price(self, name: str) -> Line:
        """Return the line of a column of the candles."""
        return PriceLine(self, lambda bars: {name: getattr(bars, name)}, name)


class Stepped:
    """The values of one computation for one symbol, as far as they were asked for."""

    def __init__(self, own: GrowingBars, symbol: int, steps: Steps) -> None:
        self._own = own
        self._symbol = symbol
        self._steps = steps
        self._begin()
        own.before_drop.append(self._catch_up)

    def _begin(self) -> None:
        self._rewritten = self._own.rewritten
        self._step: Callable[[int], Sequence[float]] | None = None
        self._columns: list[array[float]] = []
        self._first = self._next = self._own.dropped

    def value(self, place: int, at: int) -> float:
        """Return the value of an output at a candle; NaN where none is held."""
        if self._rewritten != self._own.rewritten:
            self._begin()
        if at >= self._next:
            self._advance(at)
        return self._columns[place][at - self._first] if at >= self._first else NAN

    def span(self, place: int, first: int, end: int) -> Floats:
        """Return the values from a candle to before another; those that are held."""
        if end <= self._own.dropped:
            return np.empty(0)
        self.value(place, end - 1)
        return np.array(self._columns[place][max(first - self._first, 0) : end - self._first])

    def _advance(self, at: int) -> None:
        if self._step is None:
            self._step = self._steps(self._symbol)
        for number in range(self._next, at + 1):
            values = self._step(number)
            if not self._columns:
                self._columns = [array("d") for _ in values]
            for column, value in zip(self._columns, values, strict=True):
                column.append(value)
        self._next = at + 1
        if self._next - self._first > 2 * CANDLES_MAX:
            self._drop(self._next - self._first - CANDLES_MAX)

    def _drop(self, count: int) -> None:
        for column in self._columns:
            del column[:count]
        self._first += count

    def _catch_up(self) -> None:
        if self._own.count > self._next and self._rewritten == self._own.rewritten:
            self._advance(self._own.count - 1)


class Whole:
    """The values of a user's own function for one symbol, which takes all candles at once."""

    def __init__(self, own: GrowingBars, compute: Compute, outputs: Sequence[str]) -> None:
        self._own = own
        self._compute = compute
        self._outputs = outputs
        self._of = (-1, -1)
        self._columns: list[Floats] = []

    def value(self, place: int, at: int) -> float:
        """Return the value of an output at a candle; NaN where none is held."""
        own = self._own
        if self._of != (own.count, own.rewritten):
            bars = own.bars()
            found = self._compute(bars)
            self._columns = [checked(name, found[name], len(bars)) for name in self._outputs]
            self._of = (own.count, own.rewritten)
        return float(self._columns[place][at - own.dropped]) if at >= own.dropped else NAN

    def span(self, place: int, first: int, end: int) -> Floats:
        """Return the values from a candle to before another; those that are held."""
        dropped = self._own.dropped
        if end <= dropped:
            return np.empty(0)
        self.value(place, end - 1)
        return self._columns[place][max(first - dropped, 0) : end - dropped].copy()


Work = Stepped | Whole


class LiveLine(LazyLine):
    """A line over candles that grow."""

    __slots__ = ("_place", "_works")

    def __init__(
        self,
        timeline: LiveTimeline,
        compute: Compute,
        output: str,
        works: Mapping[int, Work],
        place: int,
    ) -> None:
        super().__init__(timeline, compute, output)
        self._works = works
        self._place = place

    def __getitem__(self, back: int) -> float:
        if back < 0:
            raise IndexError(f"{self.name}[{back}] would be in the future; [1] is one bar ago")
        symbol, at = self._timeline.at_hand()
        return self._value(symbol, at - back) if at >= back else NAN

    def last(self, count: int) -> Floats:
        """Return the newest `count` values, oldest first.

        Raises:
            IndexError: a negative count.
        """
        if count < 0:
            raise IndexError(f"{self.name}.last({count}): a count is not negative")
        symbol, at = self._timeline.at_hand()
        return self._span(symbol, max(at + 1 - count, 0), at + 1)

    def _value(self, symbol: int, at: int) -> float:
        return self._works[symbol].value(self._place, at)

    def _span(self, symbol: int, first: int, end: int) -> Floats:
        return self._works[symbol].span(self._place, first, end)


class PriceLine(LiveLine):
    """A column of the candles themselves."""

    __slots__ = ("_live_timeline",)

    def __init__(self, timeline: LiveTimeline, compute: Compute, name: str) -> None:
        super().__init__(timeline, compute, name, {}, 0)
        self._live_timeline = timeline

    def _value(self, symbol: int, at: int) -> float:
        own = self._live_timeline.own(symbol)
        return own.prices[self.name][at - own.dropped] if at >= own.dropped else NAN

    def _span(self, symbol: int, first: int, end: int) -> Floats:
        own = self._live_timeline.own(symbol)
        column = own.prices[self.name]
        return np.array(column[max(first - own.dropped, 0) : max(end - own.dropped, 0)])
