"""The columns behind what a strategy sees, and how far it has come in them.

`Feed.row` is the row of the market's history at hand. Everything a strategy is shown is read at or
before it; no part of the public face reaches beyond.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.portfolio import RowKind
from alphintra.engine.series import Bars, Quotes, Series, Times
from alphintra.sdk.errors import StrategyRefused

Whole = NDArray[np.int64]


#: The columns of each kind, in the order of the five value columns of a row.
VALUES: Final[Mapping[RowKind, tuple[str, ...]]] = {
    RowKind.BAR: ("open", "high", "low", "close", "volume"),
    RowKind.QUOTE: ("bid", "ask", "bid_size", "ask_size"),
    RowKind.TRADE: ("price", "size", "side"),
}


def kind_of(series: Series) -> RowKind:
    """Return which rows a series gives."""
    if isinstance(series, Bars):
        return RowKind.BAR
    return RowKind.QUOTE if isinstance(series, Quotes) else RowKind.TRADE


class Feed:
    """The history of a run, row by row, in the order of time.

    Args:
        symbols: the names; a row's symbol is a place in them.
        series: one or more series of each symbol, of different kinds.
        row_symbol, row_kind: shape (n,), which series each row comes from; the rows of one series
            keep its order.
        close_ns, open_ns: shape (n,): when a row becomes known, and when its stretch began.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        series: Sequence[Series],
        *,
        row_symbol: Whole,
        row_kind: Whole,
        close_ns: Times,
        open_ns: Times,
    ) -> None:
        self.row = -1
        self.symbols = tuple(symbols)
        self.places = {symbol: place for place, symbol in enumerate(symbols)}
        self.row_symbol = row_symbol
        self.row_kind = row_kind
        self.close_ns = close_ns
        self.open_ns = open_ns
        self.series = {(self.places[part.symbol], kind_of(part)): part for part in series}
        if len(self.series) != len(series):
            raise StrategyRefused("a symbol has two series of one kind; give one of them")
        self._single = series[0] if len(series) == 1 and len(series[0]) == len(close_ns) else None
        self._merged: dict[str, NDArray[Any]] = {}
        self._own_bars: Whole | None = None

    def __len__(self) -> int:
        return len(self.close_ns)

    @property
    def now_ns(self) -> int:
        """The time at hand; the beginning of the first row before there was any."""
        if self.row < 0:
            return int(self.open_ns[0]) if len(self) else 0
        return int(self.close_ns[self.row])

    @property
    def symbol_at_hand(self) -> int:
        """The place of the symbol whose row is at hand."""
        return int(self.row_symbol[self.row]) if len(self.symbols) > 1 and self.row >= 0 else 0

    def bars(self, symbol: int) -> Bars:
        """Return the bars of a symbol, all of them.

        Raises:
            StrategyRefused: the run has no bars of it.
        """
        found = self.series.get((symbol, RowKind.BAR))
        if not isinstance(found, Bars):
            raise StrategyRefused(f"there are no bars of {self.symbols[symbol]} in this run")
        return found

    def place(self, symbol: str | None) -> int:
        """Return the place of a symbol; of the one at hand for None.

        Raises:
            StrategyRefused: the run does not have it.
        """
        if symbol is None:
            return self.symbol_at_hand
        place = self.places.get(symbol)
        if place is None:
            raise StrategyRefused(
                f"there is no symbol {symbol} in this run; it has: {', '.join(self.symbols)}"
            )
        return place

    def column(self, name: str) -> NDArray[Any]:
        """Return a column over all rows, shape (n,); NaN in rows of a kind that has it not."""
        if name in {"close_ns", "ts_ns"}:
            return self.close_ns
        if name == "open_ns":
            return self.open_ns
        if self._single is not None:
            values: NDArray[Any] = getattr(self._single, name)
            return values
        if name not in self._merged:
            merged = np.full(len(self), np.nan)
            for (symbol, kind), part in self.series.items():
                if name in VALUES[kind]:
                    merged[self._rows(symbol, kind)] = getattr(part, name)
            self._merged[name] = merged
        return self._merged[name]

    def value(self, name: str) -> Any:
        """Return the value of a column at the row at hand.

        Raises:
            AttributeError: there is no such column.
        """
        if name == "symbol":
            return self.symbols[self.symbol_at_hand]
        known = {"close_ns", "ts_ns", "open_ns"}.union(*VALUES.values())
        if name not in known or self.row < 0:
            raise AttributeError(f"there is no {name} here")
        value = self.column(name)[self.row]
        return int(value) if name == "side" else value.item()

    def own_bars(self) -> Whole:
        """Return for each row how many bars of its own symbol had closed, less one; shape (n,)."""
        if self._own_bars is None:
            if isinstance(self._single, Bars):
                self._own_bars = np.arange(len(self))
            else:
                self._own_bars = self._count_own_bars()
        return self._own_bars

    def over_rows(self, values: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Spread one value per bar of each symbol over the rows of that symbol, shape (n,)."""
        if isinstance(self._single, Bars):
            return values[0]
        own = self.own_bars()
        spread = np.full(len(self), np.nan)
        for symbol, column in values.items():
            rows = np.flatnonzero((self.row_symbol == symbol) & (own >= 0))
            spread[rows] = column[own[rows]]
        return spread

    def _rows(self, symbol: int, kind: RowKind) -> Whole:
        return np.flatnonzero((self.row_symbol == symbol) & (self.row_kind == kind))

    def _count_own_bars(self) -> Whole:
        own = np.full(len(self), -1, np.int64)
        for symbol in range(len(self.symbols)):
            part = self.series.get((symbol, RowKind.BAR))
            if isinstance(part, Bars):
                rows = np.flatnonzero(self.row_symbol == symbol)
                own[rows] = np.searchsorted(part.close_ns, self.close_ns[rows], side="right") - 1
        return own
