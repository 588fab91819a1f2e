"""What a live strategy has seen: closed candles from the warm-up on, and the quote at hand."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import nan
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphintra.core.clock import to_ns
from alphintra.engine.portfolio import RowKind
from alphintra.engine.series import Bars, Quotes
from alphintra.sdk.feed import Feed

#: Closed candles that are kept; beyond them the older half is dropped. Long enough that no
#: indicator can tell, short enough that computing all lines anew takes milliseconds.
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

    @classmethod
    def of(cls, view: Mapping[str, Any], length_ns: int) -> "Candle":
        """Read a candle of the API; the floats are those that a file of the same prices gives."""
        open_ns = at_ns(view["starts_at"])
        volume = view["volume"]
        return cls(
            open_ns,
            open_ns + length_ns,
            float(view["open"]),
            float(view["high"]),
            float(view["low"]),
            float(view["close"]),
            nan if volume is None else float(volume),
        )


def at_ns(text: str) -> int:
    """Return a time of the API in nanoseconds since the UNIX epoch."""
    return to_ns(datetime.fromisoformat(text))


class LiveFeed(Feed):
    """The closed candles of one symbol, growing; at their end there may be one quote.

    Lines are computed over all of it by the functions that a backtest uses, so that they are
    bit-equal to those of a backtest over the same candles.
    """

    def __init__(self, symbol: str) -> None:
        self._times: NDArray[Any] = np.empty((2, 1024), np.int64)
        self._values: NDArray[Any] = np.empty((5, 1024), np.float64)
        self._count = 0
        self._symbol = symbol
        self._show(None)

    @property
    def newest_ns(self) -> int:
        """When the newest candle began; before any there is, a time long ago."""
        return int(self._times[0, self._count - 1]) if self._count else -(2**63)

    @property
    def last_price(self) -> float:
        """The newest close, or the middle of the quote at hand; NaN before the first."""
        part = self.series.get((0, RowKind.QUOTE))
        if isinstance(part, Quotes):
            middle = float(part.bid[-1] + part.ask[-1]) / 2
            if middle == middle:
                return middle
        row = min(self.row, self._count - 1)
        return float(self._values[3, row]) if row >= 0 else nan

    def candles(self) -> Bars:
        """Return all candles that are held, for a backtest over the same."""
        return self.bars(0)

    def extend(self, candles: Sequence[Candle]) -> range:
        """Take candles, each later than all before it; return their rows, for standing at them."""
        kept = self._count
        if kept + len(candles) > CANDLES_MAX:
            kept = max(0, CANDLES_MAX - len(candles)) // 2
        count = kept + len(candles)
        self._times = _moved(self._times, slice(self._count - kept, self._count), count)
        self._values = _moved(self._values, slice(self._count - kept, self._count), count)
        for row, candle in enumerate(candles, kept):
            self._times[:, row] = candle[:2]
            self._values[:, row] = candle[2:]
        self._count = count
        self._show(None)
        return range(kept, count)

    def quote(self, quotes: Quotes) -> None:
        """Stand at a quote, one row; it is forgotten with the next event."""
        self._show(quotes)

    def _show(self, quotes: Quotes | None) -> None:
        n = self._count
        bars = Bars(self._symbol, *(block[:n].copy() for block in (*self._times, *self._values)))
        kinds = np.full(n + (quotes is not None), int(RowKind.BAR), np.int64)
        open_ns, close_ns = bars.open_ns, bars.close_ns
        if quotes is not None:
            kinds[-1] = int(RowKind.QUOTE)
            # A quote can be told with an older time than the candle that it closed.
            at = max(int(quotes.ts_ns[0]), int(close_ns[-1]) if n else -(2**63))
            open_ns, close_ns = np.append(open_ns, at), np.append(close_ns, at)
        super().__init__(
            [self._symbol],
            [bars] if quotes is None else [bars, quotes],
            row_symbol=np.zeros(len(kinds), np.int64),
            row_kind=kinds,
            close_ns=close_ns,
            open_ns=open_ns,
        )
        self.row = len(kinds) - 1


def _moved(block: NDArray[Any], kept: slice, count: int) -> NDArray[Any]:
    """Return the kept columns of a block at its beginning, with room for `count`."""
    room = block.shape[1]
    if kept.start == 0 and count <= room:
        return block
    moved = np.empty((len(block), max(room, 2 * count)), block.dtype)
    moved[:, : kept.stop - kept.start] = block[:, kept]
    return moved
