"""All clients of this process, and the one reader of the bus that feeds them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from alphintra.core.clock import NS_PER_SECOND, to_ns
from alphintra.core.ids import UserId
from alphintra.core.market_data import FEED_SUBJECT, Bar, FeedBatch, decode_batch
from alphintra.gateway.hub import messages, views
from alphintra.gateway.hub.messages import TOPICS, Channel, Subscribe
from alphintra.gateway.hub.session import POLICY, AnySubscription, Session
from alphintra.gateway.hub.snapshots import Present, Snapshots
from alphintra.gateway.hub.subscriptions import (
    MarketSubscription,
    PrivateSubscription,
    new_subscription,
)
from alphintra.market import QuoteBoard, is_derived
from alphintra.platform.events import ReceivedEvent
from alphintra.platform.events import decode_batch as decode_events
from alphintra.platform.security import Principal
from alphintra.platform.services import Services

#: Revoked credentials close a socket within a second.
TEND_INTERVAL_S = 0.5
#: Snapshots loaded at once; a reconnect of the bus resyncs everyone, and the database serves orders
#: too.
SNAPSHOTS_AT_ONCE = 4

CONNECTIONS = Gauge("alphintra_stream_connections", "Authenticated WebSocket clients")
SUBSCRIPTIONS = Gauge("alphintra_stream_subscriptions", "Subscriptions", ["channel"])
AGE = Histogram(
    "alphintra_stream_event_age_seconds",
    "From the time of an event to its leaving for the clients",
    ["channel"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
UNREADABLE = Counter("alphintra_stream_unreadable_total", "Bus messages the hub could not read")
log = structlog.get_logger(__name__)

StillValid = Callable[[Principal], bool]


class _Owner(msgspec.Struct):
    """What every private event tells."""

    user_id: UUID


_owner = msgspec.json.Decoder(_Owner)


class _Unsubscriber(Protocol):
    async def unsubscribe(self) -> None: ...


class Hub:
    """Routes what the bus says to the subscriptions that want it."""

    def __init__(self, services: Services, snapshots: Snapshots, still_valid: StillValid) -> None:
        self._services = services
        self._still_valid = still_valid
        self._slots = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self._sessions: set[Session] = set()
        self._per_user: defaultdict[UserId, int] = defaultdict(int)
        self._private: dict[tuple[Channel, UUID], set[PrivateSubscription]] = {}
        self._quotes: dict[str, set[MarketSubscription]] = {}
        #: By symbol, then by timeframe.
        self._candles: dict[str, dict[str, set[MarketSubscription]]] = {}
        self._batches: dict[tuple[str, str], int] = {}
        #: The latest of the symbols that someone follows: a batch may hold only a quote or a print.
        self._board = QuoteBoard(services.clock)
        self._snapshots = Present(
            snapshots,
            self._board,
            services.clock,
            silence_s=services.settings.feed_silence_s,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to the bus and look after the clients while the block runs."""
        bus = self._services.bus
        bus.on_loss(self._on_loss)
        listening: list[_Unsubscriber] = [
            await bus.subscribe(topic, self._listener(channel)) for channel, topic in TOPICS.items()
        ]
        # `>`: a symbol may contain the separator of subjects.
        listening.append(await bus.subscribe(f"{FEED_SUBJECT}.>", self._on_feed))
        tending = asyncio.create_task(self._tend())
        try:
            yield
        finally:
            tending.cancel()
            for session in list(self._sessions):
                session.close(1012, "restarting")

    # Clients

    def admits(self, user_id: UserId) -> bool:
        """Say whether a user may open one more connection."""
        return self._per_user.get(user_id, 0) < self._services.settings.stream_connections_per_user

    def enter(self, session: Session) -> None:
        """Take a client in."""
        self._sessions.add(session)
        self._per_user[session.principal.user_id] += 1
        CONNECTIONS.set(len(self._sessions))

    def leave(self, session: Session) -> None:
        """Forget a client, whose subscriptions have been dropped."""
        self._sessions.discard(session)
        user_id = session.principal.user_id
        self._per_user[user_id] -= 1
        if not self._per_user[user_id]:
            del self._per_user[user_id]
        CONNECTIONS.set(len(self._sessions))

    def open(self, request: Subscribe, session: Session) -> AnySubscription:
        """Make a subscription that hears everything from this moment on."""
        subscription = new_subscription(
            request, session, self._snapshots, self._slots, session.principal.user_id
        )
        for readers, key in self._places(subscription):
            readers.setdefault(key, set()).add(subscription)
        SUBSCRIPTIONS.labels(request.channel).inc()
        return subscription

    def drop(self, subscription: AnySubscription) -> None:
        """Tell a subscription nothing any more."""
        for readers, key in self._places(subscription):
            those = readers.get(key, set())
            those.discard(subscription)
            if not those:
                readers.pop(key, None)
        if not subscription.channel.is_private:
            self._forget_unfollowed(subscription.request.symbols)
        SUBSCRIPTIONS.labels(subscription.channel).dec()

    def _forget_unfollowed(self, symbols: Sequence[str]) -> None:
        """Drop what is known of symbols that nobody listens to: it grows old unnoticed."""
        for symbol in symbols:
            if not self._candles.get(symbol, True):
                del self._candles[symbol]
            if symbol not in self._candles and symbol not in self._quotes:
                self._board.forget(symbol)
                for key in [key for key in self._batches if key[1] == symbol]:
                    del self._batches[key]

    # `Any`: the three tables hold sets of different kinds under different keys.
    def _places(self, subscription: AnySubscription) -> list[tuple[dict[Any, set[Any]], object]]:
        request = subscription.request
        if isinstance(subscription, PrivateSubscription):
            return [(self._private, (request.channel, subscription.user_id))]
        if request.channel is Channel.QUOTES:
            return [(self._quotes, symbol) for symbol in request.symbols]
        return [
            (self._candles.setdefault(symbol, {}), request.timeframe) for symbol in request.symbols
        ]

    # News

    def _listener(self, channel: Channel) -> Callable[[str, bytes], Awaitable[None]]:
        async def listen(_: str, body: bytes) -> None:
            self.on_events(channel, body)

        return listen

    def on_events(self, channel: Channel, body: bytes) -> None:
        """Hand a batch of private events to their owners' clients."""
        if not self._private:
            return
        at_s = asyncio.get_running_loop().time()
        try:
            events = decode_events(body)
        except msgspec.DecodeError:
            self._unreadable(channel)
            return
        for event in events:
            self._on_event(channel, event, at_s)

    def _on_event(self, channel: Channel, event: ReceivedEvent, at_s: float) -> None:
        try:
            owner = _owner.decode(event.data).user_id
        except msgspec.DecodeError:
            self._unreadable(channel)
            return
        readers = self._private.get((channel, owner))
        if not readers:
            return
        if event.sequence is None:
            self._unreadable(channel)
            for reader in list(readers):
                reader.resync("unreadable")
            return
        text = messages.tail("update", event.sequence, bytes(event.data).decode())
        for reader in list(readers):
            reader.on_event(event.sequence, text, at_s)
        AGE.labels(channel).observe(self._age_s(event.time))

    def _age_s(self, time: str) -> float:
        at_ns = to_ns(datetime.fromisoformat(time))
        return max(0.0, (self._services.clock.now_ns() - at_ns) / NS_PER_SECOND)

    def _unreadable(self, channel: Channel) -> None:
        UNREADABLE.inc()
        log.error("stream_event_unreadable", channel=channel)

    async def _on_feed(self, subject: str, body: bytes) -> None:
        self.on_feed(subject.removeprefix(f"{FEED_SUBJECT}."), body)

    def on_feed(self, symbol: str, body: bytes) -> None:
        """Hand a batch of market data to those who follow the symbol."""
        quote_readers = self._quotes.get(symbol)
        candle_readers = self._candles.get(symbol)
        if not quote_readers and not candle_readers:
            return
        at_s = asyncio.get_running_loop().time()
        try:
            batch = decode_batch(body)
        except msgspec.DecodeError:
            UNREADABLE.inc()
            log.exception("stream_feed_unreadable", symbol=symbol)
            return
        self._notice_gap(batch)
        for tick in batch.ticks:
            if isinstance(tick, Bar) and candle_readers:
                self._on_bar(symbol, tick, candle_readers.get(tick.timeframe, ()), at_s)
        if not quote_readers or is_derived(batch.source):
            return
        self._board.apply(batch)
        latest = self._board.get(symbol)
        if latest is not None:
            data = messages.text_of(views.quote(latest, is_live=True))
            for reader in list(quote_readers):
                reader.on_state(symbol, data, at_s)

    @staticmethod
    def _on_bar(
        symbol: str, bar: Bar, readers: Collection[MarketSubscription], at_s: float
    ) -> None:
        if readers:
            data = messages.text_of(views.candle(symbol, bar))
            for reader in list(readers):
                reader.on_state((symbol, bar.ts_ns), data, at_s)

    def _notice_gap(self, batch: FeedBatch) -> None:
        key = (batch.source, batch.symbol)
        before = self._batches.get(key)
        self._batches[key] = batch.sequence
        # A lower sequence is a feed that was started again.
        if before is not None and batch.sequence > before + 1:
            for reader in self._market_readers(batch.symbol):
                reader.resync("gap")

    def _market_readers(self, symbol: str) -> list[MarketSubscription]:
        readers = set(self._quotes.get(symbol, ()))
        for those in self._candles.get(symbol, {}).values():
            readers |= those
        return list(readers)

    def _on_loss(self) -> None:
        """Something may have passed us by: everyone starts again from the present state."""
        self._batches.clear()
        for session in list(self._sessions):
            session.resync("bus")

    # Once a second

    async def _tend(self) -> None:
        slow_reader_s = self._services.settings.stream_slow_reader_s
        while True:
            await asyncio.sleep(TEND_INTERVAL_S)
            for session in list(self._sessions):
                if self._still_valid(session.principal):
                    session.tend(slow_reader_s)
                else:
                    session.close(POLICY, "session_ended")
