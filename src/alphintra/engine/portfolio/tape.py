"""Everything that happens in a run, as one sequence of rows in whole ticks and lots."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.layout import MAGNITUDE_LIMIT, NO_PRICE, UNKNOWN_SIZE
from alphintra.engine.portfolio.terms import BadTerms, SymbolTerms
from alphintra.engine.series import (
    BadSeries,
    Bars,
    CorporateActions,
    Floats,
    Quotes,
    Series,
    Times,
    Trades,
)

#: The finest tick that `tick_size_of` finds: 10 to the power of minus this.
DECIMALS_MOST: Final = 8
_FIRST_ROWS: Final = 4096


class RowKind(IntEnum):
    """What a row of the tape is, and the meaning of its columns a to e."""

    BAR = 0  #: open, high, low, close (ticks), volume (lots)
    QUOTE = 1  #: bid, ask (ticks), bid size, ask size (lots)
    TRADE = 2  #: price (ticks), size (lots), side
    ACTION = 3  #: `ActionKind`, numerator, denominator, the bits of the amount


@dataclass(frozen=True, eq=False)
class Tape:
    """All rows of a run in the order in which they end, shape (n,) each.

    Rows of one `close_ns` form a group: all of it happens before anybody is told. Corporate actions
    come after the market's rows of their time and are a group of their own. Within a group rows
    stand in the order of their symbols.
    """

    cells: NDArray[np.int64]  #: shape (9, n): the columns below
    symbols: tuple[str, ...]

    @property
    def close_ns(self) -> Times:
        return self._column(0)

    @property
    def open_ns(self) -> Times:
        return self._column(1)

    @property
    def symbol(self) -> Times:
        return self._column(2)

    @property
    def kind(self) -> Times:
        return self._column(3)

    @property
    def a(self) -> Times:
        return self._column(4)

    @property
    def b(self) -> Times:
        return self._column(5)

    @property
    def c(self) -> Times:
        return self._column(6)

    @property
    def d(self) -> Times:
        return self._column(7)

    @property
    def e(self) -> Times:
        return self._column(8)

    def __len__(self) -> int:
        return int(self.cells.shape[1])

    # Runs of a sweep share a tape: what they ask about all of it is found once.

    @cached_property
    def kinds(self) -> frozenset[RowKind]:
        """The kinds of rows there are."""
        return frozenset(map(RowKind, np.flatnonzero(np.bincount(self.kind)).tolist()))

    @cached_property
    def is_plain(self) -> bool:
        """One symbol, nothing but bars, and each ends at a time of its own."""
        only_bars = len(self.symbols) == 1 and self.kinds <= {RowKind.BAR}
        return only_bars and bool((self.close_ns[1:] > self.close_ns[:-1]).all())

    @cached_property
    def first_ticks(self) -> Floats:
        """What each symbol shows first, shape (symbols,); NaN for one that shows nothing."""
        first = np.full(len(self.symbols), np.nan)
        for start in range(0, len(self), _FIRST_ROWS):
            rows = slice(start, start + _FIRST_ROWS)
            shows = (self.kind[rows] != RowKind.ACTION) & (self.a[rows] != NO_PRICE)
            numbers, places = np.unique(self.symbol[rows][shows], return_index=True)
            prices = self.a[rows][shows][places]
            first[numbers] = np.where(np.isnan(first[numbers]), prices, first[numbers])
            if not np.isnan(first).any():
                break  # seldom is more than the beginning of the tape looked at
        return first

    def _column(self, number: int) -> Times:
        column: Times = self.cells[number]
        return column


def tick_size_of(prices: Floats) -> float:
    """Return the coarsest power of ten, at most 1, of which all prices are multiples.

    1e-8 where there is none: prices are rounded to it.
    """
    # A few prices rule out most; all of them are asked only about what is left.
    some = prices[:: max(1, len(prices) // 1024)]
    for decimals in range(DECIMALS_MOST):
        if _are_multiples(some, 10.0**decimals) and _are_multiples(prices, 10.0**decimals):
            return float(f"1e-{decimals}")
    return float(f"1e-{DECIMALS_MOST}")


def _are_multiples(prices: Floats, per_unit: float) -> bool:
    scaled = prices * per_unit
    off = np.abs(scaled - np.rint(scaled))
    return bool((off <= 1e-9 * np.maximum(1.0, np.abs(scaled)))[~np.isnan(scaled)].all())


def tape_of(
    series: Sequence[Series],
    terms: Sequence[SymbolTerms],
    actions: Sequence[CorporateActions] = (),
) -> Tape:
    """Merge series into one tape; a symbol's number is its place in `terms`.

    Prices are rounded to the nearest tick, a quote's to the worse; sizes are rounded down to lots.

    Raises:
        BadSeries: a series' symbol has no terms, or a price or size is too large for its step.
        BadTerms: two terms of one symbol.
    """
    numbers = {one.symbol: number for number, one in enumerate(terms)}
    if len(numbers) != len(terms):
        raise BadTerms("a symbol has terms twice")
    parts = []
    for one in (*series, *actions):
        if one.symbol not in numbers:
            raise BadSeries(f"{one.symbol} has no terms", symbol=one.symbol)
        number = numbers[one.symbol]
        parts.append(_cells(one, number, terms[number]))
    if not parts:
        raise BadSeries("there is nothing on the tape")
    cells = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    if len(parts) > 1:
        close_ns, _, symbol, kind = cells[:4]
        order = np.lexsort((symbol, kind == RowKind.ACTION, close_ns))
        cells = np.ascontiguousarray(cells[:, order])
    return Tape(cells, tuple(one.symbol for one in terms))


def _cells(one: Series | CorporateActions, number: int, terms: SymbolTerms) -> NDArray[np.int64]:
    cells = np.empty((9, len(one)), np.int64)
    cells[2] = number
    match one:
        case Bars():
            cells[0], cells[1], cells[3] = one.close_ns, one.open_ns, RowKind.BAR
            for row, column in enumerate((one.open, one.high, one.low, one.close), start=4):
                _ticks(column, terms, cells[row])
            _lots(one.volume, terms, cells[8])
        case Quotes():
            cells[0] = cells[1] = one.ts_ns
            cells[3] = RowKind.QUOTE
            _ticks(one.bid, terms, cells[4], np.floor)
            _ticks(one.ask, terms, cells[5], np.ceil)
            _lots(one.bid_size, terms, cells[6])
            _lots(one.ask_size, terms, cells[7])
            cells[8] = 0
        case Trades():
            cells[0] = cells[1] = one.ts_ns
            cells[3] = RowKind.TRADE
            _ticks(one.price, terms, cells[4])
            _lots(one.size, terms, cells[5])
            cells[6] = one.side
            cells[7:] = 0
        case CorporateActions():
            cells[0] = cells[1] = one.ex_ns
            cells[3] = RowKind.ACTION
            cells[4], cells[5], cells[6] = one.kind, one.numerator, one.denominator
            cells[7] = one.amount.view(np.int64)
            cells[8] = 0
    return cells


def _ticks(
    prices: Floats, terms: SymbolTerms, into: NDArray[np.int64], rounded: np.ufunc = np.rint
) -> None:
    scaled = prices / terms.tick_size
    if rounded is not np.rint:
        # 0.29 / 0.01 is 28.999…: what is on the grid but for the binary fraction stays there.
        nearest = np.rint(scaled)
        near = np.abs(scaled - nearest) <= 1e-9 * np.maximum(1.0, np.abs(scaled))
        scaled = np.where(near, nearest, rounded(scaled))
    else:
        np.rint(scaled, out=scaled)
    missing = np.isnan(scaled)
    if missing.any():
        scaled[missing] = NO_PRICE
    if len(scaled) and not np.abs(scaled[~missing]).max(initial=0) < MAGNITUDE_LIMIT:
        raise BadSeries(f"{terms.symbol}: prices are too large for ticks of {terms.tick_size}")
    into[:] = scaled


def _lots(sizes: Floats, terms: SymbolTerms, into: NDArray[np.int64]) -> None:
    scaled = sizes if terms.lot_size == 1.0 else sizes / terms.lot_size + 1e-9
    known = scaled < MAGNITUDE_LIMIT  # NaN is not
    if known.all():
        np.floor(scaled, out=into, casting="unsafe")
    else:
        into[:] = np.where(known, np.floor(np.where(known, scaled, 0)), UNKNOWN_SIZE)
