"""The desk role: one incarnation of the desk after the other, each from leases to failure."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import msgspec
import psycopg
import structlog

from alphintra import engine, market
from alphintra.core.clock import now
from alphintra.core.errors import Unavailable
from alphintra.core.market_data import (
    FEED_SUBJECT,
    STATUS_SUBJECT,
    decode_batch,
    decode_status,
)
from alphintra.platform.database import DatabaseUnavailable
from alphintra.platform.processes import work_began
from alphintra.platform.services import Services
from alphintra.trading import leases, store
from alphintra.trading.book import SHARDS
from alphintra.trading.client import DeskServer, local_desks
from alphintra.trading.desk import Desk
from alphintra.trading.errors import StoreFailed
from alphintra.trading.journal import Journal
from alphintra.trading.journal_store import JournalWriter
from alphintra.trading.paper import PaperRules, PaperVenue
from alphintra.trading.prices import Prices
from alphintra.trading.store import PostgresStore
from alphintra.trading.surroundings import Sessions, Surroundings
from alphintra.trading.venue import FeeSchedule

TICK_S = 0.25
REFRESH_S = 30.0
STANDBY_S = 0.5
RESTART_S = 0.2
DRAIN_S = 3.0
#: Notified by whoever sets a kill switch, so that the desk obeys at once.
STATES_CHANNEL = "trading_states"
BPS = Decimal(10_000)

log = structlog.get_logger(__name__)


async def run_desk(services: Services, stop: asyncio.Event) -> None:
    """Write the shards that nobody else writes, until `stop` is set."""
    await DeskRunner(services).run(stop)


class DeskRunner:
    """Keeps what outlives an incarnation: prices, instruments, the feed, the listening address."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._services = services
        self._fees = FeeSchedule(
            maker_bps=Decimal(settings.paper_maker_bps), taker_bps=Decimal(settings.paper_taker_bps)
        )
        self._around = Surroundings(
            clock=services.clock,
            ids=services.ids,
            prices=Prices(services.clock, silence_s=settings.feed_silence_s),
            fee_rate=max(self._fees.taker_bps, self._fees.maker_bps) / BPS,
            paper_cash=Decimal(settings.paper_cash),
            paper_currency=settings.paper_currency,
        )
        first, _, last = settings.desk_shards.partition("-")
        self._shards = range(int(first), min(int(last or first), SHARDS - 1) + 1)
        self._records = JournalWriter(
            services.database, services.clock, days=settings.venue_record_days
        )
        self._server = DeskServer(settings)
        self._address = ""
        self._desk: Desk | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; take over, fail, take over again."""
        # Loading the compiled simulator takes a second; not while the first order waits for it.
        warming = asyncio.create_task(asyncio.to_thread(engine.warm_up))
        self._address = await self._server.start(self._services.settings.desk_host)
        bus = self._services.bus
        await bus.subscribe(f"{FEED_SUBJECT}.>", self._on_feed)
        await bus.subscribe(STATUS_SUBJECT, self._on_status)
        await warming
        recording = asyncio.create_task(self._records.run())
        try:
            while not stop.is_set():
                try:
                    await self._incarnation(stop)
                except (StoreFailed, Unavailable) as error:
                    log.warning("desk_reset", error=str(error).strip())
                    await asyncio.sleep(RESTART_S)
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)
            await self._server.stop()

    async def _incarnation(self, stop: asyncio.Event) -> None:
        desk_id = uuid4()
        async with AsyncExitStack() as stack:
            writing = await stack.enter_async_context(await store.connect(self._services.database))
            reading = await stack.enter_async_context(await store.connect(self._services.database))
            epochs = await self._take_leases(writing, desk_id, stop)
            if not epochs:
                return
            await self.refresh()
            venue = PaperVenue(self._around.instruments, PaperRules(fees=self._fees))
            books = PostgresStore(writing, reading, desk_id=desk_id, epochs=epochs)
            journal = Journal(desk_id, self._services.clock)
            self._records.begin(journal)
            desk = Desk(books, self._around, venue, refresh=self.refresh, record=journal)
            await desk.load()
            self._put_to_work(desk_id, desk)
            work_began("desk")
            log.info("desk_at_work", shards=len(epochs), address=self._address)
            try:
                await self._work(desk, books, desk_id, len(epochs), stop)
            finally:
                self._put_to_work(desk_id, None)
                desk.go_down()
            await leases.release(writing, desk_id=desk_id)

    def _put_to_work(self, desk_id: UUID, desk: Desk | None) -> None:
        self._desk = desk
        self._server.serve(desk)
        if desk is None:
            local_desks.pop(desk_id, None)
        else:
            local_desks[desk_id] = desk

    async def _take_leases(
        self, connection: psycopg.AsyncConnection, desk_id: UUID, stop: asyncio.Event
    ) -> dict[int, int]:
        while not stop.is_set():
            epochs = await leases.take(
                connection, desk_id=desk_id, address=self._address, shards=self._shards
            )
            if epochs:
                return epochs
            await asyncio.sleep(STANDBY_S)
        return {}

    async def _work(
        self, desk: Desk, books: PostgresStore, desk_id: UUID, held: int, stop: asyncio.Event
    ) -> None:
        work = asyncio.create_task(desk.work())
        chores = [
            asyncio.create_task(self._every(TICK_S, desk)),
            asyncio.create_task(self._keep_leases(books, held)),
            asyncio.create_task(self._refresh_for_ever()),
            asyncio.create_task(self._watch_states(desk, books)),
        ]
        stopping = asyncio.create_task(stop.wait())
        tasks = [work, *chores]
        try:
            await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set() and not work.done():
                async with asyncio.timeout(DRAIN_S):
                    await desk.drain()
        except TimeoutError:
            log.warning("desk_not_drained")
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _every(self, seconds: float, desk: Desk) -> None:
        while True:
            await asyncio.sleep(seconds)
            desk.tick()

    async def _keep_leases(self, books: PostgresStore, held: int) -> None:
        while True:
            await asyncio.sleep(leases.RENEW_S)
            if await books.renew_leases() != held:
                raise StoreFailed("another desk has taken over")

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Read instruments and session calendars anew.

        Raises:
            StoreFailed: the database is away.
        """
        try:
            await self._read_surroundings()
        except DatabaseUnavailable as error:
            raise StoreFailed(error.detail) from error

    async def _read_surroundings(self) -> None:
        today = now(self._services.clock)
        async with self._services.database.reading() as session:
            instruments = await market.load_instruments(session)
            calendars = {one.calendar for one in instruments}
            sessions = {
                calendar: [
                    (one.opens_at, one.closes_at)
                    for one in await market.sessions_between(
                        session, calendar, today - timedelta(days=7), today + timedelta(days=14)
                    )
                ]
                for calendar in sorted(calendars)
            }
        # In place: the venue looks instruments up in the same dictionary.
        self._around.instruments.update({one.symbol: one for one in instruments})
        self._around.sessions = Sessions(sessions)

    async def _watch_states(self, desk: Desk, books: PostgresStore) -> None:
        """Obey kill switches within milliseconds: by notification, and by a poll should one be
        lost.
        """
        async with await store.connect(self._services.database, autocommit=True) as listening:
            try:
                await listening.execute(f"LISTEN {STATES_CHANNEL}")
                while True:
                    desk.set_states(await books.states())
                    async for _ in listening.notifies(timeout=1.0, stop_after=1):
                        pass
            except psycopg.Error as error:
                raise StoreFailed(str(error)) from error

    async def _on_feed(self, _: str, body: bytes) -> None:
        try:
            batch = decode_batch(body)
        except msgspec.DecodeError:
            log.warning("feed_message_unreadable")
            return
        if market.is_derived(batch.source):
            return  # candles made of ticks that were seen already
        if self._desk is not None:
            self._desk.on_market_data(batch)
        else:
            for tick in batch.ticks:
                self._around.prices.update(batch.symbol, tick)

    async def _on_status(self, _: str, body: bytes) -> None:
        try:
            status = decode_status(body)
        except msgspec.DecodeError:
            log.warning("feed_status_unreadable")
            return
        if self._desk is not None:
            self._desk.on_feed_status(status)
