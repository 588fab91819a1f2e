"""The writer of a live feed: ticks by COPY in batches, closed candles by upsert, bad ticks apart.

Ticks of a running feed are new by construction and are copied straight into their table. When some
of them turn out to be there already (a replay that is stored twice), the batch takes the slower
way that leaves out what exists. While the database is away, a bounded amount waits.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import psycopg
import structlog
from prometheus_client import Counter, Gauge

from alphintra.core.clock import to_datetime
from alphintra.core.market_data import Bar
from alphintra.market import copying, partitions
from alphintra.platform.database import Database

#: What waits at most while the database is away; then the oldest ticks are given up, and counted.
TICKS_WAITING_MAX: Final = 1_000_000
RETRY_S: Final = 1.0

STORED = Counter("alphintra_market_ticks_stored_total", "Ticks written to the database", ["source"])
LOST = Counter(
    "alphintra_market_ticks_not_stored_total",
    "Ticks that were published but not stored, because the database was away too long",
    ["source"],
)
WAITING = Gauge("alphintra_market_ticks_waiting", "Ticks not yet written", ["source"])
log = structlog.get_logger(__name__)


class _Candle(NamedTuple):
    symbol: str
    bar: Bar
    announce: bool


class Recorder:
    """Stores what one feed hands over. Not shared between feeds."""

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source
        self._connection: psycopg.AsyncConnection | None = None
        self._pieces: set[str] = set()
        self._lines: dict[str, copying.TickLines] = {}
        self._ticks: list[str] = []
        self._quarantine: list[str] = []
        self._candles: list[_Candle] = []
        self._times: list[int] = []

    @property
    def waiting(self) -> int:
        """How many ticks and candles are not written yet."""
        return len(self._ticks) + len(self._candles)

    def lines_of(self, symbol: str) -> copying.TickLines:
        """Return what makes the lines of a symbol's ticks."""
        if (lines := self._lines.get(symbol)) is None:
            lines = self._lines[symbol] = copying.TickLines(symbol, self._source)
        return lines

    def add_ticks(self, lines: Sequence[str], first_ns: int, last_ns: int) -> None:
        """Take lines made with `lines_of`, and the times between which they lie."""
        self._ticks += lines
        self._times += (first_ns, last_ns)

    def add_candle(self, symbol: str, bar: Bar, *, announce: bool) -> None:
        """Take a closed candle; `flush` returns it once it is stored if it is to be announced."""
        self._candles.append(_Candle(symbol, bar, announce))

    def add_quarantine(self, symbol: str, reason: str, raw: str) -> None:
        self._quarantine.append(
            copying.quarantine_line(
                import_id=None,
                symbol=symbol,
                source=self._source,
                row=None,
                reason=reason,
                raw=raw,
            )
        )

    async def flush(self) -> list[tuple[str, Bar]]:
        """Write what waits, in one transaction, and return the candles to announce.

        When the database is away nothing is lost but what exceeds the bound; the result is empty.
        """
        ticks, self._ticks = self._ticks, []
        candles, self._candles = self._candles, []
        quarantine, self._quarantine = self._quarantine, []
        times, self._times = self._times, []
        if not (ticks or candles or quarantine):
            return []
        try:
            await self._write(ticks, candles, quarantine, times)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
            log.warning("feed_not_stored", source=self._source, error=str(error))
            await self.close()
            self._keep(ticks, candles, quarantine, times)
            await asyncio.sleep(RETRY_S)
            return []
        STORED.labels(self._source).inc(len(ticks))
        WAITING.labels(self._source).set(len(self._ticks))
        return [(candle.symbol, candle.bar) for candle in candles if candle.announce]

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _keep(
        self,
        ticks: list[str],
        candles: list[_Candle],
        quarantine: list[str],
        times: list[int],
    ) -> None:
        ticks += self._ticks
        if (excess := len(ticks) - TICKS_WAITING_MAX) > 0:
            del ticks[:excess]
            LOST.labels(self._source).inc(excess)
        self._ticks = ticks
        self._candles = candles + self._candles
        self._quarantine = quarantine + self._quarantine
        self._times = times + self._times
        WAITING.labels(self._source).set(len(ticks))

    async def _write(
        self,
        ticks: list[str],
        candles: list[_Candle],
        quarantine: list[str],
        times: list[int],
    ) -> None:
        if self._connection is None:
            self._connection = await self._database.connect_raw(autocommit=True)
        connection = self._connection
        await self._ensure_pieces(connection, candles, times)
        try:
            async with connection.transaction():
                await self._write_all(connection, ticks, candles, quarantine)
        except psycopg.errors.UniqueViolation:
            async with connection.transaction():
                await copying.stage(connection, "ticks")
                await copying.copy(connection, copying.copy_staged("ticks"), ticks)
                await connection.execute(copying.INSERT_TICKS.encode(), (0, len(ticks)))
                await self._write_all(connection, [], candles, quarantine)

    async def _write_all(
        self,
        connection: psycopg.AsyncConnection,
        ticks: list[str],
        candles: list[_Candle],
        quarantine: list[str],
    ) -> None:
        if candles:
            await write_candles(
                connection, [(one.symbol, one.bar) for one in candles], self._source
            )
        if quarantine:
            await copying.copy(connection, copying.COPY_QUARANTINE, quarantine)
        if ticks:
            await copying.copy(connection, copying.COPY_TICKS, ticks)

    async def _ensure_pieces(
        self,
        connection: psycopg.AsyncConnection,
        candles: list[_Candle],
        times: list[int],
    ) -> None:
        spans: tuple[tuple[partitions.Table, list[int]], ...] = (
            ("ticks", times),
            ("candles", [one.bar.ts_ns for one in candles]),
        )
        for table, instants in spans:
            if not instants:
                continue
            first, last = to_datetime(min(instants)), to_datetime(max(instants))
            name, _, end = partitions.piece_of(table, first)
            if name in self._pieces and last < end:
                continue
            await partitions.ensure(connection, table, first, last)
            self._pieces.add(name)


async def write_candles(
    connection: psycopg.AsyncConnection, candles: Sequence[tuple[str, Bar]], source: str
) -> None:
    """Upsert candles in the caller's transaction; a repeat changes nothing."""
    # Of two versions of one candle the later counts; one statement must not touch a row twice.
    latest = {(symbol, bar.timeframe, bar.ts_ns): (symbol, bar) for symbol, bar in candles}
    at = copying.InstantText()
    lines = [copying.candle_line(symbol, bar, source, at) for symbol, bar in latest.values()]
    await copying.stage(connection, "candles")
    await copying.copy(connection, copying.copy_staged("candles"), lines)
    await connection.execute(copying.UPSERT_CANDLES.encode(), (0, len(lines)))
