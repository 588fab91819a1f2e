"""Closed candles in order: grouped by the time at which they closed, none twice, none missing
unnoticed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import nan
from typing import Final

from alphintra.core.clock import to_datetime, to_ns
from alphintra.core.market_data import Bar
from alphintra.market import Candle, MarketService
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CandleRow

#: A group waits so long for the candles of its other symbols: they close within a second, if at
#: all.
GROUP_WAIT_S: Final = 1.5
#: Candles of one symbol that are read at a time.
PAGE: Final = 5_000
#: Candles of the past that are told at once: a process that answers late is noticed by that.
PAST_CANDLES: Final = 2_000
#: What an outage of any length is caught up with at most; older candles are left out.
MISSED_MAX: Final = 20_000


def row_of_bar(symbol: str, bar: Bar, length_ns: int) -> CandleRow:
    """Return a candle of the feed as strategies are told it."""
    return _row(symbol, bar.ts_ns, length_ns, (bar.open, bar.high, bar.low, bar.close), bar.volume)


def row_of_candle(symbol: str, candle: Candle, length_ns: int) -> CandleRow:
    """Return a stored candle as strategies are told it."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    return _row(symbol, to_ns(candle.starts_at), length_ns, prices, candle.volume)


def _row(
    symbol: str,
    open_ns: int,
    length_ns: int,
    prices: tuple[Decimal, Decimal, Decimal, Decimal],
    volume: Decimal | None,
) -> CandleRow:
    first, high, low, last = map(float, prices)
    return CandleRow(
        symbol=symbol,
        open_ns=open_ns,
        close_ns=open_ns + length_ns,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=nan if volume is None else float(volume),
    )


@dataclass(slots=True)
class Group:
    """Candles of several symbols that closed together."""

    close_ns: int
    since_s: float
    bars: dict[str, CandleRow] = field(default_factory=dict)
    #: Heard as they closed, not read from the database afterwards.
    is_heard: bool = False


@dataclass(slots=True)
class Candles:
    """What waits to be told of the candles of some symbols.

    Args:
        symbols: those that a group waits for.
    """

    symbols: Sequence[str]
    length_ns: int
    #: By symbol, when the last candle closed that was told.
    told_ns: dict[str, int] = field(default_factory=dict)
    _waiting: dict[int, Group] = field(default_factory=dict)
    _newest_ns: dict[str, int] = field(default_factory=dict)

    def add(self, row: CandleRow, *, now_s: float, is_heard: bool) -> bool:
        """Take a closed candle; say whether it was new."""
        if row.close_ns <= self.told_ns.get(row.symbol, -1):
            return False
        group = self._waiting.get(row.close_ns)
        if group is None:
            group = self._waiting[row.close_ns] = Group(row.close_ns, now_s)
        group.is_heard |= is_heard
        newest_ns = self._newest_ns.get(row.symbol, -1)
        self._newest_ns[row.symbol] = max(newest_ns, row.close_ns)
        if row.symbol in group.bars:
            return False
        group.bars[row.symbol] = row
        return True

    @property
    def has_waiting(self) -> bool:
        """Whether any candle waits to be told."""
        return bool(self._waiting)

    @property
    def is_contiguous(self) -> bool:
        """Whether the next group begins, for each of its symbols, where the last one told ended."""
        if not self._waiting:
            return True
        group = self._waiting[min(self._waiting)]
        return all(
            row.open_ns == self.told_ns.get(row.symbol, row.open_ns) for row in group.bars.values()
        )

    def is_due(self, now_s: float) -> bool:
        """Whether the next group is complete, or has waited long enough."""
        if not self._waiting:
            return False
        close_ns = min(self._waiting)
        group = self._waiting[close_ns]
        return now_s - group.since_s >= GROUP_WAIT_S or all(
            # A symbol that has spoken of a later time has nothing left to say of this one.
            symbol in group.bars or self._newest_ns.get(symbol, -1) > close_ns
            for symbol in self.symbols
        )

    def take(self, now_s: float) -> Group | None:
        """Return the next group that is due."""
        if not self.is_due(now_s):
            return None
        close_ns = min(self._waiting)
        group = self._waiting[close_ns]
        del self._waiting[close_ns]
        for symbol, row in group.bars.items():
            self.told_ns[symbol] = row.close_ns
        return group

    def due_in_s(self, now_s: float) -> float | None:
        """Return after how long the next group has waited long enough; `None`: none waits."""
        if not self._waiting:
            return None
        return max(0.0, self._waiting[min(self._waiting)].since_s + GROUP_WAIT_S - now_s)


async def warm_up(
    market: MarketService,
    symbols: Iterable[str],
    timeframe: str,
    length_ns: int,
    *,
    count: int,
    before: datetime,
) -> list[CandleRow]:
    """Return the newest candles that closed before a moment, of each symbol as many, by close.

    Raises:
        UnknownInstrument: there is no such symbol.
        Unavailable: the database is away.
    """
    found: list[CandleRow] = []
    end = before - (to_datetime(length_ns) - to_datetime(0))
    for symbol in symbols:
        rows: list[CandleRow] = []
        cursor: str | None = None
        while len(rows) < count:
            page, cursor = await market.candles(
                symbol,
                timeframe,
                start=None,
                # A candle starts a length before it closes; the end is exclusive.
                end=end + (to_datetime(1_000) - to_datetime(0)),
                limit=min(PAGE, count - len(rows)),
                cursor=cursor,
                newest_first=True,
            )
            rows += [row_of_candle(symbol, one, length_ns) for one in page]
            if cursor is None:
                break
        found += rows
    return sorted(found, key=lambda row: (row.close_ns, row.symbol))


async def missed(
    market: MarketService,
    told_ns: dict[str, int],
    timeframe: str,
    length_ns: int,
    *,
    before: datetime,
) -> list[CandleRow]:
    """Return what closed behind the last candle told of each symbol, until a moment.

    Raises:
        Unavailable: the database is away.
    """
    found: list[CandleRow] = []
    for symbol, close_ns in told_ns.items():
        start, cursor, count = to_datetime(close_ns), None, 0
        while count < MISSED_MAX:
            page, cursor = await market.candles(
                symbol, timeframe, start=start, end=None, limit=PAGE, cursor=cursor
            )
            rows = [row_of_candle(symbol, one, length_ns) for one in page]
            found += [row for row in rows if to_datetime(row.close_ns) <= before]
            count += len(rows)
            if cursor is None:
                break
    return found


def histories(rows: Sequence[CandleRow]) -> list[frames.History]:
    """Return the frames that tell the past, cut where candles closed together."""
    parts: list[list[CandleRow]] = [[]]
    for place, row in enumerate(rows):
        is_full = len(parts[-1]) >= PAST_CANDLES
        if is_full and row.close_ns != rows[place - 1].close_ns:
            parts.append([])
        parts[-1].append(row)
    return [
        frames.History(candles=_columns(part), last=number == len(parts))
        for number, part in enumerate(parts, 1)
    ]


def _columns(rows: Sequence[CandleRow]) -> tuple[frames.Candles, ...]:
    by_symbol: dict[str, list[CandleRow]] = {}
    for row in rows:
        by_symbol.setdefault(row.symbol, []).append(row)
    return tuple(frames.candles_of(symbol, those) for symbol, those in by_symbol.items())
