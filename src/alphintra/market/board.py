"""The latest prices of every symbol, in the memory of one process, from the feed."""

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal

import msgspec
import structlog

from alphintra.core.clock import Clock
from alphintra.core.market_data import (
    FEED_SUBJECT,
    Bar,
    FeedBatch,
    Quote,
    Trade,
    decode_batch,
)
from alphintra.market.pipeline import is_derived
from alphintra.platform.bus import Bus

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestQuote:
    """What is known of a symbol's price. A source of bars only has no bid and ask.

    `at_ns` is the source's own time of the last event; `received_ns` is when it came here, and 0
    for what was read from the database.
    """

    symbol: str
    source: str
    at_ns: int
    received_ns: int
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None
    last: Decimal | None = None
    last_size: Decimal | None = None


class QuoteBoard:
    """Keeps the latest quote per symbol; of a symbol that changes its source, the new one only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: dict[str, LatestQuote] = {}
        self._subscribing: asyncio.Task[object] | None = None

    async def follow(self, bus: Bus) -> None:
        """Subscribe to the feed, once; later calls wait for the first.

        Raises:
            BusUnavailable: the bus is away; the next call tries again.
        """
        task = self._subscribing
        if task is None or (task.done() and task.exception() is not None):
            task = self._subscribing = asyncio.ensure_future(
                bus.subscribe(f"{FEED_SUBJECT}.>", self._on_message)
            )
        await asyncio.shield(task)

    def get(self, symbol: str) -> LatestQuote | None:
        """Return the latest quote, or `None` where nothing was heard yet."""
        return self._latest.get(symbol)

    def prime(self, stored: LatestQuote) -> None:
        """Take in what is stored of a symbol of which nothing was heard yet."""
        self._latest.setdefault(stored.symbol, stored)

    def forget(self, symbol: str) -> None:
        """Drop what is known of a symbol; for readers who stop listening to it."""
        self._latest.pop(symbol, None)

    def apply(self, batch: FeedBatch) -> None:
        """Take in a batch of the feed."""
        if is_derived(batch.source) or not batch.ticks:
            return
        known = self._latest.get(batch.symbol)
        if known is None or known.source != batch.source:
            known = LatestQuote(symbol=batch.symbol, source=batch.source, at_ns=0, received_ns=0)
        quote = next((one for one in reversed(batch.ticks) if isinstance(one, Quote)), None)
        if quote is not None:
            known = replace(
                known,
                bid=quote.bid,
                ask=quote.ask,
                bid_size=quote.bid_size,
                ask_size=quote.ask_size,
            )
        last = next((one for one in reversed(batch.ticks) if not isinstance(one, Quote)), None)
        if isinstance(last, Trade):
            known = replace(known, last=last.price, last_size=last.size)
        elif isinstance(last, Bar):
            known = replace(known, last=last.close, last_size=None)
        self._latest[batch.symbol] = replace(
            known, at_ns=batch.ticks[-1].ts_ns, received_ns=self._clock.now_ns()
        )

    async def _on_message(self, subject: str, body: bytes) -> None:
        try:
            batch = decode_batch(body)
        except msgspec.DecodeError as error:
            log.warning("feed_message_not_readable", subject=subject, error=str(error))
            return
        self.apply(batch)
