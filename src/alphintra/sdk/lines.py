"""Lines: values that go with the bars, shown up to now: prices, indicators, whatever follows.

A line is computed over the whole history at once and read at the bar at hand, which is fast and,
as long as its function looks back only, the same as computing it bar by bar. Every indicator of
the product looks back only; for functions of your own `alphintra check` finds out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from alphintra.engine.series import Bars, Floats, Times
from alphintra.sdk.errors import StrategyRefused
from alphintra.sdk.feed import Feed
from alphintra.sdk.resampling import resampled

#: What a line is made of: the bars of one symbol in, named columns of their length out.
Compute = Callable[[Bars], Mapping[str, Floats]]
#: The same computation bar by bar, for bars that come one after the other: for the place of a
#: symbol, what takes the number of each bar, in turn, and gives the value of each output there.
Steps = Callable[[int], Callable[[int], Sequence[float]]]
NAN: Final = float("nan")
#: Lines that are nearer to each other than this share are equal: sums round.
_EQUAL: Final = 1e-9
PRICES: Final = ("open", "high", "low", "close", "volume")


class Timeline:
    """The bars that lines go with: of one symbol or of each, of the run's timeframe or longer."""

    __slots__ = ("_bars", "feed", "pinned", "timeframe")

    def __init__(self, feed: Feed, pinned: int | None, timeframe: str | None) -> None:
        self.feed = feed
        self.pinned = pinned
        self.timeframe = timeframe
        self._bars: dict[int, Bars] = {}

    def symbols(self) -> range:
        """The places of the symbols it covers."""
        if self.pinned is None:
            return range(len(self.feed.symbols))
        return range(self.pinned, self.pinned + 1)

    def same(self, other: "Timeline") -> bool:
        """Whether another one goes with the same bars."""
        return (self.pinned, self.timeframe) == (other.pinned, other.timeframe)

    def bars(self, symbol: int) -> Bars:
        """Return all bars of a symbol in this timeframe."""
        found = self._bars.get(symbol)
        if found is None:
            found = self.feed.bars(symbol)
            if self.timeframe is not None:
                found = resampled(found, self.timeframe)
            self._bars[symbol] = found
        return found

    def lines(
        self, compute: Compute, *outputs: str, steps: Steps | None = None
    ) -> tuple["Line", ...]:
        """Return the lines of all outputs of one computation, which is done once for them."""
        lines = {output: LazyLine(self, compute, output) for output in outputs}
        for line in lines.values():
            line.outputs = lines
        return tuple(lines.values())

    def price(self, name: str) -> "Line":
        """Return the line of a column of the bars."""
        return self.lines(lambda bars: {name: getattr(bars, name)}, name)[0]

    def at_hand(self) -> tuple[int, int]:
        """Return the symbol at hand and how many of its bars have closed, less one."""
        feed = self.feed
        if feed.row < 0:
            return (self.pinned or 0, -1)
        if self.pinned is None and self.timeframe is None:
            return feed.symbol_at_hand, int(feed.own_bars()[feed.row])
        symbol = feed.symbol_at_hand if self.pinned is None else self.pinned
        closed = np.searchsorted(self.bars(symbol).close_ns, feed.close_ns[feed.row], side="right")
        return symbol, int(closed) - 1

    def over_rows(self, values: Mapping[int, Floats]) -> Floats:
        """Return the value that each row of the history sees, shape (n,)."""
        feed = self.feed
        if self.timeframe is None and self.pinned is None:
            return feed.over_rows(values)
        if self.pinned is not None:
            return _as_of(self.bars(self.pinned), values[self.pinned], feed.close_ns)
        spread = np.full(len(feed), np.nan)
        for symbol in self.symbols():
            rows = np.flatnonzero(feed.row_symbol == symbol)
            spread[rows] = _as_of(self.bars(symbol), values[symbol], feed.close_ns[rows])
        return spread


class Line:
    """One value per bar, shown up to now.

    `now` is the value at the newest closed bar, `line[k]` that of k bars before, `last(n)` the
    newest n of them; NaN where there is none. A line that was declared without a symbol goes with
    the symbol at hand.
    """

    __slots__ = ("_compute", "_timeline", "_values", "name", "now", "outputs")

    now: float
    #: It has no end to run to: `last(n)` gives values to go through.
    __iter__: ClassVar[None] = None

    def __init__(self, timeline: Timeline, compute: Compute, output: str) -> None:
        self.name = output
        self.outputs: Mapping[str, Line] = {output: self}  #: all of its computation
        self._timeline = timeline
        self._compute = compute
        self._values: dict[int, Floats] = {}

    @property
    def ready(self) -> bool:
        """Whether there is a value."""
        now = self.now
        return now == now

    def __getitem__(self, back: int) -> float:
        if back < 0:
            raise IndexError(f"{self.name}[{back}] would be in the future; [1] is one bar ago")
        symbol, at = self._timeline.at_hand()
        return float(self._whole(symbol)[at - back]) if at >= back else NAN

    def last(self, count: int) -> Floats:
        """Return the newest `count` values, oldest first: a copy, shorter near the beginning.

        Raises:
            IndexError: a negative count.
        """
        if count < 0:
            raise IndexError(f"{self.name}.last({count}): a count is not negative")
        symbol, at = self._timeline.at_hand()
        return self._whole(symbol)[max(at + 1 - count, 0) : at + 1].copy()

    # Beyond the present; for what runs and checks strategies, never for one.

    def _whole(self, symbol: int) -> Floats:
        """Return the values at all bars of a symbol, also those to come."""
        found = self._values.get(symbol)
        if found is None:
            self._fill(symbol)
            found = self._values[symbol]
        return found

    def _value(self, symbol: int, at: int) -> float:
        """Return the value at a bar of a symbol."""
        return float(self._whole(symbol)[at])

    def _whole_over_rows(self) -> Floats:
        """Return the values that the rows of the history see, also those to come."""
        timeline = self._timeline
        return timeline.over_rows({symbol: self._whole(symbol) for symbol in timeline.symbols()})

    def _fill(self, symbol: int) -> None:
        bars = self._timeline.bars(symbol)
        for name, column in self._compute(bars).items():
            if name in self.outputs:
                self.outputs[name]._values[symbol] = checked(name, column, len(bars))

    def __repr__(self) -> str:
        return f"Line({self.name}: {self[0]:g})"


def crossings(above: Floats, below: Floats) -> Floats:
    """Return +1 where one line has come from below the other to above it, -1 the other way, else 0.

    Lines that are equal but for rounding are on neither side: only getting to the other side is a
    cross. Which side comes first is none. Shape (n,), as both.
    """
    apart = above - below
    side = np.where(np.abs(apart) > _EQUAL * np.abs(below), np.sign(apart), 0.0)
    side[np.isnan(apart)] = 0.0
    known = np.maximum.accumulate(np.where(side != 0, np.arange(len(side)), 0))
    side = side[known]  # equal lines stay on the side on which they were
    before = np.concatenate((np.zeros(min(1, len(side))), side[:-1]))
    return np.where((side != before) & (before != 0), side, 0.0)


def crossing_steps(above: Line, below: Line | float) -> Steps:
    """Return what `crossings` gives, bar by bar."""

    def begin(symbol: int) -> Callable[[int], Sequence[float]]:
        before = 0.0

        def step(at: int) -> tuple[float]:
            nonlocal before
            other = below._value(symbol, at) if isinstance(below, Line) else below
            apart = above._value(symbol, at) - other
            side = before
            if abs(apart) > _EQUAL * abs(other):
                side = 1.0 if apart > 0 else -1.0
            crossed = side if side != before and before else 0.0
            before = side
            return (crossed,)

        return step

    return begin


class LazyLine(Line):
    """A line whose `now` is looked up when it is asked for; `Line` has it set by the run.

    A class without `__getattr__` and with a slot is what the interpreter reads fastest.
    """

    __slots__ = ()

    @property
    def now(self) -> float:  # type: ignore[override]
        """The value at the newest closed bar."""
        return self[0]


class Series:
    """The bars of a symbol and timeframe, shown up to now; each column is a `Line`."""

    __slots__ = ("_timeline", "close", "high", "low", "open", "volume")

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.open, self.high, self.low, self.close, self.volume = map(timeline.price, PRICES)

    def __len__(self) -> int:
        """How many bars have closed."""
        return self._timeline.at_hand()[1] + 1

    @property
    def ready(self) -> bool:
        """Whether a bar has closed."""
        return len(self) > 0


def _as_of(bars: Bars, values: Floats, close_ns: Times) -> Floats:
    """Return the newest value known at each time, shape of `close_ns`; NaN before the first."""
    if len(bars) == 0:
        return np.full(len(close_ns), np.nan)
    at = np.searchsorted(bars.close_ns, close_ns, side="right") - 1
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def checked(name: str, column: Any, length: int) -> Floats:
    """Return what a computation gave as a column of one value per bar.

    Raises:
        StrategyRefused: it has another shape.
    """
    values = np.ascontiguousarray(column, dtype=np.float64)
    if values.shape != (length,):
        raise StrategyRefused(
            f"the line {name} has shape {values.shape}; it needs one value for each of the "
            f"{length} bars"
        )
    return values
