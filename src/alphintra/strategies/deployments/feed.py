"""What one process hears of markets and orders, handed to the deployments that it runs.

The bus tells at once and forgets; what it may have left out, the database has. So a deployment is
told when something may have been missed, and looks there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from math import nan
from typing import Final, TypeVar
from uuid import UUID

import msgspec
import structlog

from alphintra.core.market_data import FEED_SUBJECT, Bar, FeedBatch, Quote, Trade, decode_batch
from alphintra.market import is_derived
from alphintra.platform.bus import Bus
from alphintra.platform.events import Topic
from alphintra.platform.events import decode_batch as decode_events
from alphintra.strategies.deployments.candles import row_of_bar
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CandleRow

#: Prints that wait for a strategy at most; of a flood the newest count.
TRADES_MAX: Final = 1_000
#: Candles that wait to be told; beyond them the database has them all.
CANDLES_MAX: Final = 10_000
_HALF: Final = Decimal("0.5")
K = TypeVar("K")
log = structlog.get_logger(__name__)


class _Order(msgspec.Struct, frozen=True):
    signal_id: UUID | None = None


class _OrderEvent(msgspec.Struct, frozen=True):
    user_id: UUID
    order: _Order = _Order()


_order_event = msgspec.json.Decoder(_OrderEvent)


@dataclass(slots=True, eq=False)
class Inbox:
    """What waits for one deployment. `wake` is set whenever something was put in."""

    deployment_id: UUID
    user_id: UUID
    symbols: frozenset[str]
    timeframe: str
    length_ns: int
    #: Those whose orders may change; the deployment's own, it changes with them.
    signals: Container[UUID] = ()
    #: The one source that counts; `None`: any.
    source: str | None = None
    wants_quotes: bool = False
    wants_trades: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    candles: deque[tuple[CandleRow, float]] = field(default_factory=deque)
    #: The latest of each symbol: an older quote says nothing any more.
    quotes: dict[str, frames.QuoteTick] = field(default_factory=dict)
    trades: deque[frames.TradeTick] = field(default_factory=lambda: deque(maxlen=TRADES_MAX))
    marks: dict[str, Decimal] = field(default_factory=dict)
    #: Something may have been missed on the market's side.
    is_suspect: bool = True
    #: Orders of its signals have changed.
    has_news: bool = True
    #: Somebody wants something of the deployment.
    is_nudged: bool = True

    def suspect(self) -> None:
        """Note that candles or news may have been missed."""
        self.is_suspect = self.has_news = self.is_nudged = True
        self.wake.set()

    def hear(self, batch: FeedBatch) -> None:
        """Take in what a feed says of one of the symbols."""
        if self.source is not None and not (
            batch.source == self.source or batch.source.startswith(f"{self.source}:")
        ):
            return
        derived = is_derived(batch.source)
        for tick in batch.ticks:
            if isinstance(tick, Bar):
                self._hear_bar(batch.symbol, tick)
            elif not derived:
                self._hear_tick(batch.symbol, tick)

    def _hear_bar(self, symbol: str, bar: Bar) -> None:
        self.marks[symbol] = bar.close
        if not bar.closed or bar.timeframe != self.timeframe:
            return
        if len(self.candles) >= CANDLES_MAX:
            self.candles.clear()
            self.is_suspect = True
        self.candles.append((row_of_bar(symbol, bar, self.length_ns), time.monotonic()))
        self.wake.set()

    def _hear_tick(self, symbol: str, tick: Quote | Trade) -> None:
        if isinstance(tick, Quote):
            self.marks[symbol] = (tick.bid + tick.ask) * _HALF
            if self.wants_quotes:
                self.quotes[symbol] = frames.QuoteTick(
                    symbol=symbol,
                    ts_ns=tick.ts_ns,
                    bid=float(tick.bid),
                    ask=float(tick.ask),
                    bid_size=_float(tick.bid_size),
                    ask_size=_float(tick.ask_size),
                )
                self.wake.set()
            return
        self.marks[symbol] = tick.price
        if self.wants_trades:
            side = {"BUY": 1, "SELL": -1}.get(tick.side or "", 0)
            self.trades.append(
                frames.TradeTick(
                    symbol=symbol,
                    ts_ns=tick.ts_ns,
                    price=float(tick.price),
                    size=float(tick.size),
                    side=side,
                )
            )
            self.wake.set()


def _float(value: Decimal | None) -> float:
    return nan if value is None else float(value)


class Feed:
    """The one reader of the bus in this process."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, set[Inbox]] = {}
        self._by_user: dict[UUID, set[Inbox]] = {}
        self._sequences: dict[tuple[str, str], int] = {}

    async def listen(self, bus: Bus) -> None:
        """Hear everything from now on.

        Raises:
            BusUnavailable: the bus is away.
        """
        bus.on_loss(self.suspect_all)
        # `>`: a symbol may contain the separator of subjects.
        await bus.subscribe(f"{FEED_SUBJECT}.>", self._on_feed)
        # With every fill comes an event of its order.
        await bus.subscribe(str(Topic.ORDER_EVENTS), self._on_orders)

    def join(self, inbox: Inbox) -> None:
        """Put into the inbox whatever concerns it from now on."""
        for symbol in inbox.symbols:
            self._by_symbol.setdefault(symbol, set()).add(inbox)
        self._by_user.setdefault(inbox.user_id, set()).add(inbox)

    def leave(self, inbox: Inbox) -> None:
        """Put nothing into the inbox any more."""
        for symbol in inbox.symbols:
            _drop(self._by_symbol, symbol, inbox)
        _drop(self._by_user, inbox.user_id, inbox)

    def suspect_all(self) -> None:
        """Something may have passed us by: everyone looks into the database."""
        self._sequences.clear()
        for inboxes in list(self._by_user.values()):
            for inbox in inboxes:
                inbox.suspect()

    def nudge(self, deployment_id: UUID) -> None:
        """Somebody wants something of a deployment."""
        for inboxes in self._by_user.values():
            for inbox in inboxes:
                if inbox.deployment_id == deployment_id:
                    inbox.is_nudged = True
                    inbox.wake.set()

    async def _on_feed(self, subject: str, body: bytes) -> None:
        readers = self._by_symbol.get(subject.removeprefix(f"{FEED_SUBJECT}."))
        if not readers:
            return
        try:
            batch = decode_batch(body)
        except msgspec.DecodeError:
            log.warning("feed_message_unreadable", subject=subject)
            return
        self._notice_gap(batch, readers)
        for inbox in readers:
            inbox.hear(batch)

    def _notice_gap(self, batch: FeedBatch, readers: Iterable[Inbox]) -> None:
        key = (batch.source, batch.symbol)
        before = self._sequences.get(key)
        self._sequences[key] = batch.sequence
        if before is not None and batch.sequence > before + 1:
            for inbox in readers:
                inbox.suspect()

    async def _on_orders(self, subject: str, body: bytes) -> None:
        try:
            heard = [_order_event.decode(event.data) for event in decode_events(body)]
        except msgspec.DecodeError:
            log.warning("event_unreadable", topic=subject)
            return
        for one in heard:
            for inbox in self._by_user.get(one.user_id, ()):
                if one.order.signal_id in inbox.signals:
                    inbox.has_news = True
                    inbox.wake.set()


def _drop(table: dict[K, set[Inbox]], key: K, inbox: Inbox) -> None:
    those = table.get(key, set())
    those.discard(inbox)
    if not those:
        table.pop(key, None)
