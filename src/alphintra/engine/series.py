"""What happened to one instrument, as columns: bars, quotes, trades, corporate actions.

Times are nanoseconds since the UNIX epoch, UTC, as `int64`; prices and sizes are `float64` as the
source tells them. A series checks itself when it is made, so whoever holds one may rely on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from alphintra.core.errors import BadRequest

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

DAY_NS: Final = 86_400_000_000_000

#: Rows that are checked at a time: their columns fit the processor's cache.
_BLOCK: Final = 16_384


class BadSeries(BadRequest):
    """A series of market data breaks a rule. Repair the row that the detail names.

    Columns have one length; times go forward; prices are positive numbers; a bar's open and close
    lie between its low and high, and it begins when the one before it has ended.
    """

    code = "bad_series"


class ActionKind(IntEnum):
    """What happens to the holders of an instrument."""

    SPLIT = 0  #: `denominator` units become `numerator` units
    DIVIDEND = 1  #: `amount` of the currency for each unit, paid to longs by shorts
    FUNDING = 2  #: `amount` of the position's value, paid by longs to shorts
    DELISTING = 3  #: nothing trades after it; positions are closed at the last price


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """Columns of one length, in the order of their time."""

    symbol: str

    _time: ClassVar[str] = "ts_ns"
    _integers: ClassVar[Mapping[str, type]] = {}

    def __post_init__(self) -> None:
        length = -1
        for name in self._columns():
            column = self._accepted(name)
            if length not in (-1, len(column)):
                raise BadSeries(f"{self.symbol}: {name} has {len(column)} rows instead of {length}")
            length = len(column)
            object.__setattr__(self, name, column)
        self._check()

    def __len__(self) -> int:
        return len(getattr(self, self._time))

    def between(self, start_ns: int, end_ns: int) -> Self:
        """Return the rows whose time (a bar's opening) is in [start_ns, end_ns), as views."""
        times: Times = getattr(self, self._time)
        first, last = np.searchsorted(times, (start_ns, end_ns))
        return self.rows(int(first), int(last))

    def rows(self, first: int, last: int) -> Self:
        """Return the rows from `first` to before `last`, as views."""
        return replace(self, **{name: getattr(self, name)[first:last] for name in self._columns()})

    @classmethod
    def _columns(cls) -> Iterator[str]:
        return (field.name for field in fields(cls) if field.name != "symbol")

    def _accepted(self, name: str) -> NDArray[Any]:
        column = np.asarray(getattr(self, name))
        if column.ndim != 1:
            raise BadSeries(f"{self.symbol}: {name} is not a column: its shape is {column.shape}")
        wanted: Any = self._integers.get(name, np.int64 if name.endswith("_ns") else np.float64)
        if wanted is not np.float64 and len(column) and column.dtype.kind not in "iu":
            raise BadSeries(f"{self.symbol}: {name} holds {column.dtype}, not whole numbers")
        try:
            return np.ascontiguousarray(column, dtype=wanted)
        except (TypeError, ValueError) as error:
            raise BadSeries(f"{self.symbol}: {name} holds {column.dtype}, not numbers") from error

    def _check(self) -> None:
        raise AssertionError("each series has its rules")

    def _check_order(self, *, strictly: bool) -> None:
        times: Times = getattr(self, self._time)
        backward = times[1:] <= times[:-1] if strictly else times[1:] < times[:-1]
        if backward.any():
            row = int(np.argmax(backward)) + 1
            raise BadSeries(f"{self._at(row)}: is not after the row before it", row=row)

    def _blocks(self) -> Iterator[slice]:
        return (slice(start, start + _BLOCK) for start in range(0, len(self), _BLOCK))

    def _at(self, row: int) -> str:
        return f"{self.symbol}, row {row} ({_moment(int(getattr(self, self._time)[row]))})"

    def _refuse_first(self, valid: NDArray[np.bool_], offset: int, rule: str) -> None:
        if valid.all():
            return
        row = offset + int(np.argmin(valid))
        values = ", ".join(f"{name} {getattr(self, name)[row]}" for name in self._columns())
        raise BadSeries(f"{self._at(row)}: {rule}; it has {values}", row=row)


@dataclass(frozen=True, slots=True, eq=False)
class Bars(_Series):
    """Open, high, low, close and volume of stretches of time, oldest first, shape (n,) each.

    `volume` is NaN where it is not known. A stretch is [open_ns, close_ns). Bars of a day and
    longer end one nanosecond before the next one may begin, so that all that is told of them
    carries the date that they are labelled with.

    Raises:
        BadSeries: see there.
    """

    open_ns: Times
    close_ns: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    _time: ClassVar[str] = "open_ns"

    @classmethod
    def of_length(
        cls,
        symbol: str,
        open_ns: Times,
        length_ns: int,
        *,
        open: Floats,  # noqa: A002 - the column's name
        high: Floats,
        low: Floats,
        close: Floats,
        volume: Floats | None = None,
    ) -> "Bars":
        """Return bars of one length; one that would reach into the next ends where that begins."""
        close_ns = np.asarray(open_ns) + length_ns
        np.minimum(close_ns[:-1], open_ns[1:], out=close_ns[:-1])
        if length_ns >= DAY_NS:
            close_ns -= 1
        if volume is None:
            volume = np.full(len(open_ns), np.nan)
        return cls(symbol, open_ns, close_ns, open, high, low, close, volume)

    @property
    def length_ns(self) -> int:
        """How long its bars usually are; 0 without any."""
        if not len(self):
            return 0
        length_ns = int(np.median(self.close_ns - self.open_ns))
        return length_ns + ((length_ns + 1) % DAY_NS == 0)

    def _check(self) -> None:
        self._check_order(strictly=True)
        for block in self._blocks():
            first, high, low, last = (
                column[block] for column in (self.open, self.high, self.low, self.close)
            )
            # Comparisons with NaN are false, so NaN prices are refused by the same lines.
            priced = (
                (low > 0)
                & (low <= first)
                & (low <= last)
                & (first <= high)
                & (last <= high)
                & (high < np.inf)
            )
            rule = "prices are positive numbers, and open and close lie between low and high"
            self._refuse_first(priced, block.start, rule)
            volume = self.volume[block]
            known = ~(volume < 0) & (volume != np.inf)
            self._refuse_first(known, block.start, "a volume is not negative")
        ends = self.close_ns > self.open_ns
        self._refuse_first(ends, 0, "a bar ends after it began")
        apart = self.close_ns[:-1] <= self.open_ns[1:]
        self._refuse_first(apart, 0, "a bar ends before the next one begins")


@dataclass(frozen=True, slots=True, eq=False)
class Quotes(_Series):
    """Best bid and ask, oldest first, shape (n,) each; rows may share a time.

    A side on which nobody quotes has the price NaN; a size that is not known is NaN.
    """

    ts_ns: Times
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats

    def _check(self) -> None:
        self._check_order(strictly=False)
        for block in self._blocks():
            bid, ask = self.bid[block], self.ask[block]
            priced = ~(bid <= 0) & ~(ask <= 0) & (np.abs(bid) != np.inf) & (np.abs(ask) != np.inf)
            self._refuse_first(priced, block.start, "prices are positive numbers")
            self._refuse_first(~(bid > ask), block.start, "the bid is not above the ask")
            known = ~(self.bid_size[block] < 0) & ~(self.ask_size[block] < 0)
            self._refuse_first(known, block.start, "a size is not negative")


@dataclass(frozen=True, slots=True, eq=False)
class Trades(_Series):
    """Prints, oldest first, shape (n,) each; rows may share a time.

    `side` is +1 where the buyer took, -1 where the seller did, 0 where it is not known; a `size`
    that is not known is NaN.
    """

    ts_ns: Times
    price: Floats
    size: Floats
    side: NDArray[np.int8]

    _integers: ClassVar[Mapping[str, type]] = {"side": np.int8}

    def _check(self) -> None:
        self._check_order(strictly=False)
        for block in self._blocks():
            price = self.price[block]
            priced = (price > 0) & (price < np.inf)
            self._refuse_first(priced, block.start, "prices are positive numbers")
            known = ~(self.size[block] < 0)
            self._refuse_first(known, block.start, "a size is not negative")


@dataclass(frozen=True, slots=True, eq=False)
class CorporateActions(_Series):
    """Splits, dividends, funding and delisting of one instrument, oldest first, shape (n,) each.

    `kind` holds values of `ActionKind`. Columns that a kind does not use are ignored. `ex_ns` is
    the first moment that trades without the right.
    """

    ex_ns: Times
    kind: NDArray[np.int8]
    numerator: Times
    denominator: Times
    amount: Floats

    _time: ClassVar[str] = "ex_ns"
    _integers: ClassVar[Mapping[str, type]] = {
        "kind": np.int8, "numerator": np.int64, "denominator": np.int64,
    }  # fmt: skip

    def _check(self) -> None:
        self._check_order(strictly=False)
        known = (self.kind >= 0) & (self.kind <= max(ActionKind))
        self._refuse_first(known, 0, "an action has a known kind")
        splits = self.kind == ActionKind.SPLIT
        shared = ~splits | ((self.numerator > 0) & (self.denominator > 0))
        self._refuse_first(shared, 0, "a split has a positive numerator and denominator")
        pays = (self.kind == ActionKind.DIVIDEND) | (self.kind == ActionKind.FUNDING)
        amounts = ~pays | np.isfinite(self.amount)
        self._refuse_first(amounts, 0, "a payment has an amount")


Series = Bars | Quotes | Trades


def median_step_ns(open_ns: Times | Sequence[int]) -> int:
    """Return the usual distance of rows: the length of bars whose source does not tell it.

    Raises:
        BadSeries: fewer than two rows.
    """
    if len(open_ns) < 2:
        raise BadSeries("the length of a single bar cannot be told; give it")
    return int(np.median(np.diff(np.asarray(open_ns))))


def _moment(ts_ns: int) -> str:
    """Return a time in words; the number itself where no calendar reaches."""
    try:
        return datetime.fromtimestamp(ts_ns / 1e9, tz=UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return str(ts_ns)
