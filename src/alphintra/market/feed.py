"""The role `market`: the feed of this installation, its candles, and the watchdog of all feeds.

Every process of the role watches; one of them, which holds the feed's lock, also runs the
simulator. When it dies another takes over within seconds.

The simulator gives way: while another source publishes one of its symbols (a replay, say) it is
silent on that one, and afterwards it goes on from the price at which the other stopped.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import structlog

from alphintra.core.clock import NS_PER_SECOND, now
from alphintra.core.errors import Unavailable
from alphintra.core.market_data import FeedStatus, Tick
from alphintra.market import backfill, retention, sessions
from alphintra.market.demo_market import MODELS
from alphintra.market.errors import FeedInUse
from alphintra.market.guard import FeedGuard
from alphintra.market.locks import FeedLock, feed_lock
from alphintra.market.pipeline import RUNNING_S, FeedPipeline
from alphintra.market.restart import rebuild
from alphintra.market.simulator import MarketSimulator
from alphintra.platform.services import Services

SIMULATOR: Final = "simulator"
#: How often the simulator is asked for what has happened: what a tick waits at most.
STEP_S: Final = 0.02
RETRY_S: Final = 2.0
CALENDARS_S: Final = 6 * 3_600.0
THIN_OUT_S: Final = 3_600.0
#: After a pause (a suspended laptop) the simulator does not catch up further than this.
CATCH_UP_NS: Final = 2 * NS_PER_SECOND

log = structlog.get_logger(__name__)


async def run_market(services: Services, stop: asyncio.Event) -> None:
    """Run the role until `stop` is set; outlives restarts of the database and of the bus."""
    guard = FeedGuard(services)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(guard.run(stop))
        calendars = tasks.create_task(_keep_calendars(services, stop))
        if services.settings.feed == "simulator":
            tasks.create_task(_run_simulator(services, guard, stop))
        await stop.wait()
        calendars.cancel()  # reading one takes seconds, and it can be read another time


async def _keep_calendars(services: Services, stop: asyncio.Event) -> None:
    while not stop.is_set():
        pause_s = CALENDARS_S
        try:
            await sessions.refresh(services.database, now(services.clock))
        except Unavailable as error:
            log.warning("calendars_not_refreshed", error=error.detail)
            pause_s = RETRY_S
        await _sleep(pause_s, stop)


async def _run_simulator(services: Services, guard: FeedGuard, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            async with feed_lock(services.database, SIMULATOR) as lock:
                await SimulatorFeed(services, guard).run(lock, stop)
        except FeedInUse:
            log.debug("feed_on_standby", source=SIMULATOR)
        except Unavailable as error:
            log.warning("feed_interrupted", source=SIMULATOR, error=error.detail)
        await _sleep(RETRY_S, stop)


class SimulatorFeed:
    """One turn of publishing the simulated market, from taking the lock to losing it."""

    def __init__(self, services: Services, guard: FeedGuard) -> None:
        self._services = services
        self._clock = services.clock
        self._guard = guard
        self._pipeline = FeedPipeline(services, SIMULATOR)
        self._yielded: set[str] = set()

    async def run(self, lock: FeedLock, stop: asyncio.Event) -> None:
        """Publish until `stop` is set.

        Raises:
            Unavailable: the lock, the database or the bus is lost.
        """
        simulator = await self._prepare()
        written = asyncio.Event()
        writing = asyncio.create_task(self._pipeline.run(written))
        try:
            await _first_of(
                lock.hold(),
                _end_of(writing),
                self._tick(simulator, stop),
                self._look_after_history(),
            )
        finally:
            written.set()
            await writing

    async def _prepare(self) -> MarketSimulator:
        now_ns = self._clock.now_ns()
        simulator = MarketSimulator(
            list(MODELS), seed=self._services.settings.feed_seed, start_ns=now_ns
        )
        for symbol, market in simulator.markets.items():
            known = await rebuild(self._services.database, symbol, SIMULATOR)
            if known is None:
                continue
            self._pipeline.restore(symbol, known.candles)
            if known.unfinished:
                await self._pipeline.store_candles(symbol, known.unfinished)
            market.reanchor(known.last_price)
        for symbol in simulator.markets:
            self._guard.watchdog.expect(SIMULATOR, symbol, now_ns)
        return simulator

    async def _tick(self, simulator: MarketSimulator, stop: asyncio.Event) -> None:
        running_ns = self._clock.now_ns()
        while not stop.is_set():
            now_ns = self._clock.now_ns()
            batches: dict[str, list[Tick]] = {}
            for symbol, tick in simulator.until(now_ns):
                if tick.ts_ns > now_ns - CATCH_UP_NS:
                    batches.setdefault(symbol, []).append(tick)
            for symbol, ticks in batches.items():
                if not await self._gives_way(simulator, symbol):
                    await self._pipeline.ingest(symbol, ticks)
            if now_ns - running_ns >= RUNNING_S * NS_PER_SECOND or now_ns < running_ns:
                running_ns = now_ns
                await self._pipeline.advance(now_ns)
                await self._pipeline.publish_running()
            await _sleep(STEP_S, stop)
        log.info("feed_stopped", source=SIMULATOR)

    async def _look_after_history(self) -> None:
        """Give charts a past, and thin out what grows old, beside the running feed."""
        await backfill.ensure(self._services)
        while True:
            await retention.thin_out(self._services, SIMULATOR)
            await asyncio.sleep(THIN_OUT_S)

    async def _gives_way(self, simulator: MarketSimulator, symbol: str) -> bool:
        if self._guard.rival(symbol, SIMULATOR):
            if symbol not in self._yielded:
                self._yielded.add(symbol)
                status = FeedStatus(
                    symbol=symbol, source=SIMULATOR, state="STOPPED", at_ns=self._clock.now_ns()
                )
                await self._guard.announce(status)
            return True
        if symbol in self._yielded:
            self._yielded.discard(symbol)
            price: Decimal | None = self._guard.last_price(symbol)
            if price is not None:
                simulator.markets[symbol].reanchor(price)
            return True  # these ticks are still of the old price
        return False


async def _end_of(task: asyncio.Task[None]) -> None:
    """Wait for a task that is not ours to cancel, and raise what it raised."""
    await asyncio.wait([task])
    task.result()


async def _first_of(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends, end the others, and raise what it raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
