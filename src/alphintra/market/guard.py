"""Watches all feeds on the bus: says which are alive, and writes it down for those who ask."""

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Final

import msgspec
import structlog
from sqlalchemy.dialects.postgresql import insert

from alphintra.core.clock import to_datetime
from alphintra.core.errors import Unavailable
from alphintra.core.market_data import (
    FEED_SUBJECT,
    STATUS_SUBJECT,
    FeedStatus,
    decode_batch,
    decode_status,
    encode,
)
from alphintra.market.board import QuoteBoard
from alphintra.market.models import FeedRow
from alphintra.market.watchdog import Watchdog
from alphintra.platform.services import Services

CHECK_S: Final = 1.0
#: How often states are repeated for listeners that came late, and written down.
REPEAT_S: Final = 5.0

log = structlog.get_logger(__name__)


class FeedGuard:
    """The watchdog with its ears, its voice and its memory."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._clock = services.clock
        self._board = QuoteBoard(services.clock)
        self.watchdog = Watchdog(silence_s=services.settings.feed_silence_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        bus = self._services.bus
        feed = await bus.subscribe(f"{FEED_SUBJECT}.>", self._on_batch)
        status = await bus.subscribe(STATUS_SUBJECT, self._on_status)
        try:
            await self._watch(stop)
        finally:
            await feed.unsubscribe()
            await status.unsubscribe()

    async def _watch(self, stop: asyncio.Event) -> None:
        bus = self._services.bus
        repeated_ns = 0
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), CHECK_S)
            now_ns = self._clock.now_ns()
            try:
                for change in self.watchdog.check(now_ns):
                    await self.announce(change)
                # A clock that was set back must not end the repetitions.
                if abs(now_ns - repeated_ns) >= REPEAT_S * 1e9:
                    repeated_ns = now_ns
                    for status in self.watchdog.statuses(now_ns):
                        await bus.publish(STATUS_SUBJECT, encode(status))
                    await self._write()
            except Unavailable as error:
                log.warning("watchdog_interrupted", error=error.detail)

    async def announce(self, status: FeedStatus) -> None:
        """Publish a change of state.

        Raises:
            BusUnavailable: the bus is away.
        """
        level = log.warning if status.state == "STALE" else log.info
        level("feed_state", source=status.source, symbol=status.symbol, state=status.state)
        await self._services.bus.publish(STATUS_SUBJECT, encode(status))

    def rival(self, symbol: str, source: str) -> bool:
        """Whether a source other than `source` is giving prices of the symbol."""
        return any(
            feed.symbol == symbol and feed.source != source and feed.state == "LIVE"
            for feed in self.watchdog.feeds
        )

    def last_price(self, symbol: str) -> Decimal | None:
        """Return where the symbol was last seen, by whatever source."""
        known = self._board.get(symbol)
        return None if known is None else known.last or known.bid

    async def _on_batch(self, subject: str, body: bytes) -> None:
        try:
            batch = decode_batch(body)
        except msgspec.DecodeError as error:
            log.warning("feed_message_not_readable", subject=subject, error=str(error))
            return
        self._board.apply(batch)
        if (change := self.watchdog.heard(batch, self._clock.now_ns())) is not None:
            await self.announce(change)

    async def _on_status(self, subject: str, body: bytes) -> None:
        try:
            status = decode_status(body)
        except msgspec.DecodeError as error:
            log.warning("feed_message_not_readable", subject=subject, error=str(error))
            return
        self.watchdog.told(status, self._clock.now_ns())

    async def _write(self) -> None:
        rows = [
            {
                "source": feed.source,
                "symbol": feed.symbol,
                "state": feed.state,
                "last_event_at": to_datetime(feed.last_event_ns),
                "last_received_at": to_datetime(feed.last_received_ns),
                "changed_at": to_datetime(feed.changed_ns),
            }
            for feed in self.watchdog.feeds
        ]
        if not rows:
            return
        statement = insert(FeedRow).values(rows)
        update = {
            name: statement.excluded[name]
            for name in ("state", "last_event_at", "last_received_at", "changed_at")
        }
        async with self._services.database.transaction() as session:
            await session.execute(
                statement.on_conflict_do_update(index_elements=["source", "symbol"], set_=update)
            )
