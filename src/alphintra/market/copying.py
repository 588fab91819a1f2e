"""Ticks and candles on their way into PostgreSQL: as lines of COPY's text format.

Symbols and sources are plain words (see `instruments.SYMBOL`), so nothing here needs escaping but
the raw text of quarantined rows.
"""

from collections.abc import Sequence
from decimal import Context
from typing import Final

import psycopg

from alphintra.core.clock import to_datetime
from alphintra.core.market_data import Bar, Quote, Tick, Trade

TICK_COLUMNS: Final = (
    "symbol, at, kind, source, ordinal, bid, ask, bid_size, ask_size, price, size, side"
)
CANDLE_COLUMNS: Final = "symbol, timeframe, starts_at, open, high, low, close, volume, source"
QUARANTINE_COLUMNS: Final = "import_id, symbol, source, row_number, reason, raw"
COPY_TICKS: Final = f"COPY market.ticks ({TICK_COLUMNS}) FROM STDIN"
COPY_QUARANTINE: Final = f"COPY market.quarantine ({QUARANTINE_COLUMNS}) FROM STDIN"

_NS: Final = 1_000_000_000
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\ufffd"}
)

RAW_LENGTH_MAX: Final = 4_000
#: Rounds to eight places without running out of digits.
WIDE: Final = Context(prec=60)


def escape(text: str) -> str:
    """Return text as COPY reads it back; NUL, which PostgreSQL has no room for, is replaced."""
    return text[:RAW_LENGTH_MAX].encode("utf-8", "replace").decode().translate(_ESCAPES)


class InstantText:
    """Instants as text for PostgreSQL, cut to the microsecond; remembers the second it is in."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, at_ns: int) -> str:
        second, rest = divmod(at_ns, _NS)
        if second != self._second:
            self._second = second
            self._text = to_datetime(second * _NS).strftime("%Y-%m-%d %H:%M:%S")
        return f"{self._text}.{rest // 1_000:06d}+00"


class TickLines:
    """Makes the lines of one symbol from one source."""

    __slots__ = ("_at", "_quote", "_trade")

    def __init__(self, symbol: str, source: str) -> None:
        self._at = InstantText()
        self._quote = (f"{symbol}\t", f"\tQ\t{source}\t")
        self._trade = (f"{symbol}\t", f"\tT\t{source}\t")

    def quote(self, tick: Quote, ordinal: int) -> str:
        before, after = self._quote
        bid_size = "\\N" if tick.bid_size is None else tick.bid_size
        ask_size = "\\N" if tick.ask_size is None else tick.ask_size
        return (
            f"{before}{self._at(tick.ts_ns)}{after}{ordinal}\t{tick.bid}\t{tick.ask}\t"
            f"{bid_size}\t{ask_size}\t\\N\t\\N\t\\N\n"
        )

    def trade(self, tick: Trade, ordinal: int) -> str:
        before, after = self._trade
        return (
            f"{before}{self._at(tick.ts_ns)}{after}{ordinal}\t\\N\t\\N\t\\N\t\\N\t"
            f"{tick.price}\t{tick.size}\t{tick.side or chr(92) + 'N'}\n"
        )


class Lines:
    """Makes the lines of ticks and candles of one symbol from one source."""

    __slots__ = ("_at", "_source", "_symbol", "_ticks")

    def __init__(self, symbol: str, source: str) -> None:
        self._symbol = symbol
        self._source = source
        self._at = InstantText()
        self._ticks = TickLines(symbol, source)

    def __call__(self, tick: Tick, ordinal: int) -> str:
        if isinstance(tick, Bar):
            return candle_line(self._symbol, tick, self._source, self._at)
        if isinstance(tick, Quote):
            return self._ticks.quote(tick, ordinal)
        return self._ticks.trade(tick, ordinal)


def candle_line(symbol: str, bar: Bar, source: str, at: InstantText) -> str:
    """Return the line of one candle."""
    volume = "\\N" if bar.volume is None else bar.volume
    return (
        f"{symbol}\t{bar.timeframe}\t{at(bar.ts_ns)}\t{bar.open}\t{bar.high}\t{bar.low}\t"
        f"{bar.close}\t{volume}\t{source}\n"
    )


def quarantine_line(
    *, import_id: str | None, symbol: str, source: str, row: int | None, reason: str, raw: str
) -> str:
    """Return the line of one row that was not believed."""
    return (
        f"{import_id or chr(92) + 'N'}\t{symbol}\t{source}\t"
        f"{chr(92) + 'N' if row is None else row}\t{reason}\t{escape(raw)}\n"
    )


async def copy(connection: psycopg.AsyncConnection, statement: str, lines: Sequence[str]) -> None:
    """Send lines with a COPY statement, in the caller's transaction."""
    async with connection.cursor() as cursor, cursor.copy(statement.encode()) as sink:
        for start in range(0, len(lines), 5_000):
            await sink.write("".join(lines[start : start + 5_000]).encode())


UPSERT_CANDLES: Final = f"""
INSERT INTO market.candles AS kept ({CANDLE_COLUMNS})
SELECT {CANDLE_COLUMNS} FROM pg_temp.staged_candles WHERE n > %s AND n <= %s
ON CONFLICT (symbol, timeframe, starts_at) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, source = excluded.source
WHERE (kept.open, kept.high, kept.low, kept.close, kept.volume)
    IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
"""  # noqa: S608 - constants only
INSERT_TICKS: Final = f"""
INSERT INTO market.ticks ({TICK_COLUMNS})
SELECT {TICK_COLUMNS} FROM pg_temp.staged_ticks WHERE n > %s AND n <= %s
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only


async def stage(connection: psycopg.AsyncConnection, table: str) -> None:
    """Make the empty temporary table `staged_<table>`, whose rows are numbered by `n` from 1."""
    await connection.execute(f"DROP TABLE IF EXISTS pg_temp.staged_{table}".encode())
    await connection.execute(
        f"CREATE TEMP TABLE staged_{table} (LIKE market.{table}, n bigserial)".encode()
    )


def copy_staged(table: str) -> str:
    """Return the COPY statement into the temporary table."""
    columns = CANDLE_COLUMNS if table == "candles" else TICK_COLUMNS
    return f"COPY pg_temp.staged_{table} ({columns}) FROM STDIN"
