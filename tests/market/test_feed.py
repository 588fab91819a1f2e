"""The role `market` on real servers: it publishes, stores, makes candles, and gives way."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from alphintra.core.market_data import (
    FEED_SUBJECT,
    STATUS_SUBJECT,
    Bar,
    FeedBatch,
    FeedStatus,
    Quote,
    Trade,
    decode_batch,
    decode_status,
)
from alphintra.market import MarketService, is_derived, replay, run_market
from alphintra.market.errors import FeedInUse
from alphintra.market.locks import feed_lock
from alphintra.market.pipeline import FeedPipeline
from alphintra.market.restart import rebuild
from alphintra.platform.services import Services

WAIT_S = 60.0


class Listener:
    """Everything that was published."""

    def __init__(self) -> None:
        self.batches: list[FeedBatch] = []
        self.statuses: list[FeedStatus] = []
        self._arrived = asyncio.Condition()

    async def on_batch(self, _: str, body: bytes) -> None:
        async with self._arrived:
            self.batches.append(decode_batch(body))
            self._arrived.notify_all()

    async def on_status(self, _: str, body: bytes) -> None:
        async with self._arrived:
            self.statuses.append(decode_status(body))
            self._arrived.notify_all()

    async def next(self) -> None:
        """Wait until anything arrives."""
        async with self._arrived:
            await self._arrived.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S), self._arrived:
            await self._arrived.wait_for(condition)


@pytest.fixture
async def listener(services: Services) -> AsyncIterator[Listener]:
    heard = Listener()
    feed = await services.bus.subscribe(f"{FEED_SUBJECT}.>", heard.on_batch)
    status = await services.bus.subscribe(STATUS_SUBJECT, heard.on_status)
    yield heard
    await feed.unsubscribe()
    await status.unsubscribe()


@asynccontextmanager
async def market_running(services: Services) -> AsyncIterator[None]:
    stop = asyncio.Event()
    role = asyncio.create_task(run_market(services, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(role, WAIT_S)


async def rows(services: Services, statement: str, *values: object) -> list[tuple[object, ...]]:
    connection = await psycopg.AsyncConnection.connect(services.database.conninfo)
    async with connection:
        return await (await connection.execute(statement.encode(), values)).fetchall()


def of(listener: Listener, symbol: str, source: str) -> list[FeedBatch]:
    return [one for one in listener.batches if (one.symbol, one.source) == (symbol, source)]


async def test_the_simulator_publishes_stores_and_makes_candles(
    services: Services, listener: Listener
) -> None:
    async with market_running(services):
        await listener.until(
            lambda: any(
                isinstance(tick, Bar) and tick.closed and tick.timeframe == "1s"
                for batch in of(listener, "BTC-USD", "simulator:candles")
                for tick in batch.ticks
            )
        )
        quote = await MarketService(services).latest_quote("BTC-USD")
        assert quote.symbol == "BTC-USD"
        await listener.until(lambda: any(one.state == "LIVE" for one in listener.statuses))
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    for batch in listener.batches:
        sequences[batch.symbol, batch.source].append(batch.sequence)
    for numbers in sequences.values():
        assert numbers == list(range(1, len(numbers) + 1))
    published = [tick for one in of(listener, "BTC-USD", "simulator") for tick in one.ticks]
    stored = await rows(
        services,
        "SELECT count(*) FROM market.ticks WHERE symbol = 'BTC-USD' AND source = 'simulator'",
    )
    assert stored == [(len(published),)]
    bars = [
        tick
        for one in of(listener, "BTC-USD", "simulator:candles")
        for tick in one.ticks
        if isinstance(tick, Bar) and tick.closed
    ]
    kept = await rows(
        services,
        "SELECT close, volume FROM market.candles WHERE symbol = 'BTC-USD' AND timeframe = '1s' "
        "AND source = 'simulator' ORDER BY starts_at",
    )
    assert (
        kept[: len(bars)]
        == [(bar.close, bar.volume) for bar in bars if bar.timeframe == "1s"][: len(kept)]
    )


async def test_after_a_restart_the_price_goes_on_and_charts_have_a_past(
    services: Services, listener: Listener
) -> None:
    async with market_running(services):
        await listener.until(lambda: len(of(listener, "BTC-USD", "simulator")) > 3)
    listener.batches.clear()
    known = await rebuild(services.database, "BTC-USD", "simulator")
    assert known is not None
    async with market_running(services):
        await listener.until(
            lambda: any(
                isinstance(tick, Quote)
                for one in of(listener, "BTC-USD", "simulator")
                for tick in one.ticks
            )
        )
        async with asyncio.timeout(WAIT_S):
            while len(await candles_of(services, "EUR-USD", "1d")) < 300:
                await listener.next()
    first = next(
        tick
        for one in of(listener, "BTC-USD", "simulator")
        for tick in one.ticks
        if isinstance(tick, Quote)
    )
    assert abs(first.bid / known.last_price - 1) < 0.02
    days = await candles_of(services, "BTC-USD", "1d")
    minutes = await candles_of(services, "BTC-USD", "1m")
    assert len(days) >= 300
    assert len(minutes) >= 1_440


async def candles_of(services: Services, symbol: str, timeframe: str) -> list[object]:
    found, _ = await MarketService(services).candles(
        symbol, timeframe, start=None, end=None, limit=5_000
    )
    return list(found)


async def test_a_feed_has_one_publisher(services: Services) -> None:
    async with feed_lock(services.database, "only-one"):
        with pytest.raises(FeedInUse):
            async with feed_lock(services.database, "only-one"):
                pass
    async with feed_lock(services.database, "only-one"):
        pass


async def test_a_real_day_is_replayed_in_order_with_longer_candles(
    services: Services, listener: Listener, data: Path
) -> None:
    result = await replay(
        services, data / "us_intraday" / "SPY_1m_lean.parquet", speed=0, timeframe=None
    )
    assert (result.symbol, result.kind, result.timeframe) == ("SPY", "candles", "1m")
    assert (result.published, result.quarantined) == (5786, {})
    await listener.until(lambda: any(one.state == "STOPPED" for one in listener.statuses))
    bars = [tick for one in of(listener, "SPY", "replay") for tick in one.ticks]
    assert len(bars) == 5786
    assert all(isinstance(bar, Bar) and bar.closed for bar in bars)
    times = [bar.ts_ns for bar in bars]
    assert times == sorted(times)
    derived = [
        bar
        for one in of(listener, "SPY", "replay:candles")
        for bar in one.ticks
        if isinstance(bar, Bar)
    ]
    assert is_derived("replay:candles")
    hours = {bar.ts_ns: bar for bar in derived if bar.timeframe == "1h"}
    some = next(iter(hours.values()))
    members = [
        bar
        for bar in bars
        if isinstance(bar, Bar) and some.ts_ns <= bar.ts_ns < some.ts_ns + 3_600 * 10**9
    ]
    assert some.high == max(bar.high for bar in members)
    assert some.volume == sum(bar.volume for bar in members if bar.volume is not None)
    stored = await rows(services, "SELECT count(*) FROM market.candles WHERE source = 'replay'")
    assert stored == [(0,)]


async def test_the_simulator_gives_way_to_a_replay_and_goes_on_from_its_price(
    services: Services, listener: Listener, data: Path
) -> None:
    stop = asyncio.Event()
    async with market_running(services):
        await listener.until(lambda: bool(of(listener, "SPY", "simulator")))
        day = asyncio.create_task(
            replay(
                services,
                data / "us_intraday" / "SPY_1m_lean.parquet",
                symbol="SPY",
                speed=600,
                stop=stop,
            )
        )
        await listener.until(
            lambda: any(
                (one.source, one.symbol, one.state) == ("simulator", "SPY", "STOPPED")
                for one in listener.statuses
            )
        )
        before = len(of(listener, "SPY", "simulator"))
        count = len(of(listener, "SPY", "replay"))
        await listener.until(lambda: len(of(listener, "SPY", "replay")) > count + 5)
        assert len(of(listener, "SPY", "simulator")) == before
        board = MarketService(services)
        quote = await board.latest_quote("SPY")
        await listener.until(lambda: len(of(listener, "SPY", "replay")) > count + 10)
        quote = await board.latest_quote("SPY")
        assert (quote.source, quote.bid) == ("replay", None)
        stop.set()
        result = await day
        assert result.published < 5786
        await listener.until(lambda: len(of(listener, "SPY", "simulator")) > before + 3)
        last = of(listener, "SPY", "simulator")[-1].ticks[-1]
        price = last.bid if isinstance(last, Quote) else getattr(last, "price", None)
        assert quote.last is not None
        assert price is not None
        assert abs(price / quote.last - 1) < 0.05


async def test_ticks_that_cannot_be_true_are_kept_apart(services: Services) -> None:
    pipeline = FeedPipeline(services, "bad-feed")
    now_ns = services.clock.now_ns()
    good = Trade(now_ns, Decimal(100), Decimal(1))
    await pipeline.ingest("ETH-USD", [good])
    await pipeline.ingest(
        "ETH-USD",
        [
            Quote(now_ns, Decimal(101), Decimal(100)),
            Trade(now_ns, Decimal(0), Decimal(1)),
            Trade(now_ns, Decimal(10), Decimal(1)),
            Trade(now_ns + 3_600 * 10**9, Decimal(100), Decimal(1)),
            Trade(now_ns, Decimal(101), Decimal(1)),
        ],
    )
    await pipeline.finish()
    found = await rows(
        services, "SELECT reason FROM market.quarantine WHERE source = 'bad-feed' ORDER BY id"
    )
    assert [row[0] for row in found] == [
        "crossed_quote",
        "price_not_positive",
        "price_jump",
        "in_the_future",
    ]
    kept = await rows(
        services, "SELECT price FROM market.ticks WHERE source = 'bad-feed' ORDER BY ordinal"
    )
    assert kept == [(Decimal(100),), (Decimal(101),)]


async def test_a_feed_without_simulator_only_watches(services: Services) -> None:
    quiet = replace(services, settings=services.settings.model_copy(update={"feed": "none"}))
    async with market_running(quiet):
        pass


async def test_what_was_taken_in_while_the_database_was_away_is_stored_afterwards(
    services: Services, listener: Listener
) -> None:
    pipeline = FeedPipeline(services, "unlucky")
    now_ns = services.clock.now_ns()
    await pipeline.ingest("MSFT", [Trade(now_ns, Decimal(100), Decimal(1))])
    await pipeline.flush()
    # The recorder's is the only connection without a name.
    killed = await rows(
        services,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = '' AND pid <> pg_backend_pid()",
    )
    assert killed
    await pipeline.ingest("MSFT", [Trade(now_ns + 1_000, Decimal(101), Decimal(1))])
    await pipeline.flush()
    await pipeline.flush()
    await pipeline.finish()
    stored = await rows(
        services, "SELECT price FROM market.ticks WHERE source = 'unlucky' ORDER BY at"
    )
    assert stored == [(Decimal(100),), (Decimal(101),)]
    await listener.until(
        lambda: any(
            isinstance(tick, Bar) and tick.timeframe == "1d" and tick.closed
            for one in of(listener, "MSFT", "unlucky:candles")
            for tick in one.ticks
        )
    )
