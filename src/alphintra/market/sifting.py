"""From the rows of a file to lines for the database, or to quarantine with a reason. Pure but for
the file.

Decisions:
    a price or size keeps its digits; beyond the eighth place it is rounded half to even
    prices off the instrument's tick are taken: history is adjusted, averaged, or from another venue
    files may be in any order; of candles with the same time the first counts, the others are
    quarantined equal ticks are not duplicates: prints of one millisecond agree in everything a
    jump of more than half is flagged and taken: splits and crashes are real, and only a person can
    tell
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Final, Literal

from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.instruments import Instrument
from alphintra.core.market_data import Bar, Quote, Tick, Trade
from alphintra.market import copying
from alphintra.market.errors import FileNotReadable, TimeframeRequired
from alphintra.market.files import Kind, Row, Table
from alphintra.market.timeframes import FIXED_NS, is_daily_or_longer
from alphintra.market.timestamps import BadTime, NonexistentTime, TimeReader
from alphintra.market.validation import SIZE_LIMIT, Reason, check_tick

CHUNK_ROWS: Final = 10_000
_HALF: Final = Decimal("0.5")
_DOUBLE: Final = Decimal(2)
#: Hourly candles of an exchange often begin at its opening, half past.
_GRID_MAX_NS: Final = 1_800 * NS_PER_SECOND
_MISSING: Final = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})
_SIDES: Final[dict[str, Literal["BUY", "SELL"]]] = {
    "buy": "BUY",
    "b": "BUY",
    "sell": "SELL",
    "s": "SELL",
}

FLAG_JUMP: Final = "price_jump_over_half"
FLAG_ORDER: Final = "not_in_time_order"
FLAG_ROUNDED: Final = "rounded_to_eight_places"


class RowRefused(ValueError):
    """One row that is not believed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(slots=True)
class Chunk:
    """Some rows: accepted ones with their ordinals; refused ones with number, reason and text."""

    accepted: list[tuple[Tick, int]] = field(default_factory=list)
    refused: list[tuple[int, Reason, str]] = field(default_factory=list)


class Sifter:
    """Reads one file. What it has seen so far is in its counts.

    Raises:
        TimeframeRequired: the file has candles and no timeframe was given.
        TimesNotUnderstood, TimezoneRequired, UnknownTimezone: see `TimeReader`.
    """

    def __init__(
        self,
        table: Table,
        instrument: Instrument,
        *,
        timeframe: str | None,
        timezone: str,
        date_format: str,
        now_ns: int,
    ) -> None:
        if table.kind is Kind.CANDLES and timeframe is None:
            raise TimeframeRequired("the file has candles; say of which timeframe they are")
        self._table = table
        self._fields = table.fields
        self._timeframe = timeframe or ""
        self._now_ns = now_ns
        self._name = _plain(instrument.symbol)
        self._times = self._time_reader(timezone, date_format)
        self._seen: dict[int, int] = {}
        self._last_ns: int | None = None
        self._direction = 0
        self._last_price: Decimal | None = None
        self.rows = self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.first_ns: int | None = None
        self.last_ns: int | None = None

    def chunks(self) -> Iterator[Chunk]:
        """Yield the file in chunks of `CHUNK_ROWS` rows.

        Raises:
            FileNotReadable, FileTooLarge: the file turned out to be damaged or too large.
        """
        while rows := list(islice(self._table.rows, CHUNK_ROWS)):
            chunk = Chunk()
            for number, row, raw in rows:
                self.rows += 1
                try:
                    if row is None:
                        raise RowRefused(Reason.WRONG_COLUMN_COUNT)
                    chunk.accepted.append(self._accept(row))
                except RowRefused as refusal:
                    self.refused[refusal.reason] += 1
                    text = raw or ",".join("" if cell is None else str(cell) for cell in row or ())
                    chunk.refused.append((number, refusal.reason, text))
                else:
                    self.accepted += 1
            yield chunk
        if self.rows == 0:
            raise FileNotReadable("the file has a header and no rows")

    def _time_reader(self, timezone: str, date_format: str) -> TimeReader:
        is_label = self._table.kind is Kind.CANDLES and is_daily_or_longer(self._timeframe)
        samples = [self._time_cell(row) for row in self._table.sample]
        if not samples:
            raise FileNotReadable("the file has no rows of the width of its header")
        return TimeReader(samples, timezone=timezone, date_format=date_format, is_label=is_label)

    def _time_cell(self, row: Row) -> object:
        if (at := self._fields.get("time")) is None:
            at = self._fields["close_time"]
        clock = self._fields.get("clock")
        return row[at] if clock is None else f"{row[at]} {row[clock]}"

    def _accept(self, row: Row) -> tuple[Tick, int]:
        symbol_at = self._fields.get("symbol")
        if symbol_at is not None and _plain(str(row[symbol_at])) != self._name:
            raise RowRefused(Reason.OTHER_SYMBOL)
        at_ns = self._time(row)
        tick = self._tick(at_ns, row)
        if (reason := check_tick(tick)) is not None:
            raise RowRefused(reason)
        ordinal = self._place(tick)
        self._note(tick)
        return tick, ordinal

    def _time(self, row: Row) -> int:
        try:
            at_ns = self._times(self._time_cell(row))
        except NonexistentTime as error:
            raise RowRefused(Reason.NONEXISTENT_LOCAL_TIME) from error
        except BadTime as error:
            raise RowRefused(Reason.BAD_TIMESTAMP) from error
        if self._table.kind is Kind.CANDLES:
            length = FIXED_NS.get(self._timeframe)
            if length is not None and "time" not in self._fields:
                at_ns = (at_ns - 1) // length * length
            if length is not None and at_ns % min(length, _GRID_MAX_NS):
                raise RowRefused(Reason.OFF_GRID_TIME)
        if at_ns > self._now_ns:
            raise RowRefused(Reason.IN_THE_FUTURE)
        if at_ns < 0:
            raise RowRefused(Reason.BAD_TIMESTAMP)
        return at_ns

    def _tick(self, at_ns: int, row: Row) -> Tick:
        match self._table.kind:
            case Kind.CANDLES:
                open_, high, low, close = (
                    self._price(row, name) for name in ("open", "high", "low", "close")
                )
                volume = self._size(row, "volume")
                return Bar(at_ns, self._timeframe, open_, high, low, close, volume)
            case Kind.QUOTES:
                return Quote(
                    at_ns,
                    self._price(row, "bid"),
                    self._price(row, "ask"),
                    self._size(row, "bid_size"),
                    self._size(row, "ask_size"),
                )
            case Kind.TRADES:
                size = self._size(row, "size")
                if size is None:
                    raise RowRefused(Reason.SIZE_MISSING)
                return Trade(at_ns, self._price(row, "price"), size, self._side(row))

    def _price(self, row: Row, name: str) -> Decimal:
        value = _number(row[self._fields[name]])
        if value is None:
            raise RowRefused(Reason.PRICE_MISSING)
        return self._eight_places(value, money.LIMIT)

    def _size(self, row: Row, name: str) -> Decimal | None:
        at = self._fields.get(name)
        value = None if at is None else _number(row[at])
        return None if value is None else self._eight_places(value, SIZE_LIMIT)

    def _eight_places(self, value: Decimal, limit: Decimal) -> Decimal:
        exponent = value.as_tuple().exponent
        if isinstance(exponent, str) or exponent >= -money.PLACES or abs(value) >= limit:
            return value  # what is out of range is judged with its row
        self.flags[FLAG_ROUNDED] += 1
        return value.quantize(money.QUANTUM, context=copying.WIDE)

    def _side(self, row: Row) -> Literal["BUY", "SELL"] | None:
        at = self._fields.get("side")
        return None if at is None else _SIDES.get(str(row[at]).strip().lower())

    def _place(self, tick: Tick) -> int:
        """Return how many ticks of this moment came before; of candles there may be none."""
        before = self._seen.get(tick.ts_ns)
        if isinstance(tick, Bar):
            content = hash(tick)
            if before is not None:
                raise RowRefused(
                    Reason.DUPLICATE if before == content else Reason.CONFLICTING_DUPLICATE
                )
            self._seen[tick.ts_ns] = content
            return 0
        ordinal = 0 if before is None else before + 1
        self._seen[tick.ts_ns] = ordinal
        return ordinal

    def _note(self, tick: Tick) -> None:
        at_ns = tick.ts_ns
        if self._last_ns is not None and at_ns != self._last_ns:
            direction = 1 if at_ns > self._last_ns else -1
            if direction == -self._direction:
                self.flags[FLAG_ORDER] += 1
            self._direction = self._direction or direction
        self._last_ns = at_ns
        self.first_ns = at_ns if self.first_ns is None else min(self.first_ns, at_ns)
        self.last_ns = at_ns if self.last_ns is None else max(self.last_ns, at_ns)
        price = tick.close if isinstance(tick, Bar) else _price_of(tick)
        before = self._last_price
        if before is not None and not before * _HALF <= price <= before * _DOUBLE:
            self.flags[FLAG_JUMP] += 1
        self._last_price = price


def _price_of(tick: Quote | Trade) -> Decimal:
    return tick.bid if isinstance(tick, Quote) else tick.price


def _plain(symbol: str) -> str:
    return "".join(character for character in symbol.upper() if character.isalnum())


def _number(cell: object) -> Decimal | None:
    """Return the exact number in a cell, `None` where there is none.

    A binary float means the shortest decimal that reads back as it.
    """
    if cell is None:
        return None
    if isinstance(cell, float):
        return None if cell != cell else Decimal(repr(cell))
    text = str(cell).strip()
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        if text.lower() in _MISSING:
            return None
        raise RowRefused(Reason.NOT_A_NUMBER) from error
    return None if value.is_nan() else value
