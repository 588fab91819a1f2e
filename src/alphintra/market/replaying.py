"""A recorded file published as if it happened: faster, slower, or as fast as it goes.

Events keep their own times; only the distance between them is divided by the speed. A candle comes
when it was complete. Long silences (nights, weekends, missing years) are cut to `PAUSE_MAX_S`,
because a feed that is silent for longer counts as broken. A file of candles gives candles and
nothing invented: what has no quotes is priced from the last close.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import structlog

from alphintra.core.errors import BadRequest
from alphintra.core.market_data import STATUS_SUBJECT, Bar, FeedStatus, Tick, encode
from alphintra.market.errors import FileTooLarge, TimeframeRequired
from alphintra.market.files import Kind, Table, open_table
from alphintra.market.instruments import load_instrument
from alphintra.market.locks import feed_lock
from alphintra.market.pipeline import FeedPipeline
from alphintra.market.sifting import Sifter
from alphintra.market.timeframes import FIXED_NS, bucket_end_ns, parse
from alphintra.market.timestamps import BadTime, TimeReader
from alphintra.platform.services import Services

SOURCE: Final = "replay"
ROWS_MAX: Final = 2_000_000
#: Events that one message carries at most.
BATCH_EVENTS: Final = 500
PAUSE_MAX_S: Final = 5.0
SPEED_MAX: Final = 1_000_000.0

log = structlog.get_logger(__name__)


class InvalidSpeed(BadRequest):
    """The speed cannot be. Take a multiple of real time such as 60, or 0 for as fast as it goes."""

    code = "invalid_speed"


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was replayed. Rows that were not believed are counted by reason and not published."""

    symbol: str
    kind: str
    timeframe: str | None
    published: int
    quarantined: dict[str, int]


async def replay(
    services: Services,
    path: Path,
    *,
    symbol: str | None = None,
    speed: float = 1.0,
    timeframe: str | None = None,
    timezone: str = "",
    columns: Sequence[str] = (),
    date_format: str = "",
    stop: asyncio.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayResult:
    """Publish a file's events on the feed and return when they are over or `stop` is set.

    Args:
        symbol: default: the first part of the file's name, `SPY` of `SPY_1m.parquet`.
        speed: how many times faster than it happened; 0 as fast as it goes.
        timeframe: of candles; found out from their distance where it is not given.
        progress: told how many events of how many were published.

    Raises:
        InvalidSpeed, UnknownInstrument, UnknownTimeframe: see there.
        FeedInUse: the symbol is being replayed already.
        BadRequest: the file cannot be read; the same refusals as for an import.
        Unavailable: database or bus are away.
    """
    if not 0 <= speed <= SPEED_MAX:
        raise InvalidSpeed(f"the speed lies between 0 and {SPEED_MAX:,.0f}")
    symbol = symbol or path.stem.split("_")[0].upper()
    checked = None if timeframe is None else parse(timeframe)
    async with services.database.reading() as session:
        instrument = await load_instrument(session, symbol)

    def read() -> tuple[list[Tick], Counter[str], Table, str | None]:
        table = open_table(path, columns=columns, base=str(instrument.base))
        is_candles = table.kind is Kind.CANDLES
        found = checked or (_distance(table, timezone, date_format) if is_candles else None)
        sifter = Sifter(
            table,
            instrument,
            timeframe=found,
            timezone=timezone,
            date_format=date_format,
            now_ns=services.clock.now_ns(),
        )
        return _events(sifter), sifter.refused, table, found if is_candles else None

    events, refused, table, found_timeframe = await asyncio.to_thread(read)
    async with feed_lock(services.database, f"{SOURCE}/{symbol}"):
        published = await _publish(
            services, symbol, events, speed, stop or asyncio.Event(), progress
        )
    log.info("replayed", symbol=symbol, published=published, quarantined=dict(refused))
    return ReplayResult(
        symbol=symbol,
        kind=str(table.kind),
        timeframe=found_timeframe,
        published=published,
        quarantined=dict(refused),
    )


def _events(sifter: Sifter) -> list[Tick]:
    events: list[Tick] = []
    for chunk in sifter.chunks():
        events += [tick for tick, _ in chunk.accepted]
        if len(events) > ROWS_MAX:
            raise FileTooLarge(f"a replay has at most {ROWS_MAX:,} events; split the file")
    events.sort(key=lambda tick: tick.ts_ns)
    return events


def _distance(table: Table, timezone: str, date_format: str) -> str:
    """Return the timeframe that the sample's most frequent distance is."""
    at = table.fields.get("time", table.fields.get("close_time", 0))
    if "clock" in table.fields:
        raise TimeframeRequired("say of which timeframe the candles are")
    cells = [row[at] for row in table.sample]
    reader = TimeReader(cells, timezone=timezone, date_format=date_format, is_label=False)
    times: list[int] = []
    for cell in cells:
        try:
            times.append(reader(cell))
        except BadTime:
            continue
    distances = Counter(abs(after - before) for before, after in pairwise(times))
    usual = distances.most_common(1)[0][0] if distances else 0
    for timeframe, length in FIXED_NS.items():
        if length == usual:
            return timeframe
    raise TimeframeRequired("the candles' distance is of no timeframe; say which one they are of")


def due_ns(tick: Tick) -> int:
    """Return when an event was known: a candle at its end, everything else at its time."""
    return bucket_end_ns(tick.ts_ns, tick.timeframe) if isinstance(tick, Bar) else tick.ts_ns


async def _publish(
    services: Services,
    symbol: str,
    events: Sequence[Tick],
    speed: float,
    stop: asyncio.Event,
    progress: Callable[[int, int], None] | None,
) -> int:
    pipeline = FeedPipeline(services, SOURCE, store=False)
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    done = 0
    try:
        while done < len(events) and not stop.is_set():
            if done and speed:
                gap_s = (due_ns(events[done]) - due_ns(events[done - 1])) / 1e9 / speed
                due_s += min(gap_s, PAUSE_MAX_S)
            await _wait_until(due_s if speed else 0, stop)
            if stop.is_set():
                break
            end = _batch_end(events, done, speed, behind_s=loop.time() - due_s)
            if speed:
                due_s += (due_ns(events[end - 1]) - due_ns(events[done])) / 1e9 / speed
            await pipeline.ingest(symbol, events[done:end])
            done = end
            if progress is not None:
                progress(done, len(events))
    finally:
        await pipeline.finish()
        status = FeedStatus(
            symbol=symbol, source=SOURCE, state="STOPPED", at_ns=services.clock.now_ns()
        )
        await services.bus.publish(STATUS_SUBJECT, encode(status))
        await services.bus.ping()
    return done


def _batch_end(events: Sequence[Tick], start: int, speed: float, *, behind_s: float) -> int:
    """Return the end of what is due: at least one event, and all that should be out by now."""
    limit = min(len(events), start + BATCH_EVENTS)
    if not speed:
        return limit
    until_ns = due_ns(events[start]) + max(0, round(min(behind_s, PAUSE_MAX_S) * speed * 1e9))
    end = start + 1
    while end < limit and due_ns(events[end]) <= until_ns:
        end += 1
    return end


async def _wait_until(due_s: float, stop: asyncio.Event) -> None:
    pause_s = due_s - asyncio.get_running_loop().time()
    if pause_s <= 0:
        await asyncio.sleep(0)
        return
    try:
        await asyncio.wait_for(stop.wait(), pause_s)
    except TimeoutError:
        return
