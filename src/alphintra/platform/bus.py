"""The bus: NATS with JetStream. Durable topics come from the outbox; market data is plain pub/sub.

One stream holds all durable topics. A message on it is a JSON array of event envelopes in commit
order. A lost stream is not a loss: the outbox is the truth, and the relay fills a new stream from
it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from alphintra.core.errors import Unavailable
from alphintra.platform.events import Topic

STREAM = "alphintra_events"
RETENTION_S = 7 * 86_400
DUPLICATE_WINDOW_S = 600
#: Bounds what a reader that stopped reading costs this process; then messages are dropped for it.
PENDING_MESSAGES_MAX = 65_536
PENDING_BYTES_MAX = 128 * 1024 * 1024
ACK_WAIT_S = 60

log = structlog.get_logger(__name__)
Handler = Callable[[str, bytes], Awaitable[None]]


class BusUnavailable(Unavailable):
    """The event bus did not answer. What was committed is published as soon as it is back."""

    code = "bus_unavailable"


@dataclass(frozen=True, slots=True)
class StreamState:
    """Which stream this is (a re-created one has another identity) and how far it reaches."""

    identity: str
    last_sequence: int


class Bus:
    """One process's connection to the bus; reconnects for ever."""

    def __init__(self, url: str, *, name: str = "alphintra") -> None:
        self._url = url
        self._name = name
        self._client = Client()
        self._jetstream: JetStreamContext | None = None
        self._on_loss: list[Callable[[], None]] = []

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Call back whenever plain subscriptions may have missed messages.

        That is after a reconnect, and when a reader was too slow or failed.
        """
        self._on_loss.append(callback)

    async def connect(self) -> None:
        """Connect and make sure that the stream exists.

        Raises:
            BusUnavailable: the server is away.
        """
        try:
            await self._client.connect(
                self._url,
                name=self._name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                connect_timeout=5,
                ping_interval=10,
                max_outstanding_pings=2,
                pending_size=32 * 1024 * 1024,
                error_cb=self._on_error,
                reconnected_cb=self._on_reconnect,
                allow_reconnect=True,
            )
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable("the event bus is not reachable") from error
        self._jetstream = self._client.jetstream(timeout=5)
        await self.ensure_stream()

    async def close(self) -> None:
        if not self._client.is_closed:
            await self._client.close()

    async def ping(self) -> None:
        """Ask the server for an answer.

        Raises:
            BusUnavailable: there was none.
        """
        try:
            await self._client.flush(timeout=2)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BusUnavailable("the event bus does not answer") from error

    async def publish(self, subject: str, body: bytes) -> None:
        """Send to whoever listens right now; nothing is kept.

        Raises:
            BusUnavailable: the connection is away and its send buffer full.
        """
        try:
            await self._client.publish(subject, body)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable("the event bus is not reachable") from error

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """Call `handler(subject, body)` for each message from now on, one after the other."""

        async def deliver(message: Msg) -> None:
            await handler(message.subject, message.data)

        return await self._client.subscribe(
            subject,
            queue=queue,
            cb=deliver,
            pending_msgs_limit=PENDING_MESSAGES_MAX,
            pending_bytes_limit=PENDING_BYTES_MAX,
        )

    async def ensure_stream(self) -> StreamState:
        """Make the stream where it is missing and return its state.

        Raises:
            BusUnavailable: the server is away.
        """
        jetstream = self._context()
        try:
            try:
                info = await jetstream.stream_info(STREAM)
            except NotFoundError:
                info = await jetstream.add_stream(
                    StreamConfig(
                        name=STREAM,
                        subjects=[str(topic) for topic in Topic],
                        storage=StorageType.FILE,
                        max_age=RETENTION_S,
                        duplicate_window=DUPLICATE_WINDOW_S,
                        discard=DiscardPolicy.OLD,
                    )
                )
                log.info("bus_stream_created", stream=STREAM)
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise BusUnavailable("the event bus does not answer") from error
        return StreamState(identity=str(info.created), last_sequence=info.state.last_seq)

    async def publish_durable(self, topic: str, body: bytes, *, message_id: str) -> int:
        """Append one message to the stream and return its sequence once it is on disk.

        Raises:
            BusUnavailable: no acknowledgement; the same `message_id` may be sent again safely.
        """
        try:
            ack = await self._context().publish(
                topic, body, headers={"Nats-Msg-Id": message_id}, timeout=5
            )
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise BusUnavailable("the event bus did not acknowledge") from error
        return ack.seq

    async def pull(self, durable: str, topics: list[Topic]) -> JetStreamContext.PullSubscription:
        """Return the durable consumer `durable`, made where it is missing.

        Raises:
            BusUnavailable: the server is away.
        """
        config = ConsumerConfig(
            durable_name=durable,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            deliver_policy=DeliverPolicy.ALL,
            filter_subjects=[str(topic) for topic in topics],
            max_ack_pending=64,
        )
        jetstream = self._context()
        try:
            await jetstream.add_consumer(STREAM, config)
            return await jetstream.pull_subscribe_bind(durable, stream=STREAM)
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise BusUnavailable("the event bus does not answer") from error

    def _context(self) -> JetStreamContext:
        if self._jetstream is None:
            raise BusUnavailable("the event bus is not connected")
        return self._jetstream

    async def _on_error(self, error: Exception) -> None:
        log.warning("bus_error", error=str(error) or type(error).__name__)
        self._report_loss()

    async def _on_reconnect(self) -> None:
        log.info("bus_reconnected")
        self._report_loss()

    def _report_loss(self) -> None:
        for callback in self._on_loss:
            callback()


async def connect(url: str, *, name: str = "alphintra", attempts: int = 20) -> Bus:
    """Return a connected bus, waiting for a server that is still starting.

    Raises:
        BusUnavailable: it did not come up.
    """
    for attempt in range(attempts):
        bus = Bus(url, name=name)
        try:
            await bus.connect()
        except BusUnavailable:
            await bus.close()
            if attempt == attempts - 1:
                raise
            await asyncio.sleep(0.25)
        else:
            return bus
    raise BusUnavailable("the event bus is not reachable")


__all__ = ["STREAM", "Bus", "BusUnavailable", "StreamState", "connect"]
