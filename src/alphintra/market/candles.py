"""Candles from ticks: one second at the bottom, each longer one made of the one below. Pure.

    trades make candles; a symbol without trades gets them from mid-prices, without a volume
    the first trade (or the first finished bar) of a symbol ends that: what mids had made and is not
    closed is dropped, and from then on only trades (or only bars) count
    a candle closes when something later arrives, or when the clock has passed its end by the grace
    a late tick still enters every candle that is open and contains it; a closed one never changes
    where nothing traded there is no candle: gaps are not filled

Open and close follow the time of the ticks, not their arrival; ticks of one instant keep their
order.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import IntEnum

from alphintra.core import money
from alphintra.core.market_data import Bar, Quote, Tick
from alphintra.market.timeframes import FIXED_NS

#: Each divides the next.
CHAIN = tuple(FIXED_NS)
_LEVELS = {timeframe: level for level, timeframe in enumerate(CHAIN)}
_LENGTHS = tuple(FIXED_NS.values())
_HALF = Decimal("0.5")


class Basis(IntEnum):
    """What a symbol's candles are made of; a higher one replaces a lower one for good."""

    QUOTES = 0
    TRADES = 1
    BARS = 2


class _Open:
    """A candle in the making."""

    __slots__ = (
        "close",
        "end_ns",
        "first_ns",
        "high",
        "last_ns",
        "low",
        "open",
        "start_ns",
        "volume",
    )

    def __init__(self, start_ns: int, end_ns: int, at_ns: int, price: Decimal) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.first_ns = self.last_ns = at_ns
        self.open = self.high = self.low = self.close = price
        self.volume: Decimal | None = None

    def add(self, at_ns: int, price: Decimal, size: Decimal | None) -> None:
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        if at_ns >= self.last_ns:
            self.last_ns = at_ns
            self.close = price
        elif at_ns < self.first_ns:
            self.first_ns = at_ns
            self.open = price
        if size is not None:
            self.volume = size if self.volume is None else self.volume + size

    def merge(self, other: "_Open") -> None:
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        if other.last_ns >= self.last_ns:
            self.last_ns = other.last_ns
            self.close = other.close
        if other.first_ns < self.first_ns:
            self.first_ns = other.first_ns
            self.open = other.open
        if other.volume is not None:
            self.volume = other.volume if self.volume is None else self.volume + other.volume

    def copy(self, start_ns: int, end_ns: int) -> "_Open":
        twin = _Open(start_ns, end_ns, self.first_ns, self.open)
        twin.high, twin.low, twin.close = self.high, self.low, self.close
        twin.last_ns, twin.volume = self.last_ns, self.volume
        return twin

    def bar(self, timeframe: str, *, closed: bool) -> Bar:
        return Bar(
            ts_ns=self.start_ns,
            timeframe=timeframe,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=self.volume,
            closed=closed,
        )


class SymbolCandles:
    """The candles of one symbol from one source, all timeframes up to a day."""

    def __init__(self) -> None:
        self.late_ticks = 0
        self._basis = Basis.QUOTES
        self._open: list[_Open | None] = [None] * len(CHAIN)
        self._closed_until_ns = [-(2**63)] * len(CHAIN)
        self._frontier_ns = -(2**63)

    def add(self, tick: Tick) -> list[Bar]:
        """Take in one valid tick and return the candles that it closed, shortest first."""
        if isinstance(tick, Bar):
            return self._add_bar(tick) if tick.closed else []
        if isinstance(tick, Quote):
            if self._basis is not Basis.QUOTES:
                return []
            price = ((tick.bid + tick.ask) * _HALF).quantize(money.QUANTUM)
            return self._add_price(tick.ts_ns, price, None)
        if self._basis is not Basis.TRADES:
            if self._basis is Basis.BARS:
                return []
            self._restart(Basis.TRADES)
        return self._add_price(tick.ts_ns, tick.price, tick.size)

    def advance(self, now_ns: int) -> list[Bar]:
        """Close what ended at or before `now_ns` and return it, shortest first."""
        closed: list[Bar] = []
        self._close_until(now_ns, closed)
        return closed

    def flush(self) -> list[Bar]:
        """Close everything, for a source that has ended."""
        return self.advance(2**63 - 1)

    def running(self) -> Iterator[Bar]:
        """Yield the candles in the making, as they stand, shortest first."""
        below: _Open | None = None
        for level, timeframe in enumerate(CHAIN):
            current = self._open[level]
            if below is not None:
                length = _LENGTHS[level]
                start_ns = below.start_ns - below.start_ns % length
                if current is None:
                    current = below.copy(start_ns, start_ns + length)
                else:
                    current = current.copy(current.start_ns, current.end_ns)
                    current.merge(below)
            if current is not None:
                yield current.bar(timeframe, closed=False)
                below = current

    def resume(self, bars: Iterable[Bar]) -> list[Bar]:
        """Rebuild the longer candles from stored ones of the same making, oldest first.

        What these close is returned; it may have been published before.
        """
        closed: list[Bar] = []
        for bar in bars:
            if bar.volume is not None:  # mids have none
                self._basis = max(self._basis, Basis.TRADES)
            closed += self._fold(bar)
        return closed

    def _restart(self, basis: Basis) -> None:
        self._basis = basis
        self._open = [None] * len(CHAIN)

    def _add_price(self, at_ns: int, price: Decimal, size: Decimal | None) -> list[Bar]:
        # The path of nearly every tick: another one in the same second.
        current = self._open[0]
        if current is not None and current.start_ns <= at_ns < current.end_ns:
            current.add(at_ns, price, size)
            if at_ns > self._frontier_ns:
                self._frontier_ns = at_ns
            return []
        closed: list[Bar] = []
        self._close_until(at_ns, closed)
        frontier_ns = self._frontier_ns = max(self._frontier_ns, at_ns)
        for level, length in enumerate(_LENGTHS):
            start_ns = at_ns - at_ns % length
            # What is open contains the frontier, so a late tick belongs to the first that does too.
            if start_ns + length <= frontier_ns or at_ns < self._closed_until_ns[level]:
                continue
            if (current := self._open[level]) is not None:
                current.add(at_ns, price, size)
            else:
                current = self._open[level] = _Open(start_ns, start_ns + length, at_ns, price)
                current.volume = size
            return closed
        self.late_ticks += 1
        return closed

    def _add_bar(self, bar: Bar) -> list[Bar]:
        if bar.timeframe not in _LEVELS:
            return []
        if self._basis is not Basis.BARS:
            self._restart(Basis.BARS)
        return self._fold(bar)

    def _fold(self, bar: Bar) -> list[Bar]:
        level = _LEVELS[bar.timeframe]
        end_ns = bar.ts_ns + _LENGTHS[level]
        closed: list[Bar] = []
        self._close_until(bar.ts_ns, closed)
        self._frontier_ns = max(self._frontier_ns, end_ns - 1)
        if bar.ts_ns < self._closed_until_ns[level]:
            self.late_ticks += 1
            return closed
        whole = _Open(bar.ts_ns, end_ns, bar.ts_ns, bar.open)
        whole.high, whole.low, whole.close = bar.high, bar.low, bar.close
        whole.volume, whole.last_ns = bar.volume, end_ns - 1
        for below in range(level + 1):
            self._closed_until_ns[below] = end_ns
        self._lift(level, whole)
        self._close_until(end_ns, closed)
        return closed

    def _close_until(self, now_ns: int, closed: list[Bar]) -> None:
        for level, current in enumerate(self._open):
            if current is None:
                continue
            if current.end_ns > now_ns:
                return  # the grids are nested: what is above ends no earlier
            self._open[level] = None
            self._closed_until_ns[level] = current.end_ns
            closed.append(current.bar(CHAIN[level], closed=True))
            self._lift(level, current)

    def _lift(self, level: int, finished: _Open) -> None:
        above = level + 1
        if above == len(CHAIN):
            return
        parent = self._open[above]
        if parent is not None and parent.start_ns <= finished.start_ns < parent.end_ns:
            parent.merge(finished)
        elif parent is None and finished.start_ns >= self._closed_until_ns[above]:
            length = _LENGTHS[above]
            start_ns = finished.start_ns - finished.start_ns % length
            self._open[above] = finished.copy(start_ns, start_ns + length)
